// What the kernel counts of a control group beyond what it may use: for dashboards. Version 1 and 2
// alike; what a version or a kernel does not tell is absent.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

#include "base/stalls.h"
#include "base/types.h"
#include "os/cgroup.h"

namespace skiff::os {

// The text of /proc/pressure/* or of a group's *.pressure; nullopt for anything else.
[[nodiscard]] std::optional<Stalls> parse_stalls(std::string_view text);
// Of the machine; `resource` is cpu, memory or io. nullopt where the kernel does not count.
[[nodiscard]] std::optional<Stalls> machine_stalls(std::string_view resource);

struct CgroupDetail {
    std::optional<std::chrono::nanoseconds> cpu;
    std::optional<std::chrono::nanoseconds> cpu_user;
    std::optional<std::chrono::nanoseconds> cpu_system;
    // How often a quota was looked at, was used up, and for how long that stopped the group.
    std::optional<std::uint64_t> periods;
    std::optional<std::uint64_t> periods_throttled;
    std::optional<std::chrono::nanoseconds> throttled;
    std::optional<std::uint64_t> cpu_shares;   // version 2's weight as version 1 has it
    std::optional<std::int64_t> cpu_quota_us;  // absent: no limit
    std::optional<std::int64_t> cpu_period_us;

    std::optional<Bytes> memory;
    std::optional<Bytes> memory_peak;
    std::optional<Bytes> memory_limit;  // absent: none
    std::optional<Bytes> working_set;   // without what the kernel would give back first
    std::optional<Bytes> anonymous;
    std::optional<Bytes> file;
    std::optional<Bytes> file_mapped;
    std::optional<Bytes> swap;
    std::optional<std::uint64_t> page_faults;
    std::optional<std::uint64_t> major_page_faults;
    std::optional<std::uint64_t> limit_hits;  // how often the limit was reached
    std::optional<std::uint64_t> oom_kills;

    std::optional<std::uint64_t> processes;
    std::optional<std::uint64_t> threads;
    std::optional<Stalls> cpu_stalls;
    std::optional<Stalls> memory_stalls;
    std::optional<Stalls> io_stalls;
};

// Reads it. Blocks for the kernel only; any thread.
[[nodiscard]] CgroupDetail cgroup_detail(const CgroupPlace& place);

}  // namespace skiff::os
