// Network namespaces: entering them surely, keeping them alive by a file. Blocking, any thread.
#pragma once

#include <filesystem>
#include <functional>

#include "base/result.h"
#include "os/fd.h"

namespace skiff::network {

// Both run `work` on a thread of its own, which ends with it: no thread of the agent's is ever in
// another namespace than the agent, not even after a failure. The caller waits.
//
// In a namespace that is new: it lives on only if `work` keeps it (pin_namespace(), a socket).
[[nodiscard]] Result<void> in_new_namespace(const std::function<Result<void>()>& work);
// In the one behind the descriptor.
[[nodiscard]] Result<void> in_namespace(const os::Fd& name_space,
                                        const std::function<Result<void>()>& work);

// The calling thread's namespace.
[[nodiscard]] Result<os::Fd> open_own_namespace();

// Keeps the calling thread's namespace alive by a file that is mounted over with it, as `ip netns`
// does; the file is made. Others join by opening it. Fails with exists when there is such a file.
[[nodiscard]] Result<void> pin_namespace(const std::filesystem::path& path);
// The namespace that is pinned there. not_found when there is no such file, or one that nothing is
// mounted over: a crash left it, unpin_namespace() removes it.
[[nodiscard]] Result<os::Fd> open_pinned(const std::filesystem::path& path);
// A socket that belongs to the pinned namespace, close-on-exec and not blocking.
[[nodiscard]] Result<os::Fd> socket_in(const std::filesystem::path& path, int family, int type);
// Lets go of it and removes the file. The namespace goes when its last process and descriptor have.
// Nothing there is fine.
[[nodiscard]] Result<void> unpin_namespace(const std::filesystem::path& path);

}  // namespace skiff::network
