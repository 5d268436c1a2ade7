// What the node and its pods use, as the routes of metrics-server and of dashboards show it
// (contract rows 48, 49). Values only; both forms are made by pure functions.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/stalls.h"
#include "base/time.h"
#include "base/types.h"
#include "server/metrics_text.h"

namespace skiff::server {

struct CpuStats {
    std::chrono::nanoseconds total{};
    // Billionths of a core since the sample before; nullopt: there was none.
    std::optional<std::uint64_t> nano_cores;
    std::optional<Stalls> stalls{};
};

struct SwapStats {
    std::optional<Bytes> available;
    Bytes used;
};

// What the kernel counts of a group of processes beyond CPU time and working set.
struct GroupStats {
    std::optional<Bytes> memory_used;
    std::optional<Bytes> memory_anonymous;
    std::optional<Bytes> memory_limit;  // absent: none
    std::optional<std::uint64_t> page_faults;
    std::optional<std::uint64_t> major_page_faults;
    std::optional<SwapStats> swap;
    std::optional<Stalls> memory_stalls;
    std::optional<Stalls> io_stalls;
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
    GroupStats group;
    std::optional<FsStats> rootfs;
    std::optional<FsStats> logs;
};

struct VolumeStats {
    std::string name;
    std::string claim;  // the PersistentVolumeClaim's, empty: none
    FsStats fs;
};

// What went through one interface since it was made, as its owner sees it.
struct LinkStats {
    std::string name;
    std::uint64_t rx_bytes = 0;
    std::uint64_t rx_packets = 0;
    std::uint64_t rx_errors = 0;
    std::uint64_t rx_dropped = 0;
    std::uint64_t tx_bytes = 0;
    std::uint64_t tx_packets = 0;
    std::uint64_t tx_errors = 0;
    std::uint64_t tx_dropped = 0;
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
    std::vector<LinkStats> links;  // of its network; with hostNetwork the node's, as a kubelet has
    std::uint64_t processes = 0;
};

struct NodeStats {
    std::string name;
    WallTime at;  // of the sample
    WallTime booted;
    CpuStats cpu;
    Bytes memory_total;
    Bytes memory_available;
    GroupStats group;  // of the machine
    FsStats fs;
    FsStats image_fs;
    std::vector<LinkStats> links;  // to the outside
    std::int64_t processes = 0;
    std::int64_t processes_max = 0;
    std::vector<PodStats> pods;

    [[nodiscard]] Bytes memory_working_set() const {
        return Bytes{memory_total.value - std::min(memory_available.value, memory_total.value)};
    }
};

// How much is looked at: disks take longer.
enum class StatsScope { cpu_and_memory, all };

// /metrics/resource. `at` stands behind each sample.
void write_resource_metrics(const NodeStats& stats, MetricsText& text);
// When the node cannot be looked at: the same page, without samples but the error's.
void write_failed_resource_metrics(MetricsText& text);
// The document of /stats/summary.
[[nodiscard]] std::string summary_json(const NodeStats& stats, StatsScope scope);

}  // namespace skiff::server
