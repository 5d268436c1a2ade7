// The image verbs as JSON, between `skiff image` and the agent. Pure. Parsers fail with
// Code::invalid.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "app/image_verbs.h"

namespace skiff::app {

[[nodiscard]] std::string format_json(const ImageList& list);
[[nodiscard]] Result<ImageList> parse_image_list(std::string_view json);

[[nodiscard]] std::string format_json(const RemovedImage& removed);
[[nodiscard]] Result<RemovedImage> parse_removed(std::string_view json);

// Of a stream of lines: steps, and at its end an empty object or what went wrong.
struct PrecompileEnd {
    std::string problem;  // empty: all went well
    friend bool operator==(const PrecompileEnd&, const PrecompileEnd&) = default;
};
using PrecompileLine = std::variant<PrecompileStep, PrecompileEnd>;
[[nodiscard]] std::string format_json(const PrecompileLine& line);
[[nodiscard]] Result<PrecompileLine> parse_precompile_line(std::string_view json);

}  // namespace skiff::app
