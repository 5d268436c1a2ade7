#include "app/pod_use.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "os/file.h"

namespace skiff::app {

namespace {

void tell_uncounted(const kube::Pod& pod, const Error& error) {
    log::warn("disk use of a pod not counted",
              log::kv("pod", pod.metadata.namespace_ + "/" + pod.metadata.name),
              log::kv("uid", pod.metadata.uid), log::kv("error", format_as(error)));
}

bool is_empty_dir(const kube::PodSpec& spec, const std::string& name) {
    auto found = std::ranges::find(spec.volumes, name, &kube::Volume::name);
    return found != spec.volumes.end() && found->emptyDir;
}

}  // namespace

std::uint64_t count_threads(std::int32_t pid) {
    auto text = os::read_kernel_file(fmt::format("/proc/{}/status", pid));
    if (!text) {
        return 0;
    }
    for (std::string_view line : split(*text, '\n')) {
        constexpr std::string_view kKey = "Threads:";
        if (line.starts_with(kKey)) {
            return parse_uint(trim(line.substr(kKey.size()))).value_or(0);
        }
    }
    return 0;
}

pods::PodUse PodUsage::without_disk(std::shared_ptr<const kube::Pod> pod) const {
    pods::PodUse use;
    for (const pods::ContainerRecord& record : runtime_.containers(PodUid(pod->metadata.uid))) {
        if (!record.runs()) {
            continue;
        }
        pods::ContainerUse& its = use.containers[record.name];
        if (auto usage = runtime_.usage(record.id)) {
            its.memory_bytes = usage->memory_working_set.value;
        }
        use.processes += count_threads(record.pid);
    }
    use.pod = std::move(pod);
    return use;
}

async::Task<void> PodUsage::add_disk(pods::PodUse& use) const {
    const kube::Pod& pod = *use.pod;
    auto containers = co_await runtime_.disk_use(PodUid(pod.metadata.uid));
    if (!containers) {
        tell_uncounted(pod, containers.error());
    } else {
        for (const pods::ContainerDiskUse& its : *containers) {
            use.inodes += its.writable.inodes + its.logs.inodes;
            auto running = use.containers.find(its.name);
            if (running != use.containers.end()) {
                running->second.disk_bytes += its.writable.bytes.value + its.logs.bytes.value;
            }
        }
    }
    auto volumes = co_await volumes_.usage(pod);
    if (!volumes) {
        tell_uncounted(pod, volumes.error());
        co_return;
    }
    for (const pods::VolumeUsage& volume : *volumes) {
        if (volume.medium == pods::VolumeUsage::Medium::disk) {
            use.volume_bytes += volume.use.bytes.value;
            use.inodes += volume.use.inodes;
        }
        if (is_empty_dir(pod.spec, volume.name)) {
            use.empty_dirs[volume.name] = volume.use.bytes.value;
        }
    }
}

async::Task<std::vector<pods::PodUse>> PodUsage::of(
    std::vector<std::shared_ptr<const kube::Pod>> list, Disk disk) const {
    std::vector<pods::PodUse> uses;
    for (auto& pod : list) {
        uses.push_back(without_disk(std::move(pod)));
        if (disk == Disk::measured) {
            co_await add_disk(uses.back());
        }
    }
    co_return uses;
}

}  // namespace skiff::app
