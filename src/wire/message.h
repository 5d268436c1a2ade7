// What agent and keeper say to one another over `<run-dir>/keeper-<build>.sock` (SOCK_SEQPACKET,
// mode 0600; one message is one packet, descriptors ride with it as SCM_RIGHTS).
//
// The keeper answers Hello with Welcome, then sends one Exited for every end that nobody has
// forgotten yet, then Running (perhaps several, the last one marked). From then on it sends Started
// / StartFailed for each Start and Exited when a container ends, to every agent that is connected.
// Order for one container: Started, Exited; or StartFailed alone. A lost connection loses nothing:
// ends are repeated at the next Hello until Forget, and every end is on disk before it is sent
// (exit file: `<run-dir>/exits/<container id>`, the bytes of encode_exit_file).
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "wire/codec.h"
#include "wire/grant.h"

namespace skiff::wire {

constexpr std::uint32_t kWireVersion = 1;
constexpr std::size_t kMessageBytesMax = 64U << 10;
constexpr std::size_t kMessageFdsMax = 200;         // the kernel's SCM_MAX_FD is 253
constexpr std::size_t kRunningItemsMax = 256;       // in one Running message
constexpr std::size_t kExitMessageBytesMax = 4096;  // Kubernetes' limit for termination messages
constexpr std::size_t kContainerIdBytesMax = 64;

// ---- agent → keeper ----

// The first message of a connection.
struct Hello {
    std::uint32_t wire_version = kWireVersion;
    std::string agent;  // for the keeper's log: version and pid
    friend bool operator==(const Hello&, const Hello&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.wire_version, s.agent);
    }
};

// Indexes of the descriptors that every Start carries; the grant names all others.
constexpr std::size_t kGrantFd = 0;     // sealed memfd, see grant.h
constexpr std::size_t kArtifactFd = 1;  // read-only, the output of `skiff-engine compile`
constexpr std::size_t kPageFd = 2;      // read-write, see runner_page.h
constexpr std::size_t kFirstFreeFd = 3;

// Starts a container. Answered by Started or StartFailed with the same request_id. Starting an id
// that runs already is StartFailed at stage "request" and changes nothing.
struct Start {
    std::uint64_t request_id = 0;
    std::string container_id;        // 1–64 characters of [0-9a-zA-Z_-]
    std::string pod_uid;             // given back in Running; the keeper does not use it
    StopMode stop = StopMode::none;  // as in the grant, which the keeper cannot read
    // A file with a line "oom_kill N": memory.events (v2) or memory.oom_control (v1) of the
    // container's cgroup; empty: not known. N above oom_kills_before at the end means OOMKilled.
    std::string oom_counter;
    std::uint64_t oom_kills_before = 0;
    // Bytes of the memory limit, for the message of an OOM kill; 0: none.
    std::uint64_t memory_bytes_limit = 0;
    // As a server's, for a guest of StopMode::none that listens: the keeper lets it go on.
    std::uint64_t drain_ms = 0;
    std::uint32_t drain_share = 0;
    // The last descriptor is not the runner's: the keeper holds it for as long as the container
    // runs, and lends it to every agent that asks.
    bool has_console = false;
    friend bool operator==(const Start&, const Start&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.request_id, s.container_id, s.pod_uid, s.stop, s.oom_counter, s.oom_kills_before,
          s.memory_bytes_limit, s.drain_ms, s.drain_share, s.has_console);
    }
};

// Asks the container to end. A guest that does not handle stopping (StopMode::none) is killed now,
// or at the end of its drain time if it listens, and reported as `stopped` (143). Any other is
// told, and is killed when `grace` is over (137); grace 0 kills at once. A second Stop can only
// shorten the grace. Unknown ids are ignored: their Exited is on its way or on disk.
struct Stop {
    std::string container_id;
    std::uint64_t grace_ms = 0;
    friend bool operator==(const Stop&, const Stop&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.container_id, s.grace_ms);
    }
};

// SIGKILL now, reported as `killed` (137). Unknown ids are ignored.
struct Kill {
    std::string container_id;
    friend bool operator==(const Kill&, const Kill&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.container_id);
    }
};

// Asks for Running.
struct List {
    friend bool operator==(const List&, const List&) = default;
    template <typename A, typename S>
    static void fields(A&, S&) {}
};

// The agent has taken the end of this container to its heart (and durably): the keeper stops
// repeating it and removes the exit file.
struct Forget {
    std::string container_id;
    friend bool operator==(const Forget&, const Forget&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.container_id);
    }
};

enum class ShutdownMode : std::uint8_t {
    when_empty,  // refuse further starts, end with the last runner (an engine upgrade)
    kill_all,    // kill every runner, record their ends, then end (`skiff node reset`)
    go_on,       // take when_empty back (an upgrade that was rolled back)
};
constexpr ShutdownMode last_of(ShutdownMode) {
    return ShutdownMode::go_on;
}
struct Shutdown {
    ShutdownMode mode = ShutdownMode::when_empty;
    friend bool operator==(const Shutdown&, const Shutdown&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.mode);
    }
};

// Asks for the console of a container that runs: answered by Lent. Only of what was started with
// one: an older keeper does not know this message.
struct Lend {
    std::string container_id;
    friend bool operator==(const Lend&, const Lend&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.container_id);
    }
};

// ---- keeper → agent ----

struct Welcome {
    std::uint32_t wire_version = kWireVersion;
    std::string build;              // of skiff-engine; in the socket's name
    std::string engine;             // "wasmtime 48.0.8"
    std::string compatibility_key;  // part of a compiled artifact's cache key
    std::uint32_t pid = 0;
    friend bool operator==(const Welcome&, const Welcome&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.wire_version, s.build, s.engine, s.compatibility_key, s.pid);
    }
};

// The cage stands and the guest's first instruction is next.
struct Started {
    std::uint64_t request_id = 0;
    std::string container_id;
    std::uint32_t pid = 0;  // in the keeper's pid namespace
    std::uint64_t start_time =
        0;  // field 22 of /proc/<pid>/stat: with the boot id and pid an identity
    std::int64_t started_ns = 0;  // wall clock, nanoseconds since 1970
    friend bool operator==(const Started&, const Started&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.request_id, s.container_id, s.pid, s.start_time, s.started_ns);
    }
};

// No instruction of the guest ran and nothing of it is left.
struct StartFailed {
    std::uint64_t request_id = 0;
    std::string container_id;
    // Where: request, fork, grant, cgroup, identity, mounts, root, artifact, network, lockdown.
    std::string stage;
    std::string message;  // for people
    friend bool operator==(const StartFailed&, const StartFailed&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.request_id, s.container_id, s.stage, s.message);
    }
};

// How a container ended. The exit code that Kubernetes shows is `exit_code`, for every kind.
enum class ExitKind : std::uint8_t {
    exited,         // by itself, with 0–255
    trapped,        // a trap: 134, the message has it with the guest's backtrace
    out_of_memory,  // 137, OOMKilled: refused growth, or the cgroup's killer
    host_panic,     // 134: a fault of the engine, the message has it
    start_failed,   // 128: the module could not be instantiated; the message says why
    stopped,        // 143: ended because of Stop without handling it
    killed,         // 137: Kill, or the grace period was over
    signalled,      // 128 + signal: died of a signal that nobody here sent
    violated,       // 159: made a system call that its cage forbids (SIGSYS)
};
constexpr ExitKind last_of(ExitKind) {
    return ExitKind::violated;
}

struct Exited {
    std::string container_id;
    std::string pod_uid;
    std::uint32_t pid = 0;
    std::uint64_t start_time = 0;
    ExitKind kind = ExitKind::exited;
    std::int32_t exit_code = 0;
    std::int32_t signal = 0;  // 0: ended by itself
    std::int64_t started_ns = 0;
    std::int64_t finished_ns = 0;
    std::string message;                  // at most kExitMessageBytesMax, UTF-8; empty for `exited`
    std::uint64_t memory_bytes_peak = 0;  // of linear memories, tables and GC heaps
    friend bool operator==(const Exited&, const Exited&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.container_id, s.pod_uid, s.pid, s.start_time, s.kind, s.exit_code, s.signal,
          s.started_ns, s.finished_ns, s.message, s.memory_bytes_peak);
    }
};

struct RunningItem {
    std::string container_id;
    std::string pod_uid;
    std::uint32_t pid = 0;
    std::uint64_t start_time = 0;
    std::int64_t started_ns = 0;  // 0: not started yet, Started or StartFailed will follow
    friend bool operator==(const RunningItem&, const RunningItem&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.container_id, s.pod_uid, s.pid, s.start_time, s.started_ns);
    }
};

struct Running {
    std::vector<RunningItem> items;  // at most kRunningItemsMax
    bool last = true;                // false: another Running continues this one
    friend bool operator==(const Running&, const Running&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.items, s.last);
    }
};

// A descriptor rides with it; none when there is no such container, or it has no console.
struct Lent {
    std::string container_id;
    friend bool operator==(const Lent&, const Lent&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.container_id);
    }
};

// The order is the type number on the wire: append only.
using Message = std::variant<Hello, Start, Stop, Kill, List, Forget, Shutdown, Welcome, Started,
                             StartFailed, Exited, Running, Lend, Lent>;

// One packet: magic, version, type, then the structure. Always below kMessageBytesMax for what this
// header allows (long texts are cut by their producers).
[[nodiscard]] std::string encode_message(const Message& message);
// Fails with Code::corrupt (also beyond the limits above), or Code::unsupported for another magic,
// version or type.
[[nodiscard]] Result<Message> decode_message(std::string_view packet);

// True for 1–64 characters of [0-9a-zA-Z_-]: what may become a file name.
[[nodiscard]] bool valid_container_id(std::string_view id);

// The content of an exit file: as a message, with a checksum behind it.
[[nodiscard]] std::string encode_exit_file(const Exited& exited);
[[nodiscard]] Result<Exited> decode_exit_file(std::string_view bytes);

}  // namespace skiff::wire
