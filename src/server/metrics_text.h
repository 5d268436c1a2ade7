// Writes Prometheus' text format (version 0.0.4), family by family.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/time.h"

namespace skiff::server {

inline constexpr std::string_view kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

class MetricsText {
public:
    enum class Type { counter, gauge };
    using Label = std::pair<std::string_view, std::string_view>;

    // A family; its samples follow. One without samples leaves nothing.
    void begin(std::string_view name, Type type, std::string_view help);
    // Label values may be any text. `at` is written in milliseconds.
    void sample(std::initializer_list<Label> labels, double value,
                std::optional<WallTime> at = std::nullopt);
    [[nodiscard]] std::string str() && { return std::move(text_); }

private:
    std::string name_;
    std::string head_;  // not written yet
    std::string text_;
};

}  // namespace skiff::server
