#include "server/metrics_text.h"

#include <fmt/format.h>

namespace skiff::server {

namespace {

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

}  // namespace

void MetricsText::begin(std::string_view name, Type type, std::string_view help) {
    name_ = name;
    head_ = fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name,
                        type == Type::counter ? "counter" : "gauge");
}

void MetricsText::sample(std::initializer_list<Label> labels, double value,
                         std::optional<WallTime> at) {
    text_ += std::exchange(head_, {});
    text_ += name_;
    char before = '{';
    for (const auto& [name, content] : labels) {
        text_ += before;
        text_ += name;
        text_ += "=\"";
        append_escaped(text_, content);
        text_ += '"';
        before = ',';
    }
    text_ += labels.size() == 0 ? " " : "} ";
    // The shortest digits that read back as the same number.
    text_ += fmt::format("{}", value);
    if (at) {
        auto since = std::chrono::floor<std::chrono::milliseconds>(at->time_since_epoch());
        text_ += fmt::format(" {}", since.count());
    }
    text_ += '\n';
}

}  // namespace skiff::server
