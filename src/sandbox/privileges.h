// Giving up power for good: users, groups, capabilities, limits.
#pragma once

#include <optional>

#include "base/result.h"
#include "sandbox/policy.h"

namespace skiff::sandbox {

// Lowers the limits (never above the hard ones that are in force), no core dumps.
[[nodiscard]] Result<void> set_limits(const Limits& limits);

// What becomes of the process's own supplemental groups. In a user namespace that an ordinary user
// made they cannot be changed; only there may they stay.
enum class OldGroups { drop, keep_if_forbidden };

// Becomes `who`, and `files` towards files where they are given (ids of the current user namespace)
// without a single capability, now and after any exec, and with no_new_privs.
[[nodiscard]] Result<void> drop_to(const Credentials& who, const std::optional<Credentials>& files,
                                   OldGroups old);

}  // namespace skiff::sandbox
