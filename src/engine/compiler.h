// `skiff-engine compile`: one module in, one artifact or what it is out, in a cage of its own.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "wasm/engine.h"

namespace skiff::engine {

struct CompileSettings {
    enum class Work {
        compile,
        inspect,  // only the report: nothing is compiled, the artifact's descriptor is not used
    } work = Work::compile;
    wasm::Runtime runtime = wasm::Runtime::wasmtime;
    std::size_t plugs = 0;                        // components to link into the module
    std::uint64_t memory_bytes_max = 2ULL << 30;  // of address space
    std::uint64_t cpu_seconds_max = 300;
};

// Reads the module from descriptor 0 and what is plugged into it from 4 on, writes the artifact to
// 1 and a wire::CompileReport to 3. The module's bytes are looked at only after the process has
// locked itself up: no path, no network, no other process, one thread, idle priority, bounded
// memory and time. Returns the exit status: 0 when the report says ok, 1 when it says why not.
// Fails only when no report can be written.
[[nodiscard]] Result<int> compile(const CompileSettings& settings);

}  // namespace skiff::engine
