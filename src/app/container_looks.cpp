#include "app/container_looks.h"

#include "runtime/record.h"

namespace skiff::app {

namespace {

struct Target {
    ContainerId id;
    runtime::KeeperRuntime::Group group;
};

Result<ContainerLooks::Looks> look_at(const std::vector<Target>& targets,
                                      const state::Paths& paths) {
    ContainerLooks::Looks looks;
    for (const Target& target : targets) {
        ContainerLook& look = looks[target.id];
        look.group_name = target.group.name;
        look.group = os::cgroup_detail(target.group.place);
        if (auto page = runtime::read_page(paths, target.id.str())) {
            look.page = std::move(*page);
        }
    }
    return looks;
}

}  // namespace

async::Task<Result<ContainerLooks::Looks>> ContainerLooks::look(
    std::vector<ContainerId> containers) const {
    std::vector<Target> targets;
    for (const ContainerId& id : containers) {
        if (auto group = runtime_.group_of(id)) {
            targets.push_back({id, std::move(*group)});
        }
    }
    auto work = [targets = std::move(targets), paths = paths_] { return look_at(targets, paths); };
    co_return co_await pool_.run(std::move(work));
}

}  // namespace skiff::app
