// What the kernel counts of a control group, and of the machine, as the summary shows it.
#pragma once

#include <optional>

#include "os/cgroup_detail.h"
#include "server/stats.h"

namespace skiff::app {

// Containers never swap where they have a limit; `swap` is there where the kernel counts it.
[[nodiscard]] server::GroupStats group_stats(const os::CgroupDetail& group);

struct MachineGroup {
    server::GroupStats group;
    std::optional<Stalls> cpu_stalls;
};
// Blocks for the kernel only.
[[nodiscard]] MachineGroup observe_machine_group();

}  // namespace skiff::app
