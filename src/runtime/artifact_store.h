// The blocking half of the artifact cache: files, MACs, checks. For the pool's threads; no state.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "os/fd.h"
#include "os/file.h"
#include "runtime/artifacts.h"
#include "state/paths.h"
#include "wire/compile.h"

namespace skiff::runtime {

// The content of `<key>.facts`.
struct StoredFacts {
    std::string key;
    std::uint64_t module_bytes = 0;
    wire::ModuleFacts facts;
    std::string mac;
    std::string engine;  // everything of the key but modules and handler
    std::vector<SourceModule> modules;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.key, s.module_bytes, s.facts, s.mac, s.engine, s.modules);
    }
};

// Under which name the cache has what an engine makes of a request: hexadecimal digits that depend
// on the digests in their order, the handler and the engine (StoredFacts::engine).
[[nodiscard]] std::string artifact_key(const pods::CompileRequest& request,
                                       std::string_view engine);

// Opens what the cache has. not_found: nothing; corrupt: it failed its check and was quarantined.
// The MAC, of code and facts, is computed unless the run-dir says that these very ones were checked
// in this boot.
[[nodiscard]] Result<std::shared_ptr<OpenArtifact>> load_artifact(const state::Paths& paths,
                                                                  const std::string& mac_key,
                                                                  const std::string& key);

// Makes the compiler's output part of the cache: fsynced, with its facts, under its name. `file` is
// the temporary that the compiler wrote.
[[nodiscard]] Result<void> store_artifact(const state::Paths& paths, const std::string& mac_key,
                                          const std::filesystem::path& file, StoredFacts facts);

// Everything in the cache, by the facts alone. What has no readable ones is listed without engine
// and modules.
[[nodiscard]] Result<std::vector<CachedArtifact>> list_artifacts(const state::Paths& paths);
// Missing is fine. Who has it open keeps it.
[[nodiscard]] Result<void> remove_artifact(const state::Paths& paths, const std::string& key);

// Whether the module is small enough to be compiled, before a byte of it is read
// (check_module_size()).
[[nodiscard]] Result<void> check_module(const pods::ModuleFile& module);

// The bytes to compile, opened and proved to have the digest that was admitted: by hashing, or
// because the file still is what `proven` says it was when that was done.
struct OpenModule {
    os::Fd fd;
    os::FileStamp stamp;
};
[[nodiscard]] Result<OpenModule> open_module(const pods::ModuleFile& module,
                                             const std::optional<os::FileStamp>& proven);

}  // namespace skiff::runtime
