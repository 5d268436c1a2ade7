#include "server/metrics_text.h"

#include <fmt/format.h>

#include <cmath>

#include "base/text.h"

namespace skiff::server {

namespace {

// What a client may send in one Accept field, and its quality in thousandths.
constexpr std::size_t kAcceptedMax = 32;
constexpr int kQualityMax = 1000;

void append_escaped(std::string& text, std::string_view value) {
    for (char c : value) {
        if (c == '\n') {
            text += "\\n";
        } else {
            if (c == '\\' || c == '"') {
                text += '\\';
            }
            text += c;
        }
    }
}

// The shortest digits that read back as the same number.
std::string number(double value) {
    if (std::isnan(value)) {
        return "NaN";
    }
    if (std::isinf(value)) {
        return value > 0 ? "+Inf" : "-Inf";
    }
    return fmt::format("{}", value);
}

// OpenMetrics has its bounds as 1.0.
std::string bound_text(double bound, MetricsFormat format) {
    std::string text = number(bound);
    bool whole = text.find_first_of(".eI") == std::string::npos;
    return whole && format == MetricsFormat::open_metrics ? text + ".0" : text;
}

// "0.5" is 500; what cannot be read is 0, as nobody knows what it was meant to be.
int quality_of(std::string_view text) {
    auto dot = text.find('.');
    auto whole = parse_uint(text.substr(0, dot));
    if (!whole || *whole > 1) {
        return 0;
    }
    std::string digits(dot == std::string_view::npos ? "" : text.substr(dot + 1));
    if (digits.size() > 3 || digits.find_first_not_of("0123456789") != std::string::npos) {
        return 0;
    }
    digits.resize(3, '0');
    int rest = static_cast<int>(parse_uint(digits).value_or(0));
    return std::min(static_cast<int>(*whole) * kQualityMax + rest, kQualityMax);
}

struct Accepted {
    std::optional<MetricsFormat> format;  // nullopt: something else
    int quality = kQualityMax;
};

Accepted parse_accepted(std::string_view text) {
    Accepted accepted;
    bool first = true;
    bool known_version = true;
    for (std::string_view part : split(text, ';')) {
        part = trim(part);
        if (std::exchange(first, false)) {
            if (part == "application/openmetrics-text") {
                accepted.format = MetricsFormat::open_metrics;
            } else if (part == "text/plain" || part == "text/*" || part == "*/*") {
                accepted.format = MetricsFormat::plain;
            }
        } else if (part.starts_with("q=")) {
            accepted.quality = quality_of(part.substr(2));
        } else if (part.starts_with("version=")) {
            std::string_view version = part.substr(8);
            known_version = accepted.format == MetricsFormat::open_metrics
                                ? version == "1.0.0" || version == "0.0.1"
                                : version == "0.0.4";
        }
    }
    if (!known_version) {
        accepted.format.reset();
    }
    return accepted;
}

}  // namespace

std::string_view content_type_of(MetricsFormat format) {
    return format == MetricsFormat::plain
               ? "text/plain; version=0.0.4; charset=utf-8"
               : "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

MetricsFormat metrics_format(std::string_view accept) {
    MetricsFormat best = MetricsFormat::plain;
    int quality = 0;
    std::size_t seen = 0;
    for (std::string_view part : split(accept, ',')) {
        if (++seen > kAcceptedMax) {
            break;
        }
        Accepted accepted = parse_accepted(part);
        if (accepted.format && accepted.quality > quality) {
            best = *accepted.format;
            quality = accepted.quality;
        }
    }
    return best;
}

void MetricsText::begin(std::string_view name, Type type, std::string_view help) {
    name_ = name;
    std::string_view family = name;
    std::string_view kind = type == Type::counter ? "counter"
                            : type == Type::gauge ? "gauge"
                                                  : "histogram";
    if (type == Type::counter && format_ == MetricsFormat::open_metrics) {
        constexpr std::string_view kSuffix = "_total";
        if (family.ends_with(kSuffix)) {
            family.remove_suffix(kSuffix.size());
        } else {
            // OpenMetrics would add the suffix, and dashboards know the kubelet's names.
            kind = "unknown";
        }
    }
    head_ = fmt::format("# HELP {} {}\n# TYPE {} {}\n", family, help, family, kind);
}

void MetricsText::line(std::string_view suffix, Labels labels, std::string_view bound,
                       double value) {
    text_ += std::exchange(head_, {});
    text_ += name_;
    text_ += suffix;
    char before = '{';
    for (const auto& [name, content] : labels) {
        text_ += before;
        text_ += name;
        text_ += "=\"";
        append_escaped(text_, content);
        text_ += '"';
        before = ',';
    }
    if (!bound.empty()) {
        text_ += before;
        text_ += fmt::format("le=\"{}\"", bound);
        before = ',';
    }
    text_ += before == '{' ? " " : "} ";
    text_ += number(value);
}

void MetricsText::append_time(WallTime at) {
    auto since = std::chrono::floor<std::chrono::milliseconds>(at.time_since_epoch()).count();
    text_ += format_ == MetricsFormat::plain ? fmt::format(" {}", since)
                                             : fmt::format(" {}.{:03}", since / 1000, since % 1000);
}

void MetricsText::sample(Labels labels, double value, std::optional<WallTime> at) {
    line({}, labels, {}, value);
    if (at) {
        append_time(*at);
    }
    text_ += '\n';
}

void MetricsText::histogram(Labels labels, const metrics::Histogram& histogram) {
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < histogram.counts().size(); ++i) {
        count += histogram.counts()[i];
        bool last = i == histogram.bounds().size();
        line("_bucket", labels, last ? "+Inf" : bound_text(histogram.bounds()[i], format_),
             static_cast<double>(count));
        text_ += '\n';
    }
    line("_sum", labels, {}, histogram.sum());
    text_ += '\n';
    line("_count", labels, {}, static_cast<double>(count));
    text_ += '\n';
}

namespace {

std::vector<MetricsText::Label> labels_of(const metrics::Description& about,
                                          const metrics::LabelValues& values) {
    std::vector<MetricsText::Label> labels;
    for (std::size_t i = 0; i < values.size(); ++i) {
        labels.emplace_back(about.labels[i], values[i]);
    }
    return labels;
}

}  // namespace

void MetricsText::add(const metrics::Counters& counters) {
    begin(counters.about().name, Type::counter, counters.about().help);
    for (const auto& [values, value] : counters.series()) {
        sample(labels_of(counters.about(), values), value);
    }
}

void MetricsText::add(const metrics::Histograms& histograms) {
    begin(histograms.about().name, Type::histogram, histograms.about().help);
    for (const auto& [values, value] : histograms.series()) {
        histogram(labels_of(histograms.about(), values), value);
    }
}

std::string MetricsText::str() && {
    if (format_ == MetricsFormat::open_metrics) {
        text_ += "# EOF\n";
    }
    return std::move(text_);
}

}  // namespace skiff::server
