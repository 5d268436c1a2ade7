#include "engine/compiler.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <list>
#include <optional>
#include <vector>

#include "base/limits.h"
#include "base/sanitizer.h"
#include "base/text.h"
#include "engine/courtesy.h"
#include "os/fd.h"
#include "os/file.h"
#include "sandbox/confinement.h"
#include "sandbox/user_namespace.h"
#include "wasm/engine.h"
#include "wire/compile.h"

namespace skiff::engine {

namespace {

constexpr std::size_t kMessageBytesMax = 8192;

// Reports for ends that leave no time to think, encoded before.
struct LastWords {
    std::string out_of_memory;
    std::string out_of_time;
};
const LastWords* g_last_words = nullptr;

extern "C" void say_last_words(int signal) {
    const std::string& words =
        signal == SIGXCPU ? g_last_words->out_of_time : g_last_words->out_of_memory;
    (void)!::write(wire::kCompileReportFd, words.data(), words.size());
    ::_exit(1);
}

std::string exhausted(std::string message) {
    wire::CompileReport report;
    report.code = wire::CompileCode::exhausted;
    report.message = std::move(message);
    return wire::encode(report);
}

std::string needs_more_memory(const CompileSettings& settings) {
    return fmt::format("compiling needs more than {} of memory", Bytes{settings.memory_bytes_max});
}

// A failed allocation aborts, the CPU limit signals: both become a report.
void prepare_last_words(const CompileSettings& settings) {
    static LastWords words;
    words.out_of_memory = exhausted(needs_more_memory(settings));
    words.out_of_time = exhausted(
        fmt::format("compiling took more than {} seconds of CPU time", settings.cpu_seconds_max));
    g_last_words = &words;
    ::signal(SIGXCPU, say_last_words);
    ::signal(SIGABRT, say_last_words);
    const rlimit cpu{settings.cpu_seconds_max, settings.cpu_seconds_max + 2};
    (void)::setrlimit(RLIMIT_CPU, &cpu);
}

using ModuleBytes = std::span<const std::uint8_t>;

Result<ModuleBytes> map_module(int fd) {
    struct stat facts{};
    if (::fstat(fd, &facts) < 0) {
        return fail_errno(errno, "read the module");
    }
    if (!S_ISREG(facts.st_mode)) {
        // From a pipe: kept for the life of the process.
        static std::list<std::string> pipes;
        SKIFF_TRY(pipes.emplace_back(), os::read_all(fd, kModuleBytesMax));
        const std::string& bytes = pipes.back();
        return ModuleBytes(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    }
    const auto size = static_cast<std::size_t>(facts.st_size);
    if (size == 0) {
        return ModuleBytes{};
    }
    SKIFF_CHECK(check_module_size(Bytes{size}));
    void* memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (memory == MAP_FAILED) {
        return fail_errno(errno, "map the module");
    }
    return ModuleBytes(static_cast<const std::uint8_t*>(memory), size);
}

Result<void> lock_up(const CompileSettings& settings) {
    sandbox::PolicyBuilder builder;
    if (sandbox::can_confine() && !sandbox::has_single_id()) {
        constexpr std::uint32_t kNobody = 65534;
        builder.map_ids({kNobody, 1});
    } else {
        if (!sandbox::can_confine()) {
            SKIFF_CHECK(sandbox::become_own_root());
        }
        builder.keep_machine_ids(sandbox::MachineIds{});
    }
    builder.run_as({0, 0, {}}).use_empty_root(0).limit_open_files(16).limit_threads(1);
    if constexpr (kLimitsAddressSpace) {
        builder.limit_address_space(settings.memory_bytes_max);
    }
    builder.allow_syscalls(sandbox::SyscallProfile::compiler);
    SKIFF_TRY(const auto policy, builder.build());
    SKIFF_TRY(const auto filter, sandbox::SyscallFilter::build(policy.syscalls));
    SKIFF_CHECK(sandbox::leave_ipc());
    // In a mount namespace of its own any folder will do to mount a root on.
    const sandbox::Shared shared{"/tmp", os::Fd()};
    sandbox::Confinement confinement(policy, shared, filter);
    SKIFF_CHECK(confinement.build());
    std::vector<int> kept = confinement.descriptors();
    kept.push_back(wire::kCompileReportFd);
    sandbox::close_all_but(std::move(kept));
    SKIFF_CHECK(confinement.enter());
    return confinement.lock();
}

wire::ModuleKind kind_of(wasm::ModuleKind kind) {
    switch (kind) {
        case wasm::ModuleKind::core:
            return wire::ModuleKind::core;
        case wasm::ModuleKind::component:
            return wire::ModuleKind::component;
        case wasm::ModuleKind::unknown:
            break;
    }
    return wire::ModuleKind::unknown;
}

wire::CompileCode code_of(Code code) {
    switch (code) {
        case Code::invalid:
            return wire::CompileCode::invalid;
        case Code::unsupported:
            return wire::CompileCode::unsupported;
        case Code::exhausted:
            return wire::CompileCode::exhausted;
        case Code::unavailable:
            return wire::CompileCode::io;
        default:
            return wire::CompileCode::internal;
    }
}

// Bounded, so that a module with a million imports makes a report and no flood.
std::vector<std::string> bounded(std::vector<std::string> names) {
    std::size_t bytes = 0;
    const auto end = std::ranges::find_if(names, [&](const std::string& name) {
        bytes += name.size() + 4;
        return bytes > wire::kCompileReportBytesMax / 4;
    });
    names.erase(end, names.end());
    return names;
}

wire::ModuleFacts facts_of(wasm::Inspection inspection) {
    wire::ModuleFacts facts;
    facts.kind = kind_of(inspection.kind);
    facts.wasi = static_cast<std::uint8_t>(inspection.wasi);
    facts.has_start = inspection.has_start;
    facts.has_initialize = inspection.has_initialize;
    facts.has_run = inspection.has_run;
    facts.has_http_02 = inspection.has_http_02;
    facts.has_http_03 = inspection.has_http_03;
    facts.handles_stop = inspection.handles_stop;
    facts.uses_sockets = inspection.uses_sockets;
    facts.has_run_03 = inspection.has_run_03;
    facts.uses_http = inspection.uses_http;
    facts.purpose = static_cast<wire::Purpose>(inspection.purpose);
    facts.memory_bytes_min = inspection.memory_bytes_min;
    facts.imports = bounded(std::move(inspection.imports));
    facts.exports = bounded(std::move(inspection.exports));
    return facts;
}

void add_usage(wire::CompileReport& report, std::int64_t began_ms) {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    report.wall_ms =
        static_cast<std::uint64_t>(now.tv_sec * 1000 + now.tv_nsec / 1'000'000 - began_ms);
    rusage usage{};
    if (::getrusage(RUSAGE_SELF, &usage) == 0) {
        const auto milliseconds = [](const timeval& time) {
            return static_cast<std::uint64_t>(time.tv_sec * 1000 + time.tv_usec / 1000);
        };
        report.cpu_ms = milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime);
        report.memory_bytes_peak = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
    }
}

Result<std::uint64_t> compile_locked(const CompileSettings& settings, wasm::Inspection& facts,
                                     std::string& key) {
    SKIFF_TRY(ModuleBytes module, map_module(wire::kCompileModuleFd));
    std::vector<ModuleBytes> plugs;
    for (std::size_t i = 0; i < settings.plugs; ++i) {
        SKIFF_TRY(plugs.emplace_back(),
                  map_module(wire::kCompileFirstPlugFd + static_cast<int>(i)));
    }
    SKIFF_TRY(key, wasm::compatibility_key());
    prepare_last_words(settings);
    SKIFF_CHECK(lock_up(settings));
    offer_core_often();
    std::optional<wasm::Artifact> linked;
    if (!plugs.empty()) {
        SKIFF_TRY(auto made, wasm::link(module, plugs));
        const std::string_view bytes = linked.emplace(std::move(made)).bytes();
        module = {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
    }
    SKIFF_CHECK(wasm::inspect(settings.runtime, module, facts));
    if (settings.work == CompileSettings::Work::inspect) {
        if (!wasm::has_runtime(settings.runtime)) {
            return fail(Code::unsupported, "this build has no compiler: it has wasmi only");
        }
        return 0;
    }
    wasm::EngineSettings engine_settings;
    engine_settings.runtime = settings.runtime;
    engine_settings.purpose = facts.purpose;
    SKIFF_TRY(const auto engine, wasm::Engine::create(engine_settings));
    SKIFF_TRY(const auto artifact, engine.compile(module));
    SKIFF_CHECK(os::write_all(wire::kCompileArtifactFd, artifact.bytes()));
    return artifact.bytes().size();
}

}  // namespace

Result<int> compile(const CompileSettings& settings) {
    timespec begin{};
    ::clock_gettime(CLOCK_MONOTONIC, &begin);
    const std::int64_t began_ms = begin.tv_sec * 1000 + begin.tv_nsec / 1'000'000;
    // The first to go when memory ends: it is started again.
    (void)os::write_kernel_file("/proc/self/oom_score_adj", "1000");
    be_courteous();
    wasm::Inspection inspection;
    wire::CompileReport report;
    const auto size = compile_locked(settings, inspection, report.compatibility_key);
    report.facts = facts_of(std::move(inspection));
    if (size) {
        report.code = wire::CompileCode::ok;
        report.artifact_bytes = *size;
    } else {
        report.code = code_of(size.error().code);
        report.message = size.error().code == Code::exhausted
                             ? needs_more_memory(settings)
                             : bounded_utf8(size.error().message, kMessageBytesMax);
    }
    add_usage(report, began_ms);
    SKIFF_CHECK(os::write_all(wire::kCompileReportFd, wire::encode(report)));
    return report.code == wire::CompileCode::ok ? 0 : 1;
}

}  // namespace skiff::engine
