// A user namespace as a descriptor: the ids of one pod.
#pragma once

#include "base/result.h"
#include "os/fd.h"
#include "sandbox/policy.h"

namespace skiff::sandbox {

// Makes a user namespace in which ids 0..count-1 are the machine's host_base..host_base+count-1 and
// that holds no process. For idmapped mounts and for setns(2). The caller needs CAP_SETUID,
// CAP_SETGID and a mounted /proc, and must be single-threaded (a helper of its own is born in the
// namespace and reaped before the call returns).
[[nodiscard]] Result<os::Fd> create_user_namespace(IdRange range);

// The process (single-threaded, without privilege) moves into a new user namespace where it is root
// and only its own ids exist: what an ordinary user can have.
[[nodiscard]] Result<void> become_own_root();

// Whether this process lives in a namespace such as become_own_root() makes: one id and no more.
[[nodiscard]] bool has_single_id();

}  // namespace skiff::sandbox
