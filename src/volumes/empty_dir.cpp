#include <sys/stat.h>

#include "os/file.h"
#include "os/mount.h"
#include "volumes/kinds.h"

namespace skiff::volumes {

namespace {

// The kernel counts what a tmpfs holds against nobody of the pod, so it never gets more than the
// pod's containers together, or than pods may have at all.
std::optional<Bytes> memory_bound(const kube::Pod& pod, const pods::PodFacts& facts) {
    std::int64_t sum = 0;
    bool bounded = !pod.spec.containers.empty();
    for (const auto& container : pod.spec.containers) {
        auto limit = container.resources.limits.find("memory");
        if (limit == container.resources.limits.end()) {
            bounded = false;
            break;
        }
        sum += limit->second.value();
    }
    if (bounded) {
        return Bytes{static_cast<std::uint64_t>(sum)};
    }
    auto node = facts.allocatable.find("memory");
    if (node == facts.allocatable.end()) {
        return std::nullopt;
    }
    return Bytes{static_cast<std::uint64_t>(node->second.value())};
}

}  // namespace

Result<EmptyDirPlan> plan_empty_dir(const kube::Pod& pod, const pods::PodFacts& facts,
                                    const kube::EmptyDirVolumeSource& source,
                                    const std::string& field) {
    EmptyDirPlan plan;
    if (source.medium == "Memory") {
        plan.in_memory = true;
        plan.tmpfs_size = memory_bound(pod, facts);
        if (source.sizeLimit && !source.sizeLimit->is_zero()) {
            Bytes limit{static_cast<std::uint64_t>(source.sizeLimit->value())};
            plan.tmpfs_size = std::min(limit, plan.tmpfs_size.value_or(limit));
        }
    } else if (!source.medium.empty()) {
        return fail(Code::unsupported,
                    "{}.emptyDir.medium {} is not supported by this node: \"\" and Memory are",
                    field, source.medium);
    }
    if (pod.spec.securityContext && pod.spec.securityContext->fsGroup) {
        plan.fs_group = static_cast<std::uint32_t>(*pod.spec.securityContext->fsGroup);
    }
    return plan;
}

Result<void> set_up_empty_dir(const EmptyDirPlan& plan) {
    struct stat status{};
    bool fresh = ::lstat(plan.path.c_str(), &status) != 0;
    if (fresh) {
        SKIFF_CHECK(os::make_folders(plan.path, 0777));
    }
    if (plan.in_memory) {
        SKIFF_TRY(bool mounted, os::is_mount_point(plan.path));
        if (!mounted) {
            SKIFF_CHECK(os::mount_tmpfs(plan.path, {.size = plan.tmpfs_size, .mode = 0777}));
            fresh = true;
        }
    }
    // Only once: afterwards the files belong to the pod, which may have changed them.
    if (fresh && plan.fs_group) {
        SKIFF_CHECK(give_to_group(plan.path, *plan.fs_group, 0660));
    }
    return {};
}

}  // namespace skiff::volumes
