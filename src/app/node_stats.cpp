#include "app/node_stats.h"

#include <algorithm>

#include "app/group_stats.h"
#include "app/pod_use.h"
#include "node/status.h"
#include "os/machine.h"

namespace skiff::app {

namespace {

constexpr Duration kDisksLookedAt = std::chrono::seconds(10);
// Rates over less say nothing.
constexpr Duration kRateMin = std::chrono::seconds(1);

struct Machine {
    node::MachineFacts facts;
    os::CpuTimes cpu;
    MachineGroup group;
};

Result<Machine> look_at_machine(const std::filesystem::path& root_dir) {
    Machine machine;
    SKIFF_TRY(machine.facts, node::observe_machine(root_dir));
    SKIFF_TRY(machine.cpu, os::cpu_times());
    machine.group = observe_machine_group();
    return machine;
}

server::FsStats fs_of(Bytes total, Bytes available, std::uint64_t inodes,
                      std::uint64_t inodes_free) {
    server::FsStats fs;
    fs.capacity = total;
    fs.available = available;
    fs.used = Bytes{total.value - std::min(available.value, total.value)};
    fs.inodes = inodes;
    fs.inodes_free = inodes_free;
    fs.inodes_used = inodes - std::min(inodes_free, inodes);
    return fs;
}

server::FsStats fs_of(const pods::DiskUse& use) {
    server::FsStats fs;
    fs.used = use.bytes;
    fs.inodes_used = use.inodes;
    return fs;
}

void add(server::FsStats& sum, const pods::DiskUse& use) {
    sum.used = Bytes{sum.used.value_or(Bytes{}).value + use.bytes.value};
    sum.inodes_used = sum.inodes_used.value_or(0) + use.inodes;
}

// What lies on the node's disk shares its room.
void set_room(server::FsStats& fs, const server::FsStats& disk) {
    fs.capacity = disk.capacity;
    fs.available = disk.available;
    fs.inodes = disk.inodes;
    fs.inodes_free = disk.inodes_free;
}

void set_rooms(server::NodeStats& stats) {
    for (server::PodStats& pod : stats.pods) {
        std::vector<server::FsStats*> on_disk = {&*pod.ephemeral_storage};
        for (server::ContainerStats& container : pod.containers) {
            for (auto* its : {&container.rootfs, &container.logs}) {
                if (*its) {
                    on_disk.push_back(&**its);
                }
            }
        }
        for (server::VolumeStats& volume : pod.volumes) {
            if (!volume.fs.capacity) {
                on_disk.push_back(&volume.fs);
            }
        }
        for (server::FsStats* fs : on_disk) {
            set_room(*fs, stats.fs);
        }
    }
}

server::VolumeStats volume_of(const pods::VolumeUsage& usage) {
    server::VolumeStats volume;
    volume.name = usage.name;
    volume.fs = fs_of(usage.use);
    if (usage.medium == pods::VolumeUsage::Medium::memory && usage.limit) {
        volume.fs.capacity = usage.limit;
        std::uint64_t used = std::min(usage.use.bytes.value, usage.limit->value);
        volume.fs.available = Bytes{usage.limit->value - used};
    }
    return volume;
}

}  // namespace

void CpuMeter::begin(SteadyTime now) {
    now_ = now;
    std::erase_if(seen_, [this](const auto& entry) { return entry.second.round < round_; });
    std::erase_if(pods_, [this](const auto& entry) { return entry.second.round < round_; });
    ++round_;
}

server::CpuStats CpuMeter::measure(const std::string& key, std::chrono::nanoseconds total) {
    auto [entry, is_new] = seen_.try_emplace(key);
    Seen& seen = entry->second;
    seen.round = round_;
    auto passed = std::chrono::duration_cast<std::chrono::nanoseconds>(now_ - seen.at);
    if (!is_new && passed < kRateMin) {
        return {total, seen.nano_cores};
    }
    if (!is_new && total >= seen.total) {
        double cores =
            static_cast<double>((total - seen.total).count()) / static_cast<double>(passed.count());
        seen.nano_cores = static_cast<std::uint64_t>(cores * 1e9);
    }
    seen.total = total;
    seen.at = now_;
    return {total, seen.nano_cores};
}

server::CpuStats CpuMeter::node(std::chrono::nanoseconds total) {
    return measure("node", total);
}

server::CpuStats CpuMeter::container(const ContainerId& id, std::chrono::nanoseconds total) {
    return measure("container " + id.str(), total);
}

server::CpuStats CpuMeter::pod(const PodUid& uid,
                               std::map<ContainerId, std::chrono::nanoseconds> running) {
    SeenPod& seen = pods_[uid];
    seen.round = round_;
    for (const auto& [id, total] : seen.running) {
        if (!running.contains(id)) {
            seen.ended += total;
        }
    }
    auto total = seen.ended;
    for (const auto& [id, its] : running) {
        total += its;
    }
    seen.running = std::move(running);
    return measure("pod " + uid.str(), total);
}

server::PodStats StatsCollector::pod_stats(const pods::PodSnapshot& snapshot) {
    server::PodStats stats;
    stats.name = {snapshot.pod->metadata.namespace_, snapshot.pod->metadata.name};
    stats.uid = PodUid(snapshot.pod->metadata.uid);
    if (snapshot.pod->status.startTime) {
        stats.started = snapshot.pod->status.startTime->at;
    }
    std::map<ContainerId, std::chrono::nanoseconds> running;
    for (const pods::ContainerRecord& record : snapshot.containers) {
        if (!record.runs()) {
            continue;
        }
        auto usage = parts_.runtime.usage(record.id);
        if (!usage) {
            continue;  // it has just ended, or the kernel does not tell
        }
        server::ContainerStats& container = stats.containers.emplace_back();
        container.name = record.name;
        container.started = record.started;
        container.cpu = meter_.container(record.id, usage->cpu);
        container.memory_working_set = usage->memory_working_set;
        stats.memory_working_set.value += usage->memory_working_set.value;
        stats.processes += count_threads(record.pid);
        running[record.id] = usage->cpu;
    }
    stats.cpu = meter_.pod(stats.uid, std::move(running));
    return stats;
}

async::Task<void> StatsCollector::add_disks(const kube::Pod& pod, server::PodStats& stats) const {
    server::FsStats& whole = stats.ephemeral_storage.emplace();
    whole.used = Bytes{};
    whole.inodes_used = 0;
    // What cannot be counted is left out; evictions, which need it, say so in the log.
    auto containers = co_await parts_.runtime.disk_use(stats.uid);
    if (containers) {
        for (const pods::ContainerDiskUse& use : *containers) {
            add(whole, use.writable);
            add(whole, use.logs);
            auto its = std::ranges::find(stats.containers, use.name, &server::ContainerStats::name);
            if (its != stats.containers.end()) {
                its->rootfs = fs_of(use.writable);
                its->logs = fs_of(use.logs);
            }
        }
    }
    auto volumes = co_await parts_.volumes.usage(pod);
    if (volumes) {
        for (const pods::VolumeUsage& usage : *volumes) {
            if (usage.medium == pods::VolumeUsage::Medium::disk) {
                add(whole, usage.use);
            }
            stats.volumes.push_back(volume_of(usage));
        }
    }
}

async::Task<void> StatsCollector::add_groups(const std::vector<pods::PodSnapshot>& snapshots,
                                             server::NodeStats& stats) const {
    if (!parts_.look) {
        co_return;
    }
    std::vector<ContainerId> ids;
    for (const pods::PodSnapshot& snapshot : snapshots) {
        for (const pods::ContainerRecord& record : snapshot.containers) {
            ids.push_back(record.id);
        }
    }
    auto looks = co_await parts_.look(std::move(ids));
    if (!looks) {
        co_return;
    }
    for (std::size_t i = 0; i < snapshots.size(); ++i) {
        for (const pods::ContainerRecord& record : snapshots[i].containers) {
            auto look = looks->find(record.id);
            auto its = std::ranges::find(stats.pods[i].containers, record.name,
                                         &server::ContainerStats::name);
            if (look != looks->end() && its != stats.pods[i].containers.end()) {
                its->group = group_stats(look->second.group);
                its->cpu.stalls = look->second.group.cpu_stalls;
            }
        }
    }
}

async::Task<Result<server::NodeStats>> StatsCollector::look(server::StatsScope scope) {
    auto work = [root_dir = root_dir_] { return look_at_machine(root_dir); };
    SKIFF_CO_TRY(Machine machine, co_await parts_.pool.run(std::move(work)));
    server::NodeStats stats;
    stats.name = node_name_;
    stats.at = parts_.clock.wall_now();
    stats.booted = machine.cpu.booted;
    stats.memory_total = machine.facts.memory_total;
    stats.memory_available = machine.facts.memory_available;
    stats.group = machine.group.group;
    const node::MachineFacts& facts = machine.facts;
    stats.fs =
        fs_of(facts.disk_total, facts.disk_available, facts.inodes_total, facts.inodes_available);
    stats.image_fs = fs_of(facts.image_disk_total, facts.image_disk_available,
                           facts.image_inodes_total, facts.image_inodes_available);
    stats.processes = facts.pids_used;
    stats.processes_max = facts.pids_max;
    const std::vector<pods::PodSnapshot> snapshots = parts_.pods.snapshot();
    // One sample: nothing is awaited in between.
    meter_.begin(parts_.clock.steady_now());
    stats.cpu = meter_.node(machine.cpu.busy);
    stats.cpu.stalls = machine.group.cpu_stalls;
    for (const pods::PodSnapshot& snapshot : snapshots) {
        stats.pods.push_back(pod_stats(snapshot));
    }
    if (scope == server::StatsScope::all) {
        for (std::size_t i = 0; i < snapshots.size(); ++i) {
            co_await add_disks(*snapshots[i].pod, stats.pods[i]);
        }
        set_rooms(stats);
        co_await add_groups(snapshots, stats);
        if (parts_.traffic != nullptr) {
            co_await parts_.traffic->add_to(snapshots, stats);
        }
    }
    co_return stats;
}

async::Task<Result<server::NodeStats>> StatsCollector::collect(server::StatsScope scope) {
    if (scope == server::StatsScope::cpu_and_memory) {
        co_return co_await look(scope);
    }
    SteadyTime now = parts_.clock.steady_now();
    if (last_ && now - last_->at < kDisksLookedAt) {
        co_return last_->stats;
    }
    SKIFF_CO_TRY(server::NodeStats stats, co_await look(scope));
    last_ = Disks{stats, now};
    co_return stats;
}

}  // namespace skiff::app
