// Asks the kernel whether mounts can show their files with other ids (idmapped mounts).
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/result.h"
#include "os/fd.h"

namespace skiff::os {

// Immutable once made; any thread.
class IdMapProbe {
public:
    // One that cannot ask: it knows of no mount that cannot be mapped.
    IdMapProbe() = default;
    // Needs CAP_SETUID and CAP_SETGID now, and CAP_SYS_ADMIN for each question.
    [[nodiscard]] static Result<IdMapProbe> create();

    // A mount that cannot be idmapped, for messages.
    struct Unmappable {
        std::filesystem::path mount_point;
        std::string filesystem;  // "nfs4", "fuse.sshfs"; "unknown" when it is gone meanwhile
    };
    // The first such mount among that of `path` (links are followed) and all that are mounted below
    // it; nullopt when there is none. Tries it on a copy that nobody sees. Blocking.
    [[nodiscard]] Result<std::optional<Unmappable>> find_unmappable(
        const std::filesystem::path& path) const;

private:
    Fd namespace_;
};

}  // namespace skiff::os
