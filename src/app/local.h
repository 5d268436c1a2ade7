// Commands that ask a running node through its local socket: `skiff ps`, `skiff logs`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "async/task.h"
#include "base/result.h"
#include "base/time.h"
#include "http/client.h"

namespace skiff::app {

enum class OutputFormat { table, json };

// The socket below a run folder that serves the node's own API to root on this machine.
[[nodiscard]] std::filesystem::path local_socket(const std::filesystem::path& run_dir);

// `error` of a request to the socket, in words for its user.
[[nodiscard]] Error no_node(Error error, const std::filesystem::path& socket);

// "3d", "5h", "12s": as kubectl shows ages.
[[nodiscard]] std::string age_of(WallTime since, WallTime now);

// The node's answer to a request to its socket. Fails with unavailable when no node listens there,
// or when it answers anything but 200.
[[nodiscard]] async::Task<Result<http::Response>> ask_node(http::Client& client,
                                                           http::Request request,
                                                           std::filesystem::path socket);

// Prints the node's pods. Fails with unavailable when no node listens there.
[[nodiscard]] async::Task<Result<void>> print_pods(std::filesystem::path socket,
                                                   OutputFormat format);

struct LogsQuery {
    std::string ns = "default";
    std::string pod;
    std::string container;  // may be empty for a pod with one container
    bool follow = false;
    bool previous = false;
    bool timestamps = false;
    std::optional<std::int64_t> tail_lines;
    std::optional<std::int64_t> since_seconds;
};

// Prints a container's log to stdout until its end (or for ever with `follow`).
[[nodiscard]] async::Task<Result<void>> print_logs(std::filesystem::path socket, LogsQuery query);

}  // namespace skiff::app
