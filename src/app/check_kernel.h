// Checks of the kernel: what sandboxes are made of.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "app/check.h"

namespace skiff::app {

struct KernelFacts {
    std::string release;
    bool proc = false;                 // /proc is mounted and tells of this process
    std::set<std::string> namespaces;  // kinds: "user", "mnt", …
    // Why no user namespace with ids could be made; empty: one was.
    std::string user_namespace_error;
    // Why no mount could be asked for other ids; empty: it could.
    std::string idmapped_mounts_error;
    int landlock_abi = 0;
    bool seccomp_filter = false;
    std::set<std::string> calls;  // system calls that the kernel has: "pidfd_open", …
    std::vector<std::string> missing_capabilities;
    bool root = false;
};

[[nodiscard]] KernelFacts observe_kernel();
[[nodiscard]] Findings judge_kernel(const KernelFacts& facts);

}  // namespace skiff::app
