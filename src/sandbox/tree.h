// The container's tree of files: built by the kernel's mounts, in three steps around the birth of
// the mount namespace.
#pragma once

#include <vector>

#include "base/result.h"
#include "os/fd.h"
#include "sandbox/policy.h"

namespace skiff::sandbox {

// Builds a root and what is mounted in it. Use: open() in the machine's mount namespace, then
// assemble() in a new one, then enter(). Needs CAP_SYS_ADMIN; no mount of it is ever seen outside
// of the new namespace.
class Tree {
public:
    // What a mount point is.
    enum class NodeKind { folder, file };

    // `user_namespace` is whose ids idmapped mounts show; an invalid descriptor: there is none, and
    // TreeEntry::ids must not be `mapped`. `owner` owns what is made (host ids).
    // Both must outlive open() and assemble().
    Tree(const Policy& policy, const os::Fd& user_namespace)
        : policy_(policy), user_namespace_(user_namespace) {}

    // Takes hold of every source, as it is now: later renames and links change nothing.
    [[nodiscard]] Result<void> open();
    // Composes the tree on `stage`, an empty folder of root's, in a mount namespace of the caller's
    // own with private propagation.
    [[nodiscard]] Result<void> assemble(const std::string& stage);
    // Makes the tree the root and forgets the machine's; the working folder is "/" then.
    [[nodiscard]] Result<void> enter();
    // Those that enter() needs, between assemble() and it.
    [[nodiscard]] std::vector<int> descriptors() const { return {base_.get(), root_.get()}; }

private:
    struct Source {
        os::Fd mount;
        NodeKind kind = NodeKind::folder;
    };
    // Whether an idmapped mount shows the pod's ids, or the files' own are seen.
    enum class Shown { mapped, plain };
    Result<os::Fd> clone_of(const TreeEntry& entry);
    Result<Shown> show_ids(const TreeEntry& entry, int mount);
    Result<void> own_files(const TreeEntry& entry, std::uint32_t owner, Shown shown);
    Result<Source> open_entry(const TreeEntry& entry);
    static bool is_closed_last(const TreeEntry& entry);
    Result<Source> open_bind(const TreeEntry& entry);
    Result<Source> open_tmpfs(const TreeEntry& entry);
    Result<void> make_base();
    Result<void> attach_overlay();
    Result<void> attach(std::size_t index);
    Result<void> attach_file(const TreeEntry& entry);
    Result<os::Fd> target_of(const TreeEntry& entry, NodeKind kind);

    const Policy& policy_;
    const os::Fd& user_namespace_;
    std::vector<Source> sources_;  // one for each entry; files have none
    std::vector<os::Fd> layers_;   // detached mounts of the image's layers
    os::Fd base_;                  // our tmpfs: the root itself, or the stage of the overlay
    os::Fd root_;                  // the root of the container
    unsigned files_made_ = 0;
};

}  // namespace skiff::sandbox
