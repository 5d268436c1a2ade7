// `skiff events`: the latest events of the node, asked of its local socket.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "app/local.h"
#include "async/task.h"
#include "base/result.h"
#include "base/time.h"

namespace skiff::app {

struct EventsQuery {
    std::string ns;   // empty: all namespaces, and the node
    std::string pod;  // empty: all pods
    bool watch = false;
    OutputFormat format = OutputFormat::table;
};

// The heading of the table, and one event of it from the line that the node sent. Text of pods is
// kept on its line. Fails with invalid when `line` is no event. Pure.
[[nodiscard]] std::string events_heading();
[[nodiscard]] Result<std::string> format_event(std::string_view line, WallTime now);

// Prints them, the newest last; JSON is one object a line. With `watch` until it is cancelled.
// Fails with unavailable when no node listens there.
[[nodiscard]] async::Task<Result<void>> print_events(std::filesystem::path socket,
                                                     EventsQuery query);

}  // namespace skiff::app
