// `skiff top`: what node and containers use, asked of the node's local socket.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/local.h"
#include "async/task.h"
#include "base/result.h"
#include "base/types.h"

namespace skiff::app {

struct TopRow {
    std::string ns;
    std::string pod;
    std::string container;
    std::optional<std::uint64_t> nano_cores;
    Bytes memory;
};

struct TopView {
    std::string node;
    std::optional<std::uint64_t> nano_cores;
    Bytes memory_used;
    Bytes memory_available;
    std::size_t pods = 0;
    std::vector<TopRow> rows;  // who uses most CPU first
};

// Reads the document of /stats/summary. Fails with Code::invalid when it is none. Pure.
[[nodiscard]] Result<TopView> parse_top(std::string_view summary);
// The picture, one line each, at most `lines_max` (at least 4): the rest is counted. Pure.
[[nodiscard]] std::string render_top(const TopView& view, std::size_t lines_max);

enum class Watching { once, on_terminal };
// Prints it: again every two seconds where stdout is a terminal and `watching` says so. JSON is the
// node's own document. Fails with unavailable when no node listens there.
[[nodiscard]] async::Task<Result<void>> print_top(std::filesystem::path socket, OutputFormat format,
                                                  Watching watching);

}  // namespace skiff::app
