// One line of a container log file in the CRI format (kubelet-contract row 34):
//   2026-11-23T22:14:05.123456789Z stdout F content
#pragma once

#include <optional>
#include <string_view>

#include "base/time.h"

namespace skiff::logs {

struct CriLine {
    std::string_view time_text;
    enum class Stream { out, err } stream = Stream::out;
    // A partial line is continued by the next one of its stream.
    enum class Part { full, partial } part = Part::full;
    std::string_view content;

    // nullopt if the text only looks like a time. Who reads a whole log need not know every line's.
    [[nodiscard]] std::optional<WallTime> time() const { return parse_rfc3339(time_text); }
};

// Parses a line without its newline; nullopt if it is not one. Views into `line`.
[[nodiscard]] std::optional<CriLine> parse_cri_line(std::string_view line);

}  // namespace skiff::logs
