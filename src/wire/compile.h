// What `skiff-engine compile` says on its report descriptor when it is done.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "wire/codec.h"
#include "wire/grant.h"

namespace skiff::wire {

constexpr std::size_t kCompileReportBytesMax = 1U << 20;

enum class CompileCode : std::uint8_t {
    ok,
    invalid,      // no valid Wasm; the message says what the bytes look like
    unsupported,  // an import or feature that nobody here has
    io,           // reading the module or writing the artifact failed
    internal,     // a fault of the compiler
    exhausted,    // more memory or CPU time than it was given
};
constexpr CompileCode last_of(CompileCode) {
    return CompileCode::exhausted;
}
enum class ModuleKind : std::uint8_t { unknown, core, component };
constexpr ModuleKind last_of(ModuleKind) {
    return ModuleKind::component;
}

// What the module is, as far as the agent has to know before it starts one. Filled also for
// `unsupported` where the module could be read.
struct ModuleFacts {
    ModuleKind kind = ModuleKind::unknown;
    std::uint8_t wasi = 0;  // 0 none, 1: 0.1, 2: 0.2, 3: 0.3
    bool has_start = false;
    bool has_initialize = false;
    bool has_run = false;
    bool has_http_02 = false;
    bool has_http_03 = false;
    bool handles_stop = false;  // give StopMode::lifecycle
    bool uses_sockets = false;  // give SyscallProfile::command_network and a network
    std::uint64_t memory_bytes_min = 0;
    std::vector<std::string> imports;
    std::vector<std::string> exports;
    bool has_run_03 = false;
    bool uses_http = false;
    Purpose purpose = Purpose::command;  // of the engine that runs it
    friend bool operator==(const ModuleFacts&, const ModuleFacts&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.kind, s.wasi, s.has_start, s.has_initialize, s.has_run, s.has_http_02, s.has_http_03,
          s.handles_stop, s.uses_sockets, s.memory_bytes_min, s.imports, s.exports, s.has_run_03,
          s.uses_http, s.purpose);
    }
};

struct CompileReport {
    CompileCode code = CompileCode::internal;
    std::string message;
    ModuleFacts facts;
    std::uint64_t artifact_bytes = 0;
    std::uint64_t wall_ms = 0;
    std::uint64_t cpu_ms = 0;
    std::uint64_t memory_bytes_peak = 0;  // resident
    std::string compatibility_key;
    friend bool operator==(const CompileReport&, const CompileReport&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.code, s.message, s.facts, s.artifact_bytes, s.wall_ms, s.cpu_ms, s.memory_bytes_peak,
          s.compatibility_key);
    }
};

// encode(report) and decode<CompileReport>(bytes) of codec.h are the format. A compiler that was
// killed (wall time, the machine's memory) leaves no report: its wait status says so. The command
// line is
//   skiff-engine compile [--inspect] --engine=NAME --memory-bytes=N --cpu-seconds=N --plugs=N
// with the module on fd 0, the artifact to fd 1 (a file), the report to fd 3 (a pipe or file), and
// the components that are plugged into the module on fd 4 and the following. With --inspect there
// is only a report.
constexpr int kCompileModuleFd = 0;
constexpr int kCompileArtifactFd = 1;
constexpr int kCompileReportFd = 3;
constexpr int kCompileFirstPlugFd = 4;
constexpr std::size_t kCompilePlugsMax = 16;

}  // namespace skiff::wire
