// What kernel and runners count of the containers that run, gathered on a pool: some twenty small
// files for each. Reactor thread.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "async/blocking.h"
#include "async/task.h"
#include "base/types.h"
#include "os/cgroup_detail.h"
#include "runtime/runtime.h"
#include "state/paths.h"
#include "wire/runner_page.h"

namespace skiff::app {

struct ContainerLook {
    std::string group_name;  // in the instance's tree
    os::CgroupDetail group;
    // What the runner says of itself; nullopt when it cannot be read. Written by what may be a
    // guest that broke out: bounded, but not to be believed.
    std::optional<wire::PageView> page;
};

class ContainerLooks {
public:
    // All outlive it.
    ContainerLooks(const runtime::KeeperRuntime& runtime, async::BlockingPool& pool,
                   const state::Paths& paths)
        : runtime_(runtime), pool_(pool), paths_(paths) {}

    using Looks = std::map<ContainerId, ContainerLook>;
    // Of those that run. Fails only with cancelled, or when the pool takes nothing.
    [[nodiscard]] async::Task<Result<Looks>> look(std::vector<ContainerId> containers) const;

private:
    const runtime::KeeperRuntime& runtime_;
    async::BlockingPool& pool_;
    const state::Paths& paths_;
};

}  // namespace skiff::app
