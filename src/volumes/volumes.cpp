#include "volumes/volumes.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <set>

#include "base/assert.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/text.h"
#include "os/file.h"
#include "os/mount.h"
#include "volumes/atomic_writer.h"
#include "volumes/sub_path.h"

namespace skiff::volumes {

namespace fs = std::filesystem;
using async::Task;

namespace {

constexpr std::string_view kFailedMount = "FailedMount";
constexpr std::size_t kSubPathNameDigits = 32;
// Enough for every object that may be projected into one volume, old and new version together.
constexpr Bytes kPayloadTmpfsMax = 64_MiB;
constexpr unsigned kVolumeMode = 0777;
constexpr auto kStopPatience = std::chrono::seconds(20);

std::set<std::string> mounted_names(const kube::Pod& pod) {
    std::set<std::string> names;
    auto add = [&](const auto& containers) {
        for (const auto& container : containers) {
            for (const auto& mount : container.volumeMounts) {
                names.insert(mount.name);
            }
        }
    };
    add(pod.spec.initContainers);
    add(pod.spec.containers);
    add(pod.spec.ephemeralContainers);
    return names;
}

std::optional<std::uint32_t> fs_group_of(const kube::Pod& pod) {
    if (pod.spec.securityContext && pod.spec.securityContext->fsGroup) {
        return static_cast<std::uint32_t>(*pod.spec.securityContext->fsGroup);
    }
    return std::nullopt;
}

bool is_tmpfs(const fs::path& path) {
    struct statfs status{};
    return ::statfs(path.c_str(), &status) == 0 && status.f_type == TMPFS_MAGIC;
}

// Mounts that this room makes: places in volumes, the tmpfs of a volume, images and their files.
bool is_own_mount(const state::Paths& paths, const PodUid& pod, const fs::path& mount) {
    fs::path parent = mount.parent_path();
    std::string image = (paths.pod_volumes(pod) / kImagePlugin / "").lexically_normal().string();
    return mount.string().starts_with(image) ||
           parent == paths.pod_subpaths(pod).lexically_normal() ||
           (parent.parent_path() == paths.pod_volumes(pod).lexically_normal() &&
            parent.filename().string().starts_with("kubernetes.io~") && is_tmpfs(mount));
}

// Whatever it says, only that it says something.
Result<void> touch(const fs::path& path) {
    struct stat status{};
    (void)!::stat(path.c_str(), &status);
    return {};
}

Result<void> remove_volumes(const state::Paths& paths, const PodUid& pod) {
    const fs::path folders[] = {paths.pod_subpaths(pod), paths.pod_volumes(pod)};
    std::vector<fs::path> own;
    for (const fs::path& folder : folders) {
        SKIFF_TRY(auto mounts, os::mounts_below(folder));
        for (fs::path& mount : mounts) {
            // Detaching ours would take it along, and removing beside it is half of a job.
            if (!is_own_mount(paths, pod, mount)) {
                return fail(Code::conflict, "{} is mounted by somebody else", mount.string());
            }
            own.push_back(std::move(mount));
        }
    }
    for (const fs::path& mount : own) {
        SKIFF_CHECK(os::unmount(mount));
    }
    for (const fs::path& folder : folders) {
        SKIFF_CHECK(os::remove_tree(folder));
    }
    // Other rooms keep files of the pod there as well: the last one that leaves takes the folder.
    ::rmdir(paths.pod(pod).c_str());
    return {};
}

Result<pods::VolumeIds> ids_of_host_path(const fs::path& path, const ForeignVolumes& foreign) {
    if (foreign.probe == nullptr) {
        return pods::VolumeIds::of_pod;
    }
    auto found = foreign.probe->find_unmappable(path);
    if (!found) {
        return fail(std::move(found.error()).context("hostPath"));
    }
    if (!*found) {
        return pods::VolumeIds::of_pod;
    }
    if (foreign.machine_ids == ForeignVolumes::MachineIds::forbidden) {
        return fail(Code::denied,
                    "hostPath {} needs the filesystem {} at {}, which cannot map user ids, and "
                    "SkiffConfiguration hostPathMachineIds is false",
                    path.string(), (*found)->filesystem, (*found)->mount_point.string());
    }
    return pods::VolumeIds::of_machine;
}

}  // namespace

std::optional<std::string_view> unsupported_kind(const kube::Volume& volume) {
    struct Kind {
        bool present;
        std::string_view name;
    };
    const Kind kinds[] = {
        {volume.gcePersistentDisk.has_value(), "gcePersistentDisk"},
        {volume.awsElasticBlockStore.has_value(), "awsElasticBlockStore"},
        {volume.gitRepo.has_value(), "gitRepo"},
        {volume.nfs.has_value(), "nfs"},
        {volume.iscsi.has_value(), "iscsi"},
        {volume.glusterfs.has_value(), "glusterfs"},
        {volume.rbd.has_value(), "rbd"},
        {volume.flexVolume.has_value(), "flexVolume"},
        {volume.cinder.has_value(), "cinder"},
        {volume.cephfs.has_value(), "cephfs"},
        {volume.flocker.has_value(), "flocker"},
        {volume.fc.has_value(), "fc"},
        {volume.azureFile.has_value(), "azureFile"},
        {volume.vsphereVolume.has_value(), "vsphereVolume"},
        {volume.quobyte.has_value(), "quobyte"},
        {volume.azureDisk.has_value(), "azureDisk"},
        {volume.photonPersistentDisk.has_value(), "photonPersistentDisk"},
        {volume.portworxVolume.has_value(), "portworxVolume"},
        {volume.scaleIO.has_value(), "scaleIO"},
        {volume.storageos.has_value(), "storageos"},
        {volume.csi.has_value(), "csi"},
    };
    for (const Kind& kind : kinds) {
        if (kind.present) {
            return kind.name;
        }
    }
    return std::nullopt;
}

PodVolumes::PodVolumes(async::Executor executor, const state::Paths& paths, pods::Objects& objects,
                       Pools pools, const Clock& clock, ForeignVolumes rules)
    : paths_(paths),
      objects_(objects),
      pool_(pools.own),
      foreign_(executor, pools.foreign, pools.foreign_patience),
      clock_(clock),
      rules_(rules),
      file_work_(std::move(executor), pools.own) {}

PodVolumes::~PodVolumes() = default;

Task<void> PodVolumes::stop() {
    auto stopped = co_await file_work_.stop(after(kStopPatience));
    if (!stopped && stopped.error().code == Code::timeout) {
        log::warn("file work of volumes hangs", log::kv("pods", file_work_.size()));
    }
    co_await foreign_.stop();
}

Task<Result<Payload>> PodVolumes::payload_of(const kube::Pod& pod, const pods::PodFacts& facts,
                                             std::size_t index) {
    const kube::Volume& volume = pod.spec.volumes[index];
    if (volume.configMap) {
        co_return co_await config_map_payload(objects_, pod, *volume.configMap);
    }
    if (volume.secret) {
        co_return co_await secret_payload(objects_, pod, *volume.secret);
    }
    if (volume.projected) {
        co_return co_await projected_payload(objects_, pod, facts, index);
    }
    SKIFF_ASSERT(volume.downwardAPI.has_value());
    co_return downward_api_payload(pod, facts, *volume.downwardAPI);
}

Task<Result<PodVolumes::Plan>> PodVolumes::plan(const kube::Pod& pod, const pods::PodFacts& facts,
                                                std::size_t index) {
    const kube::Volume& volume = pod.spec.volumes[index];
    PodUid uid(pod.metadata.uid);
    std::string field = fmt::format("spec.volumes[{}]", index);
    Plan plan;
    plan.name = volume.name;
    if (!state::can_name_a_file(volume.name) || !state::can_name_a_file(uid.str())) {
        co_return fail(Code::invalid, "{}.name or the pod's uid is no valid name", field);
    }
    if (volume.hostPath) {
        plan.kind = Plan::Kind::foreign;
        plan.foreign.path = volume.hostPath->path;
        plan.foreign.type = volume.hostPath->type.value_or("");
        co_return plan;
    }
    if (volume.persistentVolumeClaim || volume.ephemeral) {
        plan.kind = Plan::Kind::foreign;
        SKIFF_CO_TRY(plan.foreign, co_await claimed_place(objects_, pod, volume));
        plan.foreign.given = paths_.pod_volume(uid, "kubernetes.io~local-volume", volume.name);
        co_return plan;
    }
    auto place = own_place(volume);
    if (place) {
        plan.path = paths_.pod_volume(uid, std::string(place->plugin), volume.name);
        plan.medium = place->medium;
    }
    if (place && place->content == OwnPlace::Content::payload) {
        plan.showing.fs_group = fs_group_of(pod);
        plan.showing.mount_points = nested_mount_points(pod, volume.name);
        SKIFF_CO_TRY(plan.showing.payload, co_await payload_of(pod, facts, index));
        co_return plan;
    }
    if (!place) {
        co_return fail(
            Code::unsupported,
            "{}.{} is not supported by this node: mount it on the machine and give it as "
            "a hostPath or local volume",
            field, unsupported_kind(volume).value_or("source"));
    }
    plan.kind = Plan::Kind::empty_dir;
    auto source = volume.emptyDir.value_or(kube::EmptyDirVolumeSource());
    SKIFF_CO_TRY(plan.empty_dir, plan_empty_dir(pod, facts, source, field));
    plan.empty_dir.path = plan.path;
    co_return plan;
}

Result<void> PodVolumes::make(Plan& plan, WallTime now, const ForeignVolumes& foreign) {
    if (plan.kind == Plan::Kind::foreign) {
        SKIFF_CHECK(set_up_foreign(plan.foreign));
        SKIFF_TRY(plan.ids, ids_of_host_path(plan.foreign.path, foreign));
        return {};
    }
    if (plan.kind == Plan::Kind::empty_dir) {
        return set_up_empty_dir(plan.empty_dir);
    }
    SKIFF_CHECK(os::make_folders(plan.path, kVolumeMode));
    if (plan.medium == Medium::memory) {
        SKIFF_TRY(bool mounted, os::is_mount_point(plan.path));
        if (!mounted) {
            SKIFF_CHECK(
                os::mount_tmpfs(plan.path, {.size = kPayloadTmpfsMax, .mode = kVolumeMode}));
        }
    }
    SKIFF_TRY([[maybe_unused]] auto written, write_payload(plan.path, plan.showing, now));
    return {};
}

static Error set_up_failed(Error error, const std::string& volume) {
    auto what = fmt::format("MountVolume.SetUp failed for volume \"{}\" ", volume);
    return std::move(error).context(what).with_reason(kFailedMount);
}

Task<Result<void>> PodVolumes::make_foreign(std::shared_ptr<std::vector<Plan>> plans) {
    WallTime now = clock_.wall_now();
    for (Plan& plan : *plans) {
        if (plan.kind != Plan::Kind::foreign) {
            continue;
        }
        Plan* its = &plan;
        auto work = [plans, its, now, rules = rules_] { return make(*its, now, rules); };
        auto made = co_await foreign_.run(plan.foreign.path.string(), std::move(work));
        if (!made) {
            co_return fail(set_up_failed(std::move(made.error()), plan.name));
        }
    }
    co_return Result<void>{};
}

Task<Result<std::map<std::string, pods::MountedVolume>>> PodVolumes::set_up(
    const kube::Pod& pod, const pods::PodFacts& facts) {
    std::map<std::string, pods::MountedVolume> mounted;
    std::set<std::string> names = mounted_names(pod);
    if (names.empty()) {
        co_return mounted;
    }
    auto plans = std::make_shared<std::vector<Plan>>();
    for (std::size_t i = 0; i < pod.spec.volumes.size(); ++i) {
        const std::string& name = pod.spec.volumes[i].name;
        // Images come with the containers that mount them: see mount_image().
        if (!names.contains(name) || pod.spec.volumes[i].image) {
            continue;
        }
        auto planned = co_await plan(pod, facts, i);
        if (!planned) {
            co_return fail(set_up_failed(std::move(planned.error()), name));
        }
        pods::MountedVolume volume;
        volume.path = planned->path;
        if (planned->kind == Plan::Kind::foreign) {
            volume.path = planned->foreign.path;
            volume.origin = pods::VolumeOrigin::foreign;
            volume.access = planned->foreign.access;
            volume.group = planned->foreign.group;
        } else if (planned->kind == Plan::Kind::payload) {
            volume.access = pods::MountedVolume::Access::read_only;
        }
        mounted[name] = volume;
        plans->push_back(std::move(*planned));
    }
    SKIFF_CO_CHECK(co_await make_foreign(plans));
    WallTime now = clock_.wall_now();
    auto work = [plans, now, rules = rules_]() -> Result<void> {
        for (Plan& plan : *plans) {
            if (plan.kind == Plan::Kind::foreign) {
                continue;
            }
            auto made = make(plan, now, rules);
            if (!made) {
                return fail(set_up_failed(std::move(made.error()), plan.name));
            }
        }
        return {};
    };
    SKIFF_CO_CHECK(co_await file_work_.run(pod.metadata.uid, std::move(work)));
    // One volume that cannot map ids decides for all: containers share the others, and must be the
    // same users there.
    bool of_machine = std::any_of(plans->begin(), plans->end(), [](const Plan& plan) {
        return plan.ids == pods::VolumeIds::of_machine;
    });
    for (auto& [name, volume] : mounted) {
        volume.ids = of_machine ? pods::VolumeIds::of_machine : pods::VolumeIds::of_pod;
    }
    co_return mounted;
}

Task<Result<fs::path>> PodVolumes::resolve_mount(const kube::Pod& pod,
                                                 const pods::MountedVolume& volume,
                                                 std::string sub_path) {
    if (sub_path.empty()) {
        co_return volume.path;
    }
    PodUid uid(pod.metadata.uid);
    fs::path from = volume.path;
    // The kubelet's level, with a name that depends on what is mounted only: the same place is one
    // mount, whichever container asks.
    fs::path target = paths_.pod_subpaths(uid) /
                      sha256_hex(from.string() + '\0' + sub_path).substr(0, kSubPathNameDigits);
    auto work = [from, sub_path, target] { return mount_sub_path(from, sub_path, target); };
    Result<void> done;
    if (volume.origin == pods::VolumeOrigin::foreign) {
        // What it mounts is taken away by tear_down(), so it waits for its turn as all of the pod's
        // work does; but not behind a path that is known to hang.
        auto ask = [from] { return touch(from); };
        done = co_await foreign_.run(from.string(), std::move(ask));
    }
    if (done) {
        bool foreign = volume.origin == pods::VolumeOrigin::foreign;
        async::BlockingPool& pool = foreign ? foreign_.pool() : pool_;
        done = co_await file_work_.run(uid.str(), pool, std::move(work));
    }
    if (!done) {
        auto what = fmt::format("failed to prepare subPath \"{}\"", sub_path);
        co_return fail(
            std::move(done.error()).context(what).with_reason("CreateContainerConfigError"));
    }
    co_return target;
}

Task<Result<void>> PodVolumes::tear_down(const PodUid& pod) {
    PodUid uid = pod;
    if (!state::can_name_a_file(uid.str())) {
        co_return fail(Code::invalid, "pod uid {} is no valid name", uid);
    }
    state::Paths paths = paths_;
    auto work = [paths, uid] { return remove_volumes(paths, uid); };
    co_return co_await file_work_.run(uid.str(), std::move(work));
}

}  // namespace skiff::volumes
