#include "sandbox/user_namespace.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "os/file.h"

namespace skiff::sandbox {

namespace {

// The group first, then the others, each once: a map names no id twice.
std::vector<std::uint32_t> groups_of(const Credentials& who) {
    std::vector<std::uint32_t> groups = {who.gid};
    for (const std::uint32_t group : who.groups) {
        if (std::ranges::find(groups, group) == groups.end()) {
            groups.push_back(group);
        }
    }
    return groups;
}

}  // namespace

os::IdMaps id_maps(const Policy& policy) {
    const IdRange& range = policy.ids;
    os::IdMaps maps{{{0, range.host_base, range.count}}, {{0, range.host_base, range.count}}};
    if (policy.files_as == FilesAs::machine) {
        maps.users.push_back({range.count, policy.who.uid, 1});
        std::uint32_t inside = range.count;
        for (const std::uint32_t group : groups_of(policy.who)) {
            maps.groups.push_back({inside++, group, 1});
        }
    }
    return maps;
}

std::optional<Credentials> file_credentials(const Policy& policy) {
    if (policy.files_as == FilesAs::pod) {
        return std::nullopt;
    }
    std::uint32_t inside = policy.ids.count;
    Credentials files{inside, inside, {}};
    for (std::size_t i = 1; i < groups_of(policy.who).size(); ++i) {
        files.groups.push_back(++inside);
    }
    return files;
}

Result<void> become_own_root() {
    const uid_t uid = ::geteuid();
    const gid_t gid = ::getegid();
    if (::unshare(CLONE_NEWUSER) < 0) {
        return fail_errno(errno, "make a user namespace of one's own");
    }
    SKIFF_CHECK(os::write_kernel_file("/proc/self/setgroups", "deny"));
    SKIFF_CHECK(os::write_kernel_file("/proc/self/uid_map", fmt::format("0 {} 1\n", uid)));
    return os::write_kernel_file("/proc/self/gid_map", fmt::format("0 {} 1\n", gid));
}

bool has_single_id() {
    const auto map = os::read_kernel_file("/proc/self/uid_map");
    if (!map) {
        return false;
    }
    const auto words = split(trim(*map), ' ');
    return parse_uint(words.back()) == 1U && map->find('\n') + 1 == map->size();
}

}  // namespace skiff::sandbox
