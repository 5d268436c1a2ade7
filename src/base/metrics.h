// What is counted, as values; src/server writes it out for Prometheus. A family is described once,
// where it is made; whoever counts holds a reference to it.
//
// Thread rule: an object belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace skiff::metrics {

enum class Type { counter, gauge, histogram };

// Different series of one family. What comes beyond counts as one series whose labels are all
// kOverflow: outsiders who choose label values cannot make a page grow.
inline constexpr std::size_t kSeriesMax = 512;
inline constexpr std::string_view kOverflow = "other";

// Upper bounds of buckets in seconds.
inline constexpr double kDefaultBounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                            0.5,   1,    2.5,   5,    10};

struct Description {
    std::string_view name;  // of a literal, as `help` and the labels
    std::string_view help;
    std::vector<std::string_view> labels;
};
// In the order of Description::labels.
using LabelValues = std::vector<std::string>;

// Values by size. Copyable.
class Histogram {
public:
    // `bounds` ascend and outlive it.
    explicit Histogram(std::span<const double> bounds)
        : bounds_(bounds), counts_(bounds.size() + 1) {}
    // From counts that somebody else made; one more than bounds, the last beyond all.
    Histogram(std::span<const double> bounds, std::vector<std::uint64_t> counts, double sum);

    void observe(double value);
    void observe(Duration took) { observe(std::chrono::duration<double>(took).count()); }
    [[nodiscard]] std::span<const double> bounds() const { return bounds_; }
    // Not cumulative; the last is what is beyond all bounds.
    [[nodiscard]] const std::vector<std::uint64_t>& counts() const { return counts_; }
    [[nodiscard]] double sum() const { return sum_; }

private:
    std::span<const double> bounds_;
    std::vector<std::uint64_t> counts_;
    double sum_ = 0;
};

// A family of counters.
class Counters {
public:
    explicit Counters(Description about) : about_(std::move(about)) {}
    // `by` is not negative; 0 makes the series appear before it first counts.
    void add(const LabelValues& values = {}, double by = 1);
    [[nodiscard]] const Description& about() const { return about_; }
    [[nodiscard]] const std::map<LabelValues, double>& series() const { return series_; }

private:
    Description about_;
    std::map<LabelValues, double> series_;
};

// A family of histograms with the same bounds.
class Histograms {
public:
    // `bounds` ascend and outlive it.
    Histograms(Description about, std::span<const double> bounds)
        : about_(std::move(about)), bounds_(bounds) {}
    void observe(const LabelValues& values, Duration took) { at(values).observe(took); }
    void observe(Duration took) { at({}).observe(took); }
    // The series, which appears by this.
    Histogram& at(const LabelValues& values);
    [[nodiscard]] const Description& about() const { return about_; }
    [[nodiscard]] const std::map<LabelValues, Histogram>& series() const { return series_; }

private:
    Description about_;
    std::span<const double> bounds_;
    std::map<LabelValues, Histogram> series_;
};

}  // namespace skiff::metrics
