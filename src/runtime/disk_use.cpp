// What containers take on the node's disk.
#include <map>

#include "os/tree_usage.h"
#include "runtime/runtime.h"

namespace skiff::runtime {

namespace {

pods::DiskUse as_port(const os::TreeUsage& usage) {
    pods::DiskUse use;
    use.bytes = usage.bytes;
    use.inodes = usage.inodes;
    use.counted = usage.counted == os::TreeUsage::Counted::all ? pods::DiskUse::Counted::all
                                                               : pods::DiskUse::Counted::part;
    return use;
}

Result<std::vector<pods::ContainerDiskUse>> count(const std::vector<StoredContainer>& containers) {
    std::vector<pods::ContainerDiskUse> all;
    std::map<std::string, std::size_t> newest;
    for (const StoredContainer& stored : containers) {
        pods::ContainerDiskUse use;
        use.id = ContainerId(stored.id);
        use.name = stored.name;
        if (!stored.layer.empty()) {
            SKIFF_TRY(auto layer, os::tree_usage(stored.layer));
            use.writable = as_port(layer);
        }
        newest[stored.log_folder] = all.size();
        all.push_back(std::move(use));
    }
    for (const auto& [folder, index] : newest) {
        if (!folder.empty()) {
            SKIFF_TRY(auto logs, os::tree_usage(folder));
            all[index].logs = as_port(logs);
        }
    }
    return all;
}

}  // namespace

async::Task<Result<std::vector<pods::ContainerDiskUse>>> KeeperRuntime::disk_use(
    const PodUid& pod) {
    std::vector<StoredContainer> containers;
    auto found = by_pod_.find(pod);
    if (found != by_pod_.end()) {
        for (const auto& container : found->second) {
            containers.push_back(container->stored);
        }
    }
    auto work = [containers = std::move(containers)] { return count(containers); };
    co_return co_await pool_.run(std::move(work));
}

}  // namespace skiff::runtime
