#include <boost/json.hpp>

#include "server/stats.h"

namespace skiff::server {

namespace {

namespace json = boost::json;

template <typename T>
void put(json::object& object, std::string_view name, const std::optional<T>& value) {
    if (!value) {
        return;
    }
    if constexpr (std::is_same_v<T, Bytes>) {
        object[{name.data(), name.size()}] = value->value;
    } else {
        object[{name.data(), name.size()}] = *value;
    }
}

json::object stall_times_of(const StallTimes& times) {
    auto total = std::chrono::nanoseconds(times.total).count();
    return {
        {"total", total}, {"avg10", times.avg10}, {"avg60", times.avg60}, {"avg300", times.avg300}};
}

void put_stalls(json::object& object, const std::optional<Stalls>& stalls) {
    if (stalls) {
        object["psi"] = {{"full", stall_times_of(stalls->full)},
                         {"some", stall_times_of(stalls->some)}};
    }
}

json::object cpu_of(const CpuStats& cpu, const std::string& at) {
    json::object object{{"time", at}};
    put(object, "usageNanoCores", cpu.nano_cores);
    object["usageCoreNanoSeconds"] = static_cast<std::uint64_t>(cpu.total.count());
    put_stalls(object, cpu.stalls);
    return object;
}

json::object memory_of(Bytes working_set, const GroupStats& group, const std::string& at) {
    json::object object{{"time", at},
                        {"usageBytes", group.memory_used.value_or(working_set).value},
                        {"workingSetBytes", working_set.value}};
    if (group.memory_limit) {
        auto limit = group.memory_limit->value;
        object["availableBytes"] = limit - std::min(limit, working_set.value);
    }
    put(object, "rssBytes", group.memory_anonymous);
    put(object, "pageFaults", group.page_faults);
    put(object, "majorPageFaults", group.major_page_faults);
    put_stalls(object, group.memory_stalls);
    return object;
}

// Swap and I/O, as far as the kernel tells.
void put_group(json::object& object, const GroupStats& group, const std::string& at) {
    if (group.swap) {
        json::object& swap = object["swap"].emplace_object();
        swap["time"] = at;
        put(swap, "swapAvailableBytes", group.swap->available);
        swap["swapUsageBytes"] = group.swap->used.value;
    }
    if (group.io_stalls) {
        json::object& io = object["io"].emplace_object();
        io["time"] = at;
        put_stalls(io, group.io_stalls);
    }
}

json::object fs_of(const FsStats& fs, const std::string& at) {
    json::object object{{"time", at}};
    put(object, "availableBytes", fs.available);
    put(object, "capacityBytes", fs.capacity);
    put(object, "usedBytes", fs.used);
    put(object, "inodesFree", fs.inodes_free);
    put(object, "inodes", fs.inodes);
    put(object, "inodesUsed", fs.inodes_used);
    return object;
}

json::object link_of(const LinkStats& link) {
    return {{"name", link.name},
            {"rxBytes", link.rx_bytes},
            {"rxErrors", link.rx_errors},
            {"txBytes", link.tx_bytes},
            {"txErrors", link.tx_errors}};
}

// The default interface is the one that a kubelet takes for it, by its name; without it the list
// stands alone.
void put_network(json::object& object, const std::vector<LinkStats>& links, const std::string& at) {
    if (links.empty()) {
        return;
    }
    json::object network{{"name", ""}};
    json::array interfaces;
    for (const LinkStats& link : links) {
        interfaces.push_back(link_of(link));
        if (link.name == "eth0") {
            network = link_of(link);
        }
    }
    network["time"] = at;
    network["interfaces"] = std::move(interfaces);
    object["network"] = std::move(network);
}

json::object container_of(const ContainerStats& container, const std::string& at) {
    json::object object{{"name", container.name},
                        {"startTime", format_rfc3339(container.started)},
                        {"cpu", cpu_of(container.cpu, at)},
                        {"memory", memory_of(container.memory_working_set, container.group, at)}};
    put_group(object, container.group, at);
    if (container.rootfs) {
        object["rootfs"] = fs_of(*container.rootfs, at);
    }
    if (container.logs) {
        object["logs"] = fs_of(*container.logs, at);
    }
    return object;
}

json::object pod_of(const PodStats& pod, const std::string& at, StatsScope scope) {
    json::array containers;
    for (const ContainerStats& container : pod.containers) {
        containers.push_back(container_of(container, at));
    }
    json::object object{
        {"podRef", {{"name", pod.name.name}, {"namespace", pod.name.ns}, {"uid", pod.uid.str()}}},
        {"containers", std::move(containers)},
        {"cpu", cpu_of(pod.cpu, at)},
        {"memory", memory_of(pod.memory_working_set, {}, at)}};
    object["startTime"] = pod.started ? json::value(format_rfc3339(*pod.started)) : nullptr;
    if (scope == StatsScope::cpu_and_memory) {
        return object;
    }
    json::array volumes;
    for (const VolumeStats& volume : pod.volumes) {
        json::object its = fs_of(volume.fs, at);
        its["name"] = volume.name;
        if (!volume.claim.empty()) {
            its["pvcRef"] = {{"name", volume.claim}, {"namespace", pod.name.ns}};
        }
        volumes.push_back(std::move(its));
    }
    object["volume"] = std::move(volumes);
    if (pod.ephemeral_storage) {
        object["ephemeral-storage"] = fs_of(*pod.ephemeral_storage, at);
    }
    put_network(object, pod.links, at);
    object["process_stats"] = {{"process_count", pod.processes}};
    return object;
}

}  // namespace

std::string summary_json(const NodeStats& stats, StatsScope scope) {
    std::string at = format_rfc3339(stats.at);
    json::object memory = memory_of(stats.memory_working_set(), stats.group, at);
    memory["availableBytes"] = stats.memory_available.value;
    json::object node{{"nodeName", stats.name},
                      {"startTime", format_rfc3339(stats.booted)},
                      {"cpu", cpu_of(stats.cpu, at)},
                      {"memory", std::move(memory)}};
    put_group(node, stats.group, at);
    if (scope == StatsScope::all) {
        json::object images = fs_of(stats.image_fs, at);
        node["fs"] = fs_of(stats.fs, at);
        node["runtime"] = {{"imageFs", images}, {"containerFs", images}};
        put_network(node, stats.links, at);
        node["rlimit"] = {
            {"time", at}, {"maxpid", stats.processes_max}, {"curproc", stats.processes}};
    }
    json::array pods;
    for (const PodStats& pod : stats.pods) {
        pods.push_back(pod_of(pod, at, scope));
    }
    return json::serialize(json::object{{"node", std::move(node)}, {"pods", std::move(pods)}});
}

}  // namespace skiff::server
