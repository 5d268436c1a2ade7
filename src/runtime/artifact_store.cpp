#include "runtime/artifact_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "base/digest.h"
#include "base/limits.h"
#include "os/file.h"
#include "runtime/mac.h"
#include "state/checkpoint.h"
#include "state/digest.h"

namespace skiff::runtime {

namespace {

constexpr std::string_view kFactsKind = "artifact";
constexpr std::size_t kArtifactsMax = 1'000'000;  // names in the folder

std::filesystem::path facts_path(const state::Paths& paths, const std::string& key) {
    return paths.compiled() / (key + ".facts");
}

// Any write to the code changes it, and any change of the facts.
Result<std::string> mark_of(int fd, const StoredFacts& facts) {
    SKIFF_TRY(os::FileStamp stamp, os::stamp_of(fd));
    return fmt::format("{} {} {} {} {} {}", stamp.device, stamp.inode, stamp.size,
                       stamp.modified_ns, stamp.changed_ns, sha256_hex(wire::encode(facts)));
}

// Of the code with its facts: they decide how it is run, and with which system calls.
Result<std::string> mac_of(const std::string& mac_key, StoredFacts facts, int fd) {
    facts.mac.clear();
    return mac_hex_of_file(mac_key, wire::encode(facts), fd);
}

Result<void> check(const state::Paths& paths, const std::string& mac_key, const StoredFacts& facts,
                   int fd) {
    auto mark_path = paths.checked_artifacts() / facts.key;
    SKIFF_TRY(std::string mark, mark_of(fd, facts));
    auto marked = os::read_file(mark_path, 4_KiB);
    if (marked && *marked == mark) {
        return {};
    }
    SKIFF_TRY(std::string mac, mac_of(mac_key, facts, fd));
    if (!equal_secrets(mac, facts.mac)) {
        return fail(Code::corrupt, "the compiled module {} fails its check", facts.key);
    }
    return os::write_file_atomic(mark_path, mark, 0600, os::Durability::process);
}

Result<StoredFacts> load_facts(const state::Paths& paths, const std::string& key) {
    SKIFF_TRY(std::string bytes, state::load_checkpoint(facts_path(paths, key), kFactsKind));
    SKIFF_TRY(StoredFacts facts, wire::decode<StoredFacts>(bytes));
    if (facts.key != key) {
        return fail(Code::corrupt, "the facts of {} are those of another artifact", key);
    }
    return facts;
}

bool imports_sockets(const std::vector<std::string>& imports) {
    return std::ranges::any_of(imports, [](const std::string& line) {
        return line.starts_with("wasi_snapshot_preview1 sock_");
    });
}

}  // namespace

std::string artifact_key(const pods::CompileRequest& request, std::string_view engine) {
    std::string modules = request.module.digest;
    for (const auto& plug : request.plugs) {
        modules += " " + plug.digest;
    }
    return sha256_hex(
        fmt::format("skiff artifact 4\n{}\n{}\n{}", modules, request.handler, engine));
}

Result<std::shared_ptr<OpenArtifact>> load_artifact(const state::Paths& paths,
                                                    const std::string& mac_key,
                                                    const std::string& key) {
    auto load = [&]() -> Result<std::shared_ptr<OpenArtifact>> {
        SKIFF_TRY(StoredFacts facts, load_facts(paths, key));
        auto opened = std::make_shared<OpenArtifact>();
        SKIFF_TRY(opened->fd, os::open_regular(paths.compiled() / key));
        SKIFF_CHECK(check(paths, mac_key, facts, opened->fd.get()));
        opened->artifact.key = key;
        opened->artifact.module_size = Bytes{facts.module_bytes};
        opened->artifact.opens_sockets = facts.facts.uses_sockets;
        opened->artifact.wants_sockets = imports_sockets(facts.facts.imports);
        opened->artifact.handles_stop = facts.facts.handles_stop;
        opened->artifact.serves_http = facts.facts.purpose == wire::Purpose::server;
        opened->artifact.is_component = facts.facts.kind == wire::ModuleKind::component;
        opened->facts = std::move(facts.facts);
        return opened;
    };
    auto loaded = load();
    if (!loaded && loaded.error().code == Code::corrupt) {
        for (const auto& path : {paths.compiled() / key, facts_path(paths, key)}) {
            state::quarantine(path, paths.quarantine(), loaded.error().message);
        }
    }
    return loaded;
}

Result<void> store_artifact(const state::Paths& paths, const std::string& mac_key,
                            const std::filesystem::path& file, StoredFacts facts) {
    SKIFF_TRY(os::Fd fd, os::open_regular(file));
    // What the jailed compiler was given must not stay writable for anybody.
    if (::fchmod(fd.get(), 0400) != 0 || ::fsync(fd.get()) != 0) {
        return fail_errno(errno, "fsync an artifact");
    }
    SKIFF_TRY(facts.mac, mac_of(mac_key, facts, fd.get()));
    auto target = paths.compiled() / facts.key;
    // The facts go last: without them the artifact does not exist.
    if (::rename(file.c_str(), target.c_str()) != 0) {
        return fail_errno(errno, fmt::format("rename to {}", target.string()));
    }
    SKIFF_CHECK(state::store_checkpoint(facts_path(paths, facts.key), kFactsKind,
                                        wire::encode(facts), os::Durability::power));
    SKIFF_TRY(std::string mark, mark_of(fd.get(), facts));
    return os::write_file_atomic(paths.checked_artifacts() / facts.key, mark, 0600,
                                 os::Durability::process);
}

Result<std::vector<CachedArtifact>> list_artifacts(const state::Paths& paths) {
    constexpr std::string_view kFacts = ".facts";
    SKIFF_TRY(auto names, os::list_folder(paths.compiled(), kArtifactsMax));
    std::set<std::string> keys;
    for (std::string& name : names) {
        if (name.starts_with('.')) {
            continue;  // of a compiler that runs
        }
        if (name.ends_with(kFacts)) {
            name.resize(name.size() - kFacts.size());
        }
        keys.insert(std::move(name));
    }
    std::vector<CachedArtifact> artifacts;
    for (const std::string& key : keys) {
        CachedArtifact artifact;
        artifact.key = key;
        std::error_code error;
        auto size = std::filesystem::file_size(paths.compiled() / key, error);
        artifact.size = Bytes{error ? 0 : size};
        if (auto facts = load_facts(paths, key)) {
            artifact.engine = std::move(facts->engine);
            artifact.modules = std::move(facts->modules);
        }
        artifacts.push_back(std::move(artifact));
    }
    return artifacts;
}

Result<void> remove_artifact(const state::Paths& paths, const std::string& key) {
    // The facts go first: without them there is no artifact.
    SKIFF_CHECK(os::remove_file(facts_path(paths, key)));
    SKIFF_CHECK(os::remove_file(paths.compiled() / key));
    return os::remove_file(paths.checked_artifacts() / key);
}

Result<void> check_module(const pods::ModuleFile& module) {
    SKIFF_TRY(os::Fd fd, os::open_regular(module.path));
    SKIFF_TRY(os::FileStamp stamp, os::stamp_of(fd.get()));
    return check_module_size(Bytes{stamp.size});
}

Result<OpenModule> open_module(const pods::ModuleFile& module,
                               const std::optional<os::FileStamp>& proven) {
    // The image store's files are root's own; a layered image's may be links within its layer,
    // which the image room has resolved.
    OpenModule opened;
    SKIFF_TRY(opened.fd, os::open_regular(module.path));
    SKIFF_TRY(opened.stamp, os::stamp_of(opened.fd.get()));
    SKIFF_CHECK(check_module_size(Bytes{opened.stamp.size}));
    constexpr std::string_view kAlgorithm = "sha256:";
    if (module.digest.starts_with(kAlgorithm) && proven != opened.stamp) {
        SKIFF_TRY(state::FileHash real, state::hash_file(opened.fd.get()));
        if (module.digest.substr(kAlgorithm.size()) != real.hex) {
            return fail(Code::corrupt, "the module's file is not what was pulled: {} is sha256:{}",
                        module.digest, real.hex);
        }
    }
    return opened;
}

}  // namespace skiff::runtime
