// Writes Prometheus' text format (version 0.0.4) or OpenMetrics' (1.0.0), family by family.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/metrics.h"
#include "base/time.h"

namespace skiff::server {

enum class MetricsFormat { plain, open_metrics };
[[nodiscard]] std::string_view content_type_of(MetricsFormat format);
// The one that a request's Accept field likes best; plain for whoever does not care. Any bytes.
[[nodiscard]] MetricsFormat metrics_format(std::string_view accept);

class MetricsText {
public:
    using Type = metrics::Type;
    using Label = std::pair<std::string_view, std::string_view>;
    using Labels = std::span<const Label>;

    explicit MetricsText(MetricsFormat format = MetricsFormat::plain) : format_(format) {}

    // A family; its samples follow. One without samples leaves nothing. Each name comes once.
    void begin(std::string_view name, Type type, std::string_view help);
    // Label values may be any text. `at` is the sample's time, to the millisecond.
    void sample(Labels labels, double value, std::optional<WallTime> at = std::nullopt);
    void sample(std::initializer_list<Label> labels, double value,
                std::optional<WallTime> at = std::nullopt) {
        sample(Labels(labels.begin(), labels.size()), value, at);
    }
    // Of a family of histograms.
    void histogram(Labels labels, const metrics::Histogram& histogram);
    void histogram(std::initializer_list<Label> labels, const metrics::Histogram& histogram) {
        this->histogram(Labels(labels.begin(), labels.size()), histogram);
    }
    // Whole families.
    void add(const metrics::Counters& counters);
    void add(const metrics::Histograms& histograms);
    void gauge(std::string_view name, std::string_view help, double value) {
        begin(name, Type::gauge, help);
        sample({}, value);
    }
    [[nodiscard]] std::string str() &&;

private:
    void line(std::string_view suffix, Labels labels, std::string_view bound, double value);
    void append_time(WallTime at);

    MetricsFormat format_;
    std::string name_;
    std::string head_;  // not written yet
    std::string text_;
};

}  // namespace skiff::server
