#include "os/id_map_probe.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "os/mount.h"
#include "os/user_namespace.h"

namespace skiff::os {

namespace {

enum class Answer { yes, no };

// EPERM: mapped already, or of a namespace that is not ours. ENOSYS: the kernel has no such mounts.
bool says_no(int error) {
    return error == EINVAL || error == EOPNOTSUPP || error == EPERM || error == ENOSYS;
}

Result<Answer> try_map(const std::filesystem::path& path, int user_namespace, unsigned recursive) {
    const Fd copy(
        ::open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive));
    if (!copy.valid()) {
        return fail_errno(errno, path.string());
    }
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_IDMAP;
    attributes.userns_fd = static_cast<std::uint64_t>(user_namespace);
    if (::mount_setattr(copy.get(), "", AT_EMPTY_PATH | recursive, &attributes,
                        sizeof attributes) == 0) {
        return Answer::yes;
    }
    if (says_no(errno)) {
        return Answer::no;
    }
    return fail_errno(errno, "map the ids of " + path.string());
}

bool is_below(const std::filesystem::path& point, const std::filesystem::path& folder) {
    const std::string prefix = folder == "/" ? "/" : folder.string() + "/";
    return point == folder || point.string().starts_with(prefix);
}

}  // namespace

Result<IdMapProbe> IdMapProbe::create() {
    IdMapProbe probe;
    // Whose ids it shows does not matter: nobody ever looks through these mounts.
    const IdMaps one{{{0, 65534, 1}}, {{0, 65534, 1}}};
    SKIFF_TRY(probe.namespace_, create_user_namespace(one));
    return probe;
}

Result<std::optional<IdMapProbe::Unmappable>> IdMapProbe::find_unmappable(
    const std::filesystem::path& path) const {
    if (!namespace_.valid()) {
        return std::nullopt;
    }
    SKIFF_TRY(const Answer whole, try_map(path, namespace_.get(), AT_RECURSIVE));
    if (whole == Answer::yes) {
        return std::nullopt;
    }
    std::error_code error;
    const auto real = std::filesystem::canonical(path, error);
    SKIFF_TRY(const auto table, mount_table());
    Unmappable found{path, "unknown"};
    SKIFF_TRY(const Answer top, try_map(path, namespace_.get(), 0));
    if (top == Answer::no) {
        // The last of the mounts that hold the path is the one that is seen.
        for (const MountEntry& mount : table) {
            if (is_below(real, mount.point)) {
                found = {mount.point, mount.filesystem};
            }
        }
        return found;
    }
    for (const MountEntry& mount : table) {
        if (!is_below(mount.point, real) || mount.point == real) {
            continue;
        }
        auto its = try_map(mount.point, namespace_.get(), 0);
        if (its && *its == Answer::no) {
            return Unmappable{mount.point, mount.filesystem};
        }
    }
    return found;
}

}  // namespace skiff::os
