// What a module is, told by a jailed process that reads it and compiles nothing. For `skiff
// inspect`; a module that is going to run is inspected while it is compiled (Artifacts).
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"
#include "wire/compile.h"

namespace skiff::runtime {

struct InspectRequest {
    std::filesystem::path engine_program;
    int module = -1;      // open for reading
    std::string handler;  // whose imports it is held against: wasmtime, pulley, wasmi
};

// Blocking, a few milliseconds, at most kInspectMax. `unsupported` and `invalid` modules are an
// answer: the report's code and message. Fails when there is none: timeout, exhausted (the process
// ended without a word), or the errors of starting a process.
[[nodiscard]] Result<wire::CompileReport> inspect_module(const InspectRequest& request);

}  // namespace skiff::runtime
