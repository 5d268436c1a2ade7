#include "images/gc.h"

#include <algorithm>
#include <tuple>

namespace skiff::images {

namespace {

// How much has to go; zero while the disk is not too full.
std::uint64_t bytes_wanted(const GcSettings& settings, DiskFill disk) {
    if (disk.total.value == 0 || settings.high >= 100) {
        return 0;
    }
    auto part = [&](std::int64_t percent) {
        return static_cast<std::uint64_t>(static_cast<long double>(disk.total.value) *
                                          static_cast<long double>(percent) / 100);
    };
    std::uint64_t used = disk.total.value - std::min(disk.available.value, disk.total.value);
    return used >= part(settings.high) ? used - part(settings.low) : 0;
}

}  // namespace

void GcMemory::see(const std::vector<GcImage>& images, SteadyTime now) {
    std::map<std::string, Times> times;
    for (const GcImage& image : images) {
        auto known = times_.find(image.reference);
        Times its = known == times_.end() ? Times{now, now} : known->second;
        if (image.use == GcImage::Use::needed) {
            its.used = now;
        }
        times[image.reference] = its;
    }
    times_ = std::move(times);
}

GcMemory::Choice GcMemory::choose(const std::vector<GcImage>& images, const GcSettings& settings,
                                  DiskFill disk, SteadyTime now) const {
    std::vector<const GcImage*> free;
    for (const GcImage& image : images) {
        auto known = times_.find(image.reference);
        if (image.use == GcImage::Use::free && known != times_.end() &&
            now - known->second.seen >= settings.age_min) {
            free.push_back(&image);
        }
    }
    std::ranges::sort(free, {}, [this](const GcImage* image) {
        const Times& times = times_.at(image->reference);
        return std::tuple(times.used, times.seen, image->reference);
    });
    Choice choice;
    choice.wanted = Bytes{bytes_wanted(settings, disk)};
    for (const GcImage* image : free) {
        Duration idle = now - times_.at(image->reference).used;
        bool too_old = settings.age_max > Duration::zero() && idle > settings.age_max;
        if (too_old || choice.found < choice.wanted) {
            choice.references.push_back(image->reference);
            choice.found.value += image->size.value;
        }
    }
    return choice;
}

}  // namespace skiff::images
