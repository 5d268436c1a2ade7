// What `skiff inspect` found out, and how it looks. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/types.h"
#include "images/modules.h"
#include "wire/compile.h"

namespace skiff::app {

// Whether an engine of this build can run the module.
struct Verdict {
    std::string runtime;  // a handler: wasmtime, pulley, wasmi
    wire::CompileCode code = wire::CompileCode::internal;
    std::string message;  // why not
};

struct ModuleInspection {
    std::string name;
    std::string digest;
    Bytes size;
    wire::ModuleFacts facts;
    std::vector<Verdict> verdicts;
};

struct Inspection {
    // An image; empty for a file.
    std::string reference;
    std::string image_digest;
    enum class Kind { file, artifact, layered } kind = Kind::file;
    std::vector<std::string> command;  // a layered image's Entrypoint and Cmd
    // What a pod starts, or was asked for. A layered image may not say.
    std::optional<ModuleInspection> module;
    std::vector<images::WasmFile> files;  // a layered image's, without `module`
};

// Whether some engine that was asked can run the module.
[[nodiscard]] bool can_run(const Inspection& inspection);

// Imports or exports of one interface, package or module.
struct NameGroup {
    std::string head;  // "wasi:cli@0.2.3", "wasi_snapshot_preview1"; empty for plain names
    std::vector<std::string> names;
};
// Groups the lines of ModuleFacts in the order of their first appearance.
[[nodiscard]] std::vector<NameGroup> group_names(const std::vector<std::string>& lines);

// One thing that a pod of this module gets or does not get: "network", "none: …".
struct Granted {
    std::string what;
    std::string text;
};
[[nodiscard]] std::vector<Granted> granted_to(const wire::ModuleFacts& facts);

// "core module, WASI 0.1, command".
[[nodiscard]] std::string describe(const wire::ModuleFacts& facts);

enum class Colour { no, yes };
// For people, lines of at most `width` characters where names allow it; ends with a line break.
[[nodiscard]] std::string render_table(const Inspection& inspection, std::size_t width,
                                       Colour colour);
[[nodiscard]] std::string render_json(const Inspection& inspection);

}  // namespace skiff::app
