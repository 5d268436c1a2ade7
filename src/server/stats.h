// What the node and its pods use, as the routes of metrics-server and of dashboards show it
// (contract rows 48, 49). Values only; both forms are made by pure functions.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "base/types.h"

namespace skiff::server {

struct CpuStats {
    std::chrono::nanoseconds total{};
    // Billionths of a core since the sample before; nullopt: there was none.
    std::optional<std::uint64_t> nano_cores;
};

struct FsStats {
    std::optional<Bytes> capacity;  // of the filesystem
    std::optional<Bytes> available;
    std::optional<Bytes> used;
    std::optional<std::uint64_t> inodes;
    std::optional<std::uint64_t> inodes_free;
    std::optional<std::uint64_t> inodes_used;
};

struct ContainerStats {
    std::string name;
    WallTime started;
    CpuStats cpu;
    Bytes memory_working_set;
    std::optional<FsStats> rootfs;
    std::optional<FsStats> logs;
};

struct VolumeStats {
    std::string name;
    std::string claim;  // the PersistentVolumeClaim's, empty: none
    FsStats fs;
};

struct PodStats {
    PodName name;
    PodUid uid;
    std::optional<WallTime> started;
    std::vector<ContainerStats> containers;  // those that run
    CpuStats cpu;                            // containers that have ended included: never less
    Bytes memory_working_set;
    std::optional<FsStats> ephemeral_storage;
    std::vector<VolumeStats> volumes;
    std::uint64_t processes = 0;
};

struct NodeStats {
    std::string name;
    WallTime at;  // of the sample
    WallTime booted;
    CpuStats cpu;
    Bytes memory_total;
    Bytes memory_available;
    FsStats fs;
    FsStats image_fs;
    std::int64_t processes = 0;
    std::int64_t processes_max = 0;
    std::vector<PodStats> pods;

    [[nodiscard]] Bytes memory_working_set() const {
        return Bytes{memory_total.value - std::min(memory_available.value, memory_total.value)};
    }
};

// How much is looked at: disks take longer.
enum class StatsScope { cpu_and_memory, all };

// The text of /metrics/resource. `at` stands behind each sample.
[[nodiscard]] std::string resource_metrics(const NodeStats& stats);
// When the node cannot be looked at: the same page, without samples but the error's.
[[nodiscard]] std::string failed_resource_metrics();
// The document of /stats/summary.
[[nodiscard]] std::string summary_json(const NodeStats& stats, StatsScope scope);

}  // namespace skiff::server
