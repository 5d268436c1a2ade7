// What the node says about itself: a pure function from facts to Node and NodeStatus (contract rows
// 5, 8, 9; design: how Skiff looks to the cluster).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "kube/types.h"
#include "node/settings.h"

namespace skiff::node {

// The kubelet that Skiff stands in for.
inline constexpr std::string_view kKubeletVersion = "v1.37.2";
inline constexpr std::size_t kImageNamesMax = 5;

// The machine as it is now.
struct MachineFacts {
    unsigned cpus = 0;
    Bytes memory_total;
    Bytes memory_available;
    Bytes swap_total;
    Bytes disk_total;  // of the filesystem of --root-dir
    Bytes disk_available;
    std::uint64_t inodes_total = 0;
    std::uint64_t inodes_available = 0;
    Bytes image_disk_total;  // of the filesystem with the images, often the same
    Bytes image_disk_available;
    std::uint64_t image_inodes_total = 0;
    std::uint64_t image_inodes_available = 0;
    std::int64_t pids_max = 0;
    std::int64_t pids_used = 0;
    std::string machine_id;
    std::string system_uuid;
    std::string boot_id;
    std::string kernel_release;
    std::string os_image;
    std::string architecture;  // Go's name: amd64, arm64, …
};
// Reads it from /proc, statvfs and uname. The images are in `root_dir`/images once there are any.
[[nodiscard]] Result<MachineFacts> observe_machine(const std::filesystem::path& root_dir);

// What other parts of the agent contribute to the status.
struct StatusInputs {
    std::string kubelet_version = std::string(kKubeletVersion);
    std::vector<kube::ContainerImage> images;
    // Those of MemoryPressure, DiskPressure and PIDPressure that hold.
    std::vector<std::string> pressures;
    // Why the node is not ready, one clause each; empty: it is.
    std::vector<std::string> problems;
};

// The lower of our version and the server's ("v1.34.2+k3s1" → v1.34.2), so that the node is never
// newer than the control plane.
[[nodiscard]] std::string kubelet_version_for(std::string_view server_version);

// The labels of every Skiff node, and the configured ones over them.
[[nodiscard]] std::map<std::string, std::string> node_labels(const NodeSettings& settings);

// The object to register.
[[nodiscard]] kube::Node make_node(const NodeSettings& settings, kube::NodeStatus status);

// The whole status. Fields that others own (volumesAttached, volumesInUse …) are kept from
// `previous`, as is the lastTransitionTime of a condition whose status stays.
[[nodiscard]] kube::NodeStatus make_status(const NodeSettings& settings, const MachineFacts& facts,
                                           const StatusInputs& inputs,
                                           const kube::NodeStatus& previous, WallTime now);

// What a node cannot do without and `capacity` lacks, sorted: "missing node capacity for resources:
// cpu, memory"; empty: it has all (contract row 8).
[[nodiscard]] std::string missing_capacity(const kube::ResourceList& capacity);

// Whether they differ in anything but heartbeat times.
[[nodiscard]] bool differs_beyond_heartbeat(const kube::NodeStatus& a, const kube::NodeStatus& b);

// A quantity or a percentage of `total` ("10%"), as eviction thresholds are written; nullopt if
// malformed.
[[nodiscard]] std::optional<std::uint64_t> threshold_of(std::string_view text, std::uint64_t total);

}  // namespace skiff::node
