// Puts the calling process into its cage, in an order that matters.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "os/fd.h"
#include "os/user_namespace.h"
#include "sandbox/policy.h"
#include "sandbox/syscalls.h"
#include "sandbox/tree.h"

namespace skiff::sandbox {

// Moves this process, and so each one that it forks, into an empty IPC namespace. All runners share
// the keeper's: no guest has a call to use it with, and one each would be a mounted filesystem
// each.
[[nodiscard]] Result<void> leave_ipc();

// What the keeper makes once and every runner uses.
struct Shared {
    // An empty folder of root's, on which every process mounts its own root.
    std::string stage;
    // A network namespace without any interface, shared by all that have no network: they can open
    // no socket, so there is nothing to meet in it, and each one of their own would cost 0.1 MB of
    // kernel memory. Invalid: each process makes its own.
    os::Fd empty_network;
};
// Leaves the machine's IPC, too. Where the process may not return to its network namespace (an
// ordinary user), none is shared.
[[nodiscard]] Result<Shared> make_shared_parts(std::string stage);

// What every cage needs and no policy changes, so that it can be made before the policy is known.
struct Groundwork {
    // Of a process that may give ids only.
    std::optional<os::UnmappedUserNamespace> ids;
};
// Namespaces of its own for this process, apart from the mounts': their sources are taken first.
// `ids`: whether it may give a range of ids.
enum class GivesIds { no, yes };
[[nodiscard]] Result<Groundwork> lay_groundwork(GivesIds ids);

// One process's way into its cage: build(), then whatever still needs the machine (loading native
// code, /proc), then enter(), then lock(). Single-threaded; a failure leaves the process half
// confined, and it must end. Each error's `reason` is the stage that failed, one of: cgroup,
// identity, mounts, network, root, lockdown.
class Confinement {
public:
    // All three must outlive this object. `ground` was laid by this process; without it, build()
    // does so.
    Confinement(const Policy& policy, const Shared& shared, const SyscallFilter& filter,
                std::optional<Groundwork> ground = {})
        : policy_(policy),
          shared_(shared),
          filter_(filter),
          ground_(std::move(ground)),
          tree_(policy, user_namespace_) {}

    // Joins cgroups, makes the namespaces (the pid namespace is the caller's business: only a fork
    // enters it) and composes the tree; of a cage that is joined it only takes hold. The process is
    // still root and sees the machine.
    [[nodiscard]] Result<void> build();
    // Makes the tree its root, or joins the cage: no path of the machine can be named any more.
    [[nodiscard]] Result<void> enter();
    // Drops user, groups and every capability, sets limits, applies Landlock and the filter. Only
    // what the filter allows can be done afterwards. Descriptors stay as they are: see
    // close_all_but().
    [[nodiscard]] Result<void> lock();
    // The descriptors that enter() and lock() still need, and then close.
    [[nodiscard]] std::vector<int> descriptors() const;

private:
    Result<void> join_cgroups();
    Result<void> take_ids();
    Result<void> make_mount_namespace();
    Result<void> join_network();
    Result<void> hold_cage();
    Result<void> enter_cage();

    const Policy& policy_;
    const Shared& shared_;
    const SyscallFilter& filter_;
    std::optional<Groundwork> ground_;
    os::Fd user_namespace_;
    // Of a cage to be joined: mounts, network, host name, in the order of joining.
    std::vector<os::Fd> cage_;
    Tree tree_;
};

// Closes every descriptor above 2 that is not in `kept`; negative ones there are ignored. To be
// called after build(), with descriptors() among the kept, before anything opens what must stay.
void close_all_but(std::vector<int> kept);

// Whether this process may do what confinement needs (CAP_SYS_ADMIN in its user namespace).
[[nodiscard]] bool can_confine();

}  // namespace skiff::sandbox
