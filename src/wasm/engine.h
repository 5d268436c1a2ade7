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

#include "base/result.h"

struct skiff_engine;
struct skiff_module;

namespace skiff::wasm {

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

// What compiling gave: the artifact's bytes.
class Artifact {
public:
    Artifact(Artifact&& other) noexcept;
    Artifact& operator=(Artifact&&) = delete;
    ~Artifact();
    [[nodiscard]] std::string_view bytes() const;

private:
    friend class Engine;
    Artifact(std::uint8_t* bytes, std::size_t size) : bytes_(bytes), size_(size) {}
    std::uint8_t* bytes_ = nullptr;
    std::size_t size_ = 0;
};

struct EngineSettings {
    std::uint64_t stack_bytes_max = 0;  // 0: the engine's default
};

class Engine {
public:
    // Starts no thread, draws no random number, compiles nothing: fit for a process that forks.
    [[nodiscard]] static Result<Engine> create(const EngineSettings& settings);

    // Changes whenever artifacts of this engine could not be used by another one.
    [[nodiscard]] Result<std::string> compatibility_key() const;
    // "wasmtime 48.0.8"
    [[nodiscard]] static std::string version();

    // Reads what `wasm` is; milliseconds. `into` is filled also when an import is unsupported.
    // Errors: invalid (not Wasm), unsupported (an import or feature nobody has), internal.
    [[nodiscard]] Result<void> inspect(std::span<const std::uint8_t> wasm, Inspection& into) const;
    // The same and compiles. Seconds and hundreds of megabytes for large modules.
    [[nodiscard]] Result<Artifact> compile(std::span<const std::uint8_t> wasm,
                                           Inspection& into) const;
    // Maps an artifact; trusts its bytes. Errors: conflict (made by another engine: compile again),
    // unavailable (reading failed), internal.
    [[nodiscard]] Result<Module> load(int fd) const;
    // Runs a guest to its end on this thread; once per process.
    [[nodiscard]] Outcome run(const Module& module, const GuestGrant& grant) const;

private:
    struct Free {
        void operator()(skiff_engine* engine) const;
    };
    explicit Engine(skiff_engine* engine) : engine_(engine) {}
    std::unique_ptr<skiff_engine, Free> engine_;
};

}  // namespace skiff::wasm
