#include "volumes/volumes.h"

#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "base/assert.h"
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
constexpr std::size_t kNameBytesMax = 253;
// Enough for every object that may be projected into one volume, old and new version together.
constexpr Bytes kPayloadTmpfsMax = 64_MiB;
constexpr unsigned kVolumeMode = 0777;
constexpr auto kStopPatience = std::chrono::seconds(20);

// Names become folders: pods from files have not passed the API server.
bool is_folder_name(std::string_view name) {
    if (name.empty() || name.size() > kNameBytesMax || name.front() == '.') {
        return false;
    }
    return std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '.' || c == '_';
    });
}

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

struct Sort {
    std::string_view plugin;
    bool secret = false;
};
std::optional<Sort> payload_sort(const kube::Volume& volume) {
    if (volume.configMap) {
        return Sort{"kubernetes.io~configmap", false};
    }
    if (volume.secret) {
        return Sort{"kubernetes.io~secret", true};
    }
    if (volume.downwardAPI) {
        return Sort{"kubernetes.io~downward-api", true};
    }
    if (volume.projected) {
        return Sort{"kubernetes.io~projected", true};
    }
    return std::nullopt;
}

std::string short_hash(const std::string& text) {
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
    return to_hex(std::string_view(reinterpret_cast<const char*>(digest), 16));
}

// Whatever it says, only that it says something.
Result<void> touch(const fs::path& path) {
    struct stat status{};
    (void)!::stat(path.c_str(), &status);
    return {};
}

Result<void> remove_volumes(const state::Paths& paths, const PodUid& pod) {
    for (const fs::path& folder : {paths.pod_subpaths(pod), paths.pod_volumes(pod)}) {
        SKIFF_CHECK(os::unmount_below(folder));
        SKIFF_CHECK(os::remove_tree(folder));
    }
    // Other rooms keep files of the pod there as well: the last one that leaves takes the folder.
    ::rmdir(paths.pod(pod).c_str());
    return {};
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
        {volume.persistentVolumeClaim.has_value(), "persistentVolumeClaim"},
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
        {volume.ephemeral.has_value(), "ephemeral"},
        {volume.image.has_value(), "image"},
    };
    for (const Kind& kind : kinds) {
        if (kind.present) {
            return kind.name;
        }
    }
    return std::nullopt;
}

struct PodVolumes::Job {
    std::function<Result<void>()> work;
    async::Event done;
    Result<void> result;
};

PodVolumes::PodVolumes(async::Executor executor, const state::Paths& paths, pods::Objects& objects,
                       Pools pools, const Clock& clock)
    : paths_(paths),
      objects_(objects),
      pool_(pools.own),
      foreign_(executor, pools.foreign, pools.foreign_patience),
      clock_(clock),
      jobs_(std::move(executor)) {}

PodVolumes::~PodVolumes() = default;

Task<void> PodVolumes::stop() {
    auto joined = co_await jobs_.join(after(kStopPatience));
    if (!joined && joined.error().code == Code::timeout) {
        log::warn("file work of volumes hangs", log::kv("pieces", jobs_.size()));
    }
    co_await jobs_.stop();
    co_await foreign_.stop();
}

Task<void> PodVolumes::run_job(async::BlockingPool* pool, std::shared_ptr<Lane> lane,
                               std::shared_ptr<Job> job) {
    auto turn = co_await lane->free.acquire();
    if (!turn) {
        job->result = fail(std::move(turn.error()));
    } else {
        job->result = co_await pool->run(job->work);
    }
    job->done.set();
}

Task<Result<void>> PodVolumes::run(PodUid pod, async::BlockingPool& pool,
                                   std::function<Result<void>()> work) {
    std::shared_ptr<Lane>& lane = lanes_[pod];
    if (!lane) {
        lane = std::make_shared<Lane>();
    }
    auto job = std::make_shared<Job>();
    job->work = std::move(work);
    jobs_.spawn("volumes " + pod.str(), run_job(&pool, lane, job));
    SKIFF_CO_CHECK(co_await job->done.wait());
    co_return job->result;
}

Task<Result<Payload>> PodVolumes::payload_of(const kube::Pod& pod, const pods::PodFacts& facts,
                                             const kube::Volume& volume, std::string field) {
    if (volume.configMap) {
        co_return co_await config_map_payload(objects_, pod, *volume.configMap);
    }
    if (volume.secret) {
        co_return co_await secret_payload(objects_, pod, *volume.secret);
    }
    if (volume.projected) {
        co_return co_await projected_payload(objects_, pod, facts, *volume.projected,
                                             std::move(field));
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
    plan.fs_group = fs_group_of(pod);
    if (!is_folder_name(volume.name) || !is_folder_name(uid.str())) {
        co_return fail(Code::invalid, "{}.name or the pod's uid is no valid name", field);
    }
    if (volume.hostPath) {
        plan.kind = Plan::Kind::host_path;
        plan.path = volume.hostPath->path;
        plan.host_path_type = volume.hostPath->type.value_or("");
        co_return plan;
    }
    if (auto sort = payload_sort(volume)) {
        plan.path = paths_.pod_volume(uid, std::string(sort->plugin), volume.name);
        plan.medium = sort->secret ? Plan::Medium::memory : Plan::Medium::disk;
        SKIFF_CO_TRY(plan.payload, co_await payload_of(pod, facts, volume, field));
        co_return plan;
    }
    if (auto kind = unsupported_kind(volume)) {
        co_return fail(Code::unsupported, "{}.{} is not supported", field, *kind);
    }
    // A volume with no source at all is an emptyDir, as the API's defaulting says.
    plan.kind = Plan::Kind::empty_dir;
    auto source = volume.emptyDir.value_or(kube::EmptyDirVolumeSource());
    SKIFF_CO_TRY(plan.empty_dir, plan_empty_dir(pod, facts, source, field));
    plan.path = paths_.pod_volume(uid, "kubernetes.io~empty-dir", volume.name);
    plan.empty_dir.path = plan.path;
    co_return plan;
}

Result<void> PodVolumes::make(const Plan& plan, WallTime now) {
    if (plan.kind == Plan::Kind::host_path) {
        return set_up_host_path(plan.path.string(), plan.host_path_type);
    }
    if (plan.kind == Plan::Kind::empty_dir) {
        return set_up_empty_dir(plan.empty_dir);
    }
    SKIFF_CHECK(os::make_folders(plan.path, kVolumeMode));
    if (plan.medium == Plan::Medium::memory) {
        SKIFF_TRY(bool mounted, os::is_mount_point(plan.path));
        if (!mounted) {
            SKIFF_CHECK(
                os::mount_tmpfs(plan.path, {.size = kPayloadTmpfsMax, .mode = kVolumeMode}));
        }
    }
    SKIFF_TRY([[maybe_unused]] auto written,
              write_payload(plan.path, plan.payload, plan.fs_group, now));
    return {};
}

static Error set_up_failed(Error error, const std::string& volume) {
    auto what = fmt::format("MountVolume.SetUp failed for volume \"{}\" ", volume);
    return std::move(error).context(what).with_reason(kFailedMount);
}

Task<Result<void>> PodVolumes::make_foreign(std::shared_ptr<std::vector<Plan>> plans) {
    WallTime now = clock_.wall_now();
    for (Plan& plan : *plans) {
        if (plan.kind != Plan::Kind::host_path) {
            continue;
        }
        Plan* its = &plan;
        auto work = [plans, its, now] { return make(*its, now); };
        auto made = co_await foreign_.run(plan.path.string(), std::move(work));
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
        if (!names.contains(name)) {
            continue;
        }
        auto planned = co_await plan(pod, facts, i);
        if (!planned) {
            co_return fail(set_up_failed(std::move(planned.error()), name));
        }
        pods::MountedVolume volume;
        volume.path = planned->path;
        if (planned->kind == Plan::Kind::host_path) {
            volume.origin = pods::VolumeOrigin::foreign;
        } else if (planned->kind == Plan::Kind::payload) {
            volume.access = pods::MountedVolume::Access::read_only;
        }
        mounted[name] = volume;
        plans->push_back(std::move(*planned));
    }
    SKIFF_CO_CHECK(co_await make_foreign(plans));
    WallTime now = clock_.wall_now();
    auto work = [plans, now]() -> Result<void> {
        for (const Plan& plan : *plans) {
            if (plan.kind == Plan::Kind::host_path) {
                continue;
            }
            auto made = make(plan, now);
            if (!made) {
                return fail(set_up_failed(std::move(made.error()), plan.name));
            }
        }
        return {};
    };
    SKIFF_CO_CHECK(co_await run(PodUid(pod.metadata.uid), pool_, std::move(work)));
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
    fs::path target = paths_.pod_subpaths(uid) / short_hash(from.string() + '\0' + sub_path);
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
        done = co_await run(uid, pool, std::move(work));
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
    if (!is_folder_name(uid.str())) {
        co_return fail(Code::invalid, "pod uid {} is no valid name", uid);
    }
    state::Paths paths = paths_;
    auto work = [paths, uid] { return remove_volumes(paths, uid); };
    auto done = co_await run(uid, pool_, std::move(work));
    if (done) {
        auto lane = lanes_.find(uid);
        if (lane != lanes_.end() && lane->second.use_count() == 1) {
            lanes_.erase(lane);
        }
    }
    co_return done;
}

}  // namespace skiff::volumes
