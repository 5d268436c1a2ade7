// A user namespace as a descriptor: ids and no process.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "os/fd.h"

namespace skiff::os {

// `count` ids of the namespace from `inside` on are those from `outside` on of the caller's.
struct IdExtent {
    std::uint32_t inside = 0;
    std::uint32_t outside = 0;
    std::uint32_t count = 0;
};

struct IdMaps {
    std::vector<IdExtent> users;
    std::vector<IdExtent> groups;
};

// A user namespace that has no ids yet and holds no process: most of the work of making one, ahead
// of the moment at which its ids are known.
class UnmappedUserNamespace {
public:
    // Needs a mounted /proc. Any thread: a helper of its own is born in the namespace and reaped
    // before the call returns.
    [[nodiscard]] static Result<UnmappedUserNamespace> create();
    // Gives it its ids, once and for good, and gives it away: a descriptor for idmapped mounts and
    // for setns(2). Needs CAP_SETUID, CAP_SETGID, and CAP_SETFCAP when user 0 of the machine is
    // among the ids. Fails with exhausted for more extents than fit the kernel's page.
    [[nodiscard]] Result<Fd> map(const IdMaps& maps);

private:
    Result<void> open_maps(int proc);

    Fd name_space_;
    Fd users_;
    Fd groups_;
};

// Both steps in one.
[[nodiscard]] Result<Fd> create_user_namespace(const IdMaps& maps);

}  // namespace skiff::os
