#include "app/pressure_loop.h"

#include <algorithm>

#include "base/log.h"

namespace skiff::app {

namespace {

// A kubelet's name for more disk than the pod itself may use.
constexpr std::string_view kOwnLimit = "ephemeralpodfs.limit";

constexpr Duration kPeriod = std::chrono::seconds(10);
constexpr Duration kEndAwaited = std::chrono::seconds(30);

bool is_of_disk(std::string_view resource) {
    return resource == "ephemeral-storage" || resource == "inodes";
}

}  // namespace

async::Task<void> PressureLoop::run() {
    for (;;) {
        auto looked = co_await look();
        if (!looked && looked.error().code == Code::cancelled) {
            co_return;
        }
        if (!looked) {
            log::error("pressure not known", log::kv("error", format_as(looked.error())));
        }
        auto slept = co_await async::sleep_for(kPeriod);
        if (!slept) {
            co_return;
        }
    }
}

async::Task<Result<node::MachineFacts>> PressureLoop::observe() {
    auto work = parts_.observe;
    co_return co_await parts_.pool.run(std::move(work));
}

async::Task<Result<void>> PressureLoop::look() {
    SKIFF_CO_TRY(node::MachineFacts facts, co_await observe());
    std::vector<std::string> before = pressure_.conditions();
    node::PressureReport report = pressure_.look(facts, parts_.clock.steady_now());
    if (report.conditions != before && parts_.changed) {
        log::info("pressure changed",
                  log::kv("conditions", fmt::format("{}", fmt::join(report.conditions, " "))));
        parts_.changed();
    }
    SKIFF_CO_TRY(Evicted evicted, co_await hold_to_limits());
    if (!report.due) {
        told_.clear();
    }
    if (!report.due || evicted == Evicted::some) {
        co_return Result<void>{};
    }
    co_return co_await reclaim(std::move(report));
}

async::Task<Result<PressureLoop::Evicted>> PressureLoop::hold_to_limits() {
    std::vector<std::shared_ptr<const kube::Pod>> limited = parts_.pods.taken();
    std::erase_if(limited, [](const auto& pod) { return !pods::has_storage_limits(pod->spec); });
    if (limited.empty()) {
        co_return Evicted::none;
    }
    auto uses = co_await parts_.usage.of(std::move(limited), PodUsage::Disk::measured);
    Evicted evicted = Evicted::none;
    for (const pods::PodUse& use : uses) {
        if (auto eviction = pods::storage_eviction(use)) {
            evict(*use.pod, std::move(*eviction), kOwnLimit);
            evicted = Evicted::some;
        }
    }
    co_return evicted;
}

async::Task<Result<void>> PressureLoop::reclaim(node::PressureReport report) {
    if (told_ != report.resource && parts_.tell_node) {
        told_ = report.resource;
        parts_.tell_node("EvictionThresholdMet", "Attempting to reclaim " + report.resource);
    }
    if (is_of_disk(report.resource) && parts_.drop_unused) {
        co_await parts_.drop_unused();
        SKIFF_CO_TRY(node::MachineFacts facts, co_await observe());
        if (pressure_.is_relieved(facts)) {
            log::info("room made without ending a pod", log::kv("resource", report.resource));
            co_return Result<void>{};
        }
    }
    co_return co_await evict_one(std::move(report));
}

async::Task<Result<void>> PressureLoop::evict_one(node::PressureReport report) {
    // What the last victim gives back shows only when it has ended.
    SteadyTime now = parts_.clock.steady_now();
    if (parts_.pods.awaits_eviction() && evicted_at_ && now - *evicted_at_ < kEndAwaited) {
        co_return Result<void>{};
    }
    evicted_at_ = now;
    auto disk = is_of_disk(report.resource) ? PodUsage::Disk::measured : PodUsage::Disk::left_out;
    auto taken = parts_.pods.taken();
    auto uses = co_await parts_.usage.of(std::move(taken), disk);
    auto ranked = pods::rank_for_eviction(uses, report.resource);
    if (ranked.empty()) {
        log::warn("nothing can be evicted", log::kv("resource", report.resource));
        co_return Result<void>{};
    }
    pods::Shortage shortage;
    shortage.resource = report.resource;
    shortage.quantity = report.quantity;
    shortage.available = report.available;
    if (report.due->kind == node::Threshold::Kind::soft) {
        shortage.grace = pressure_.settings().grace_max;
    }
    evict(*ranked.front()->pod, pods::eviction_for(shortage, *ranked.front()), report.due->signal);
    co_return Result<void>{};
}

void PressureLoop::evict(const kube::Pod& pod, pods::Eviction eviction, std::string_view signal) {
    log::warn("pod evicted", log::kv("pod", pod.metadata.namespace_ + "/" + pod.metadata.name),
              log::kv("uid", pod.metadata.uid), log::kv("why", eviction.message));
    parts_.events.emit(pod, {}, pods::EventType::warning, eviction.reason, eviction.message);
    parts_.pods.evict(PodUid(pod.metadata.uid), std::move(eviction));
    if (parts_.evicted) {
        parts_.evicted(signal);
    }
}

}  // namespace skiff::app
