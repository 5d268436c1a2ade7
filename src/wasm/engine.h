// The WebAssembly engine as C++ values: the only header through which Skiff sees Wasmtime.
//
// See engine/include/skiff_engine.h for what may be called in which process: a keeper makes an
// Engine and only forks; a runner loads before its last lock and runs after it; a compiler
// compiles. Not thread safe. Nothing here throws.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/egress.h"
#include "base/result.h"

struct skiff_engine;
struct skiff_module;
struct skiff_counters;

namespace skiff::wasm {

// Who executes guests.
enum class Runtime : std::uint8_t { wasmtime = 0, pulley = 1, wasmi = 2 };
// What an engine is made for, see skiff_purpose.
enum class Purpose : std::uint8_t { command = 0, concurrent = 1, server = 2 };

enum class ModuleKind { unknown, core, component };
enum class WasiLevel : std::uint8_t { none = 0, v01 = 1, v02 = 2, v03 = 3 };

// What a module is, as far as one has to know before starting it.
struct Inspection {
    ModuleKind kind = ModuleKind::unknown;
    WasiLevel wasi = WasiLevel::none;
    bool has_start = false;
    bool has_initialize = false;
    bool has_run = false;
    bool has_http_02 = false;
    bool has_http_03 = false;
    bool handles_stop = false;
    bool uses_sockets = false;
    bool has_run_03 = false;
    bool uses_http = false;
    Purpose purpose = Purpose::command;
    std::uint64_t memory_bytes_min = 0;
    std::vector<std::string> imports;
    std::vector<std::string> exports;
};

// Takes the guest's output, in its order, on its thread. `stream` is 1 (stdout) or 2 (stderr).
class OutputSink {
public:
    virtual ~OutputSink() = default;
    virtual void write(int stream, std::string_view bytes) = 0;
};

// What the guest may do in its network, see skiff_grant.
struct NetworkUse {
    Reach egress = Reach::nothing;
    std::vector<EgressRule> rules;
    bool may_listen = false;
    Reach http = Reach::nothing;
    bool http_given = false;
    std::vector<std::string> http_hosts;
    std::uint32_t http_requests_max = 0;
    int ca_fd = -1;
    std::string ca_file;
};

// Numbers in skiff_counters, each 8 bytes: the size of the memory that GuestGrant::counters needs.
constexpr std::size_t kCounterWords = 32;

// What the guest may have. Texts are borrowed for the time of run().
struct GuestGrant {
    std::vector<std::string> args;
    std::vector<std::string> env;
    // Folder that the guest sees as "/"; empty: no files.
    std::string root;
    std::string initial_cwd;  // empty: none
    std::string entry;        // empty: the default entry
    int stdin_fd = -1;
    bool terminal = false;
    int stop_fd = -1;
    const std::uint32_t* stop_flag = nullptr;
    OutputSink* output = nullptr;  // required
    std::uint64_t memory_bytes_max = 0;
    std::uint32_t message_bytes_max = 4096;
    NetworkUse network;
    int coredump_fd = -1;
    std::uint64_t coredump_bytes_max = 0;
    skiff_counters* counters = nullptr;  // null: nothing is counted
    // Where the cap is that holds now, see skiff_grant; null: memory_bytes_max does.
    const std::uint64_t* memory_bytes_now = nullptr;
};

// How a server serves; zeros are the engine's defaults, see skiff_server.
struct ServerSettings {
    int listen_fd = -1;
    std::uint32_t reuse_count = 0;
    std::uint32_t reuse_concurrent = 0;
    std::uint32_t requests_max = 0;
    std::uint32_t connections_max = 0;
    std::uint64_t request_ms_max = 0;
    std::uint64_t body_bytes_max = 0;
    std::uint64_t drain_ms = 0;
    std::uint32_t drain_share = 0;
};

enum class OutcomeKind { exited = 1, trapped, out_of_memory, host_panic, start_failed };

struct Outcome {
    OutcomeKind kind = OutcomeKind::host_panic;
    int exit_code = -1;
    std::string message;
    std::uint64_t memory_bytes_peak = 0;
    std::uint64_t memory_bytes_refused = 0;
};

// Native code, mapped.
class Module {
public:
    [[nodiscard]] const skiff_module* raw() const { return module_.get(); }

private:
    friend class Engine;
    struct Free {
        void operator()(skiff_module* module) const;
    };
    explicit Module(skiff_module* module) : module_(module) {}
    std::unique_ptr<skiff_module, Free> module_;
};

// What compiling or linking gave: bytes of the engine's.
class Artifact {
public:
    Artifact(Artifact&& other) noexcept;
    Artifact& operator=(Artifact&&) = delete;
    ~Artifact();
    [[nodiscard]] std::string_view bytes() const;

    // Takes the bytes over.
    Artifact(std::uint8_t* bytes, std::size_t size) : bytes_(bytes), size_(size) {}

private:
    std::uint8_t* bytes_ = nullptr;
    std::size_t size_ = 0;
};

struct EngineSettings {
    Runtime runtime = Runtime::wasmtime;
    Purpose purpose = Purpose::command;
    std::uint64_t stack_bytes_max = 0;  // 0: the engine's default
    // Of a server that will serve: see skiff_engine_config.
    std::uint32_t instances_max = 0;
    std::uint64_t instance_memory_bytes_max = 0;
    friend bool operator==(const EngineSettings&, const EngineSettings&) = default;
};

// Changes whenever artifacts of this library could not be used by another one.
[[nodiscard]] Result<std::string> compatibility_key();
// "wasmtime 48.0.8, wasmi 2.0.0"
[[nodiscard]] std::string version();
// Whether this build has it: one without a compiler has wasmi only.
[[nodiscard]] bool has_runtime(Runtime runtime);

// Reads what `wasm` is; milliseconds. `into` is filled also when an import is unsupported.
// Errors: invalid (not Wasm), unsupported (an import or feature that `runtime` has not), internal.
[[nodiscard]] Result<void> inspect(Runtime runtime, std::span<const std::uint8_t> wasm,
                                   Inspection& into);

// The component `socket` with `plugs` linked in, in their order. Errors: invalid (nothing fits, the
// message says which plug), unsupported (no compiler in this build).
[[nodiscard]] Result<Artifact> link(std::span<const std::uint8_t> socket,
                                    std::span<const std::span<const std::uint8_t>> plugs);

class Engine {
public:
    // Starts no thread, draws no random number, compiles nothing: fit for a process that forks.
    // Errors: unsupported (this build has no such runtime), internal.
    [[nodiscard]] static Result<Engine> create(const EngineSettings& settings);

    // Makes the artifact of a module for whose purpose this engine was made. Seconds and hundreds
    // of megabytes for large modules. Errors as of inspect().
    [[nodiscard]] Result<Artifact> compile(std::span<const std::uint8_t> wasm) const;
    // Maps an artifact; trusts its bytes. Errors: conflict (made by another engine: compile again),
    // unavailable (reading failed), internal.
    [[nodiscard]] Result<Module> load(int fd) const;

private:
    struct Free {
        void operator()(skiff_engine* engine) const;
    };
    explicit Engine(skiff_engine* engine) : engine_(engine) {}
    std::unique_ptr<skiff_engine, Free> engine_;
};

// Runs a guest to its end on this thread; once per process.
[[nodiscard]] Outcome run(const Module& module, const GuestGrant& grant);
// Serves HTTP by it until the grant's stop order; once per process.
[[nodiscard]] Outcome serve(const Module& module, const GuestGrant& grant,
                            const ServerSettings& server);

}  // namespace skiff::wasm
