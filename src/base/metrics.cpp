#include "base/metrics.h"

#include <algorithm>

#include "base/assert.h"

namespace skiff::metrics {

namespace {

// The key to count under.
template <typename Map>
LabelValues bounded(const Map& series, const Description& about, const LabelValues& values) {
    SKIFF_ASSERT(values.size() == about.labels.size(), about.name);
    bool fits = series.size() < kSeriesMax || series.contains(values);
    return fits ? values : LabelValues(values.size(), std::string(kOverflow));
}

}  // namespace

Histogram::Histogram(std::span<const double> bounds, std::vector<std::uint64_t> counts, double sum)
    : bounds_(bounds), counts_(std::move(counts)), sum_(sum) {
    SKIFF_ASSERT(counts_.size() == bounds_.size() + 1);
}

void Histogram::observe(double value) {
    auto bucket = std::ranges::lower_bound(bounds_, value) - bounds_.begin();
    ++counts_[static_cast<std::size_t>(bucket)];
    sum_ += value;
}

void Counters::add(const LabelValues& values, double by) {
    SKIFF_ASSERT(by >= 0, about_.name);
    series_[bounded(series_, about_, values)] += by;
}

Histogram& Histograms::at(const LabelValues& values) {
    return series_.try_emplace(bounded(series_, about_, values), bounds_).first->second;
}

}  // namespace skiff::metrics
