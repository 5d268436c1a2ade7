#include "app/image_collector.h"

#include "base/log.h"

namespace skiff::app {

namespace {

constexpr Duration kPeriod = std::chrono::minutes(5);

}  // namespace

async::Task<void> ImageCollector::run() {
    for (;;) {
        auto collected = co_await collect();
        if (!collected && collected.error().code == Code::cancelled) {
            co_return;
        }
        if (!collected) {
            log::error("images not collected", log::kv("error", format_as(collected.error())));
            if (parts_.tell_node) {
                parts_.tell_node("ImageGCFailed", collected.error().message);
            }
        }
        auto slept = co_await async::sleep_for(kPeriod);
        if (!slept) {
            co_return;
        }
    }
}

std::vector<images::GcImage> ImageCollector::look() const {
    std::vector<images::GcImage> list;
    for (const images::StoredImage& image : parts_.store.list()) {
        images::GcImage seen;
        seen.reference = image.reference;
        seen.size = image.size;
        bool needed = !parts_.service.user_of(image).empty();
        seen.use = needed ? images::GcImage::Use::needed : images::GcImage::Use::free;
        list.push_back(std::move(seen));
    }
    return list;
}

async::Task<Result<std::size_t>> ImageCollector::remove(std::vector<std::string> references) {
    std::size_t count = 0;
    for (std::string& reference : references) {
        auto removed = co_await parts_.service.remove(reference);
        if (removed) {
            ++count;
            log::info("image removed", log::kv("image", reference),
                      log::kv("bytes", removed->freed.value));
        } else if (removed.error().code == Code::cancelled) {
            co_return fail(std::move(removed.error()));
        } else if (removed.error().code != Code::conflict) {
            // A pod that came meanwhile needs it: that is no failure.
            log::warn("image not removed", log::kv("image", reference),
                      log::kv("error", removed.error().message));
        }
    }
    co_return count;
}

async::Task<Result<void>> ImageCollector::collect() {
    auto work = parts_.observe;
    SKIFF_CO_TRY(node::MachineFacts facts, co_await parts_.pool.run(std::move(work)));
    auto list = look();
    SteadyTime now = parts_.clock.steady_now();
    memory_.see(list, now);
    images::DiskFill disk{facts.image_disk_total, facts.image_disk_available};
    auto choice = memory_.choose(list, settings_, disk, now);
    bool enough = choice.found >= choice.wanted;
    SKIFF_CO_TRY(std::size_t count, co_await remove(std::move(choice.references)));
    if (!enough && parts_.tell_node) {
        parts_.tell_node(
            "FreeDiskSpaceFailed",
            fmt::format("Failed to garbage collect required amount of images. Attempted to free "
                        "{} bytes, but only found {} bytes eligible to free.",
                        choice.wanted.value, choice.found.value));
    }
    log::debug("images collected", log::kv("removed", count));
    co_return Result<void>{};
}

async::Task<void> ImageCollector::drop_unused() {
    std::vector<std::string> references;
    for (images::GcImage& image : look()) {
        if (image.use == images::GcImage::Use::free) {
            references.push_back(std::move(image.reference));
        }
    }
    auto removed = co_await remove(std::move(references));
    if (removed && *removed > 0) {
        log::info("unused images removed for their room", log::kv("count", *removed));
    }
}

}  // namespace skiff::app
