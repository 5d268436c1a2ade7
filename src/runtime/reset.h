// `skiff node reset`: nothing of the instance runs or is mounted any more.
#pragma once

#include <string>

#include "async/task.h"
#include "base/result.h"
#include "state/id_ranges.h"
#include "state/instance.h"

namespace skiff::runtime {

struct ResetSettings {
    std::string cgroup_root;     // as in RuntimeSettings
    state::IdRangeSettings ids;  // as in RuntimeSettings
    enum class Scope {
        running,  // processes, mounts, cgroups, run-dir, logs' links; state stays
        all,      // also the contents of root-dir and the pods' logs
    } scope = Scope::running;
};

// Ends every keeper and runner, then removes cgroups, mounts, namespaces and files. The caller
// holds the instance, so no agent runs. Goes on after failures and returns the first of them.
[[nodiscard]] async::Task<Result<void>> reset(const state::Instance& instance,
                                              async::Executor executor, ResetSettings settings);

}  // namespace skiff::runtime
