#include "app/group_stats.h"

#include "os/machine.h"

namespace skiff::app {

server::GroupStats group_stats(const os::CgroupDetail& group) {
    server::GroupStats stats;
    stats.memory_used = group.memory;
    stats.memory_anonymous = group.anonymous;
    stats.memory_limit = group.memory_limit;
    stats.page_faults = group.page_faults;
    stats.major_page_faults = group.major_page_faults;
    if (group.swap) {
        stats.swap = server::SwapStats{std::nullopt, *group.swap};
    }
    stats.memory_stalls = group.memory_stalls;
    stats.io_stalls = group.io_stalls;
    return stats;
}

MachineGroup observe_machine_group() {
    MachineGroup machine;
    if (auto memory = os::memory()) {
        std::uint64_t free = std::min(memory->swap_free.value, memory->swap_total.value);
        machine.group.swap = server::SwapStats{Bytes{free}, Bytes{memory->swap_total.value - free}};
    }
    machine.group.memory_stalls = os::machine_stalls("memory");
    machine.group.io_stalls = os::machine_stalls("io");
    machine.cpu_stalls = os::machine_stalls("cpu");
    return machine;
}

}  // namespace skiff::app
