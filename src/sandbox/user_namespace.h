// A user namespace as a descriptor: the ids of one pod.
#pragma once

#include <optional>

#include "base/result.h"
#include "os/fd.h"
#include "os/user_namespace.h"
#include "sandbox/policy.h"

namespace skiff::sandbox {

// The ids of a policy's user namespace: 0..count-1 are the machine's host_base..; with
// FilesAs::machine the ids from `count` on are the machine's own ids of user and groups, each once.
[[nodiscard]] os::IdMaps id_maps(const Policy& policy);
// Who the process is towards files, in ids of that namespace; nullopt: nobody else than `who`.
[[nodiscard]] std::optional<Credentials> file_credentials(const Policy& policy);

// The process (single-threaded, without privilege) moves into a new user namespace where it is root
// and only its own ids exist: what an ordinary user can have.
[[nodiscard]] Result<void> become_own_root();

// Whether this process lives in a namespace such as become_own_root() makes: one id and no more.
[[nodiscard]] bool has_single_id();

}  // namespace skiff::sandbox
