// What a keeper knows of each of its runners, and how it survives the keeper's own re-execution.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "wire/message.h"

namespace skiff::engine {

// Why a runner is about to die, as far as the keeper is the cause.
enum class Intent : std::uint8_t { none, stop, kill };
constexpr Intent last_of(Intent) {
    return Intent::kill;
}

enum class ChildPhase : std::uint8_t { building, running, failed };
constexpr ChildPhase last_of(ChildPhase) {
    return ChildPhase::failed;
}

struct Child {
    std::uint64_t request_id = 0;
    std::string container_id;
    std::string pod_uid;
    std::int32_t pid = 0;
    std::uint64_t start_time = 0;
    std::int64_t started_ns = 0;
    ChildPhase phase = ChildPhase::building;
    Intent intent = Intent::none;
    wire::StopMode stop = wire::StopMode::none;
    std::string oom_counter;
    std::uint64_t oom_kills_before = 0;
    std::uint64_t memory_bytes_limit = 0;
    std::uint64_t drain_ms = 0;  // as in wire::Start
    std::uint32_t drain_share = 0;
    std::int64_t kill_at_ns = 0;   // monotonic; 0: no deadline
    std::int32_t report_fd = -1;   // a socket, while building
    std::int32_t stop_fd = -1;     // eventfd, -1 for StopMode::none
    std::int32_t console_fd = -1;  // as it came with the Start, -1 for none
    std::string failed_stage;      // phase failed
    std::string failed_message;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.request_id, s.container_id, s.pod_uid, s.pid, s.start_time, s.started_ns, s.phase,
          s.intent, s.stop, s.oom_counter, s.oom_kills_before, s.memory_bytes_limit, s.kill_at_ns,
          s.report_fd, s.stop_fd, s.failed_stage, s.failed_message, s.drain_ms, s.drain_share,
          s.console_fd);
    }
};

// Everything that goes through exec: descriptors keep their numbers.
struct KeeperState {
    std::int32_t listen_fd = -1;
    std::int32_t lock_fd = -1;
    std::int32_t parent_fd = -1;
    std::vector<std::int32_t> connection_fds;
    std::vector<Child> children;
    std::vector<wire::Exited> exits;
    std::uint64_t executions = 0;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.listen_fd, s.lock_fd, s.parent_fd, s.connection_fds, s.children, s.exits, s.executions);
    }
};

// How a child's wait status reads, together with what it said itself (`page`: the bytes of its
// page, perhaps damaged or empty) and whether the cgroup's killer struck.
[[nodiscard]] wire::Exited judge_end(const Child& child, int wait_status, std::string_view page,
                                     std::uint64_t oom_kills, std::int64_t now_ns);

// How long a guest of StopMode::none goes on after a stop that leaves it `grace`: 0 unless it
// listens.
[[nodiscard]] std::chrono::milliseconds drain_time(const Child& child, std::string_view page,
                                                   std::chrono::milliseconds grace);

// The number behind "oom_kill " in a memory.events or memory.oom_control file, 0 if there is none.
[[nodiscard]] std::uint64_t parse_oom_kills(std::string_view text);

}  // namespace skiff::engine
