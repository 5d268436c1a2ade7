// Which pod goes when the node is short of something, and why a pod goes that uses more disk than
// it may; with the kubelet's words (contract row 62). Pure.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kube/types.h"
#include "pods/decide.h"

namespace skiff::pods {

struct ContainerUse {
    std::uint64_t memory_bytes = 0;  // working set
    std::uint64_t disk_bytes = 0;    // logs and what it wrote beside its volumes
};

// What a pod uses of the node.
struct PodUse {
    std::shared_ptr<const kube::Pod> pod;
    std::map<std::string, ContainerUse> containers;   // those that run
    std::map<std::string, std::uint64_t> empty_dirs;  // bytes of those on the disk or in memory
    std::uint64_t volume_bytes = 0;  // of its emptyDirs on the disk, of ConfigMaps and the like
    std::uint64_t inodes = 0;
    std::uint64_t processes = 0;

    [[nodiscard]] std::uint64_t memory_bytes() const;
    [[nodiscard]] std::uint64_t disk_bytes() const;
};

// What there is too little of, and what threshold said so.
struct Shortage {
    std::string resource;        // memory, ephemeral-storage, inodes, pids
    std::uint64_t quantity = 0;  // the threshold
    std::uint64_t available = 0;
    std::optional<Duration> grace;  // that the victim has at most
};

// The pods that may be evicted for it, the first to go first: who uses more than it asked for
// (memory and disk), then who has the lower priority, then who uses most beyond what it asked for.
// Critical pods are left out.
[[nodiscard]] std::vector<const PodUse*> rank_for_eviction(const std::vector<PodUse>& pods,
                                                           std::string_view resource);
[[nodiscard]] Eviction eviction_for(const Shortage& shortage, const PodUse& victim);

// Why a pod that uses more local storage than its own limits allow has to go: the size limit of an
// emptyDir, its containers' limits together, or one container's. nullopt: it does not.
[[nodiscard]] std::optional<Eviction> storage_eviction(const PodUse& use);

// Whether the disk has to be looked at for storage_eviction().
[[nodiscard]] bool has_storage_limits(const kube::PodSpec& spec);

}  // namespace skiff::pods
