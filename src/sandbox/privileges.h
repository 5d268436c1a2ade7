// Giving up power for good: users, groups, capabilities, limits.
#pragma once

#include <optional>

#include "base/result.h"
#include "sandbox/policy.h"

namespace skiff::sandbox {

// Lowers the limits (never above the hard ones that are in force), no core dumps.
[[nodiscard]] Result<void> set_limits(const Limits& limits);

// Becomes `who`, and `files` towards files where they are given (ids of the current user namespace)
// without a single capability, now and after any exec, and with no_new_privs. Supplemental groups
// cannot be changed in a user namespace that an ordinary user made; there they stay.
[[nodiscard]] Result<void> drop_to(const Credentials& who,
                                   const std::optional<Credentials>& files = std::nullopt);

}  // namespace skiff::sandbox
