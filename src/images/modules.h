// Finds a Wasm file in the layers of an image, as a process inside the container would. Blocking.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "images/digest.h"
#include "os/file.h"

namespace skiff::images {

// Digests of files that were hashed before.
using KnownDigests = std::map<os::FileStamp, Digest>;

struct FoundModule {
    std::filesystem::path path;  // on the host, inside one of the layers
    Digest digest;
    Bytes size;
    os::FileStamp stamp;
};

struct ModuleQuery {
    std::vector<std::filesystem::path> layers;  // lowest first
    std::string command;                        // "/x.wasm", "bin/x.wasm", "x.wasm"
    std::string working_dir;                    // of the image
    std::vector<std::string> search_path;       // folders of PATH
    std::shared_ptr<const KnownDigests> known;  // may be null
};

// A command with a slash is relative to the working folder; one without is looked up in the search
// path, then in the working folder. Upper layers hide lower ones, whiteouts hide files, symbolic
// links stay inside the image. Fails with not_found, corrupt, or exhausted: beyond kModuleBytesMax,
// before a byte was read.
[[nodiscard]] Result<FoundModule> find_module_in(const ModuleQuery& query);

struct WasmFile {
    std::string path;  // in the image: "/app/x.wasm"
    Bytes size;
};

// The regular files that end in .wasm and that a process in a container of these layers (lowest
// first) would see, by path. Fails with exhausted beyond kWasmFilesMax.
[[nodiscard]] Result<std::vector<WasmFile>> wasm_files_in(
    const std::vector<std::filesystem::path>& layers);

// Of `wanted` digests (by size) those that a .wasm file in `folder` has, whatever hides it from a
// container.
[[nodiscard]] Result<std::set<Digest>> find_digests_in(
    const std::filesystem::path& folder, const std::map<Digest, std::uint64_t>& wanted);

}  // namespace skiff::images
