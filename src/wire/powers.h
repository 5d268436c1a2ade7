// The capabilities of a keeper. The agent that starts it must leave them to it; the keeper drops
// all others.
#pragma once

#include <linux/capability.h>

#include <array>

namespace skiff::wire {

// Each is used between a runner's fork and its last lock; a runner that runs its guest has none.
constexpr std::array kKeeperCapabilities = {
    // Namespaces, mounts, pivot_root, joining a pod's network.
    CAP_SYS_ADMIN,
    // Joining the files of a container that runs (setns(2) into a mount namespace asks for it): a
    // command in it.
    CAP_SYS_CHROOT,
    // The maps of a pod's user namespace; making mount points as the pod's own user.
    CAP_SETUID,
    CAP_SETGID,
    // A map in which user 0 of the machine occurs: files with the machine's ids (hostPath on a
    // filesystem that cannot map them).
    CAP_SETFCAP,
    // Giving files to the pod's range.
    CAP_CHOWN,
    // Volumes and image layers belong to anybody, and are closed to root without it; the kernel
    // also
    // copies files up into a container's writable layer with the powers of who mounted it.
    CAP_DAC_OVERRIDE,
    // The same kernel work on files of the guest's own: times, sticky folders.
    CAP_FOWNER,
    // Lowering the bounding set: the keeper's at its start, and that of a runner that has no user
    // namespace of its own to enter (of an ordinary user's keeper).
    CAP_SETPCAP,
};

}  // namespace skiff::wire
