#include "base/metrics.h"

#include <gtest/gtest.h>

#include <numeric>

namespace skiff::metrics {
namespace {

using namespace std::chrono_literals;

TEST(Histogram, ABoundBelongsToItsBucket) {
    Histogram histogram(kDefaultBounds);
    for (double value : {0.005, 0.006, 10.0, 10.5, 0.0}) {
        histogram.observe(value);
    }
    EXPECT_EQ(histogram.counts().front(), 2U);
    EXPECT_EQ(histogram.counts()[1], 1U);
    EXPECT_EQ(histogram.counts()[10], 1U);
    EXPECT_EQ(histogram.counts().back(), 1U);
    EXPECT_DOUBLE_EQ(histogram.sum(), 20.511);
}

TEST(Counters, OfZeroAppear) {
    Counters counters({"errors_total", "Errors", {"code"}});
    counters.add({"500"}, 0);
    counters.add({"404"});
    counters.add({"404"}, 2);
    EXPECT_EQ(counters.series(), (std::map<LabelValues, double>{{{"404"}, 3.0}, {{"500"}, 0.0}}));
}

TEST(Counters, WhatIsBeyondTheBoundIsOneSeries) {
    Counters counters({"requests_total", "Requests", {"path", "code"}});
    Histograms histograms({"request_seconds", "Requests", {"path"}}, kDefaultBounds);
    for (std::size_t i = 0; i < kSeriesMax + 10; ++i) {
        counters.add({std::to_string(i), "200"});
        histograms.observe({std::to_string(i)}, 1s);
    }
    counters.add({"0", "200"});
    ASSERT_EQ(counters.series().size(), kSeriesMax + 1);
    EXPECT_EQ(counters.series().at({"other", "other"}), 10.0);
    EXPECT_EQ(counters.series().at({"0", "200"}), 2.0) << "what was there goes on";
    ASSERT_EQ(histograms.series().size(), kSeriesMax + 1);
    const auto& beyond = histograms.series().at({"other"}).counts();
    EXPECT_EQ(std::accumulate(beyond.begin(), beyond.end(), 0U), 10U);
}

}  // namespace
}  // namespace skiff::metrics
