// Landlock: a second opinion of the kernel on files and sockets, which needs no privilege.
#pragma once

#include <string>

#include "base/result.h"

namespace skiff::sandbox {

// What the kernel offers: 0 where there is no Landlock.
[[nodiscard]] int landlock_abi();

enum class TcpAccess { none, all };

// Confines the calling thread, as far as the kernel's version allows: below `root` everything but
// starting programs and making devices or sockets, elsewhere nothing; no TCP unless allowed; no
// signal and no abstract socket to a process outside. Needs no_new_privs. Without Landlock in the
// kernel it does nothing.
[[nodiscard]] Result<void> restrict_to(const std::string& root, TcpAccess tcp);

}  // namespace skiff::sandbox
