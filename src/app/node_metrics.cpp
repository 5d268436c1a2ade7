#include "app/node_metrics.h"

#include <sys/statvfs.h>

#include <map>
#include <set>
#include <tuple>

#include "app/process_metrics.h"
#include "node/status.h"
#include "os/machine.h"
#include "pods/observed.h"

namespace skiff::app {

namespace {

using server::MetricsText;
using Type = MetricsText::Type;

constexpr Duration kReactorPace = std::chrono::seconds(1);
constexpr Duration kCacheLookedAt = std::chrono::minutes(1);
constexpr Duration kForeignPatience = std::chrono::seconds(2);

double number(std::size_t value) {
    return static_cast<double>(value);
}

std::string_view kind_name(pods::ProbeKind kind) {
    switch (kind) {
        case pods::ProbeKind::startup:
            return "Startup";
        case pods::ProbeKind::readiness:
            return "Readiness";
        case pods::ProbeKind::liveness:
            return "Liveness";
    }
    return "Unknown";
}

// A volume of a claim that is set up.
struct Claim {
    std::string ns;
    std::string name;
    std::filesystem::path path;
};

// Of its filesystem. What only root may still use is neither used nor available, as a kubelet has
// it.
struct ClaimUsage {
    std::uint64_t total = 0;
    std::uint64_t available = 0;
    std::uint64_t used = 0;
    std::uint64_t inodes = 0;
    std::uint64_t inodes_free = 0;
};
using MeasuredClaims = std::vector<std::pair<Claim, ClaimUsage>>;

MeasuredClaims measure(const std::vector<Claim>& claims) {
    MeasuredClaims measured;
    for (const Claim& claim : claims) {
        struct statvfs fs{};
        if (::statvfs(claim.path.c_str(), &fs) == 0) {
            measured.emplace_back(
                claim,
                ClaimUsage{fs.f_blocks * fs.f_frsize, fs.f_bavail * fs.f_frsize,
                           (fs.f_blocks - fs.f_bfree) * fs.f_frsize, fs.f_files, fs.f_ffree});
        }
    }
    return measured;
}

// A pod that is forced away may still end beside another of its name: the newer one is shown.
std::vector<ContainerSample> running_containers(const std::vector<pods::PodSnapshot>& snapshots) {
    std::map<std::tuple<std::string, std::string, std::string>, ContainerSample> newest;
    for (const pods::PodSnapshot& snapshot : snapshots) {
        for (const pods::ContainerRecord& record : snapshot.containers) {
            ContainerSample one;
            one.id = record.id.str();
            one.name = record.name;
            one.image = record.image;
            one.pod = record.pod_name;
            one.started = record.started;
            auto& place = newest[{one.pod.ns, one.pod.name, one.name}];
            if (record.runs() && record.started >= place.started) {
                place = std::move(one);
            }
        }
    }
    std::vector<ContainerSample> samples;
    for (auto& [key, one] : newest) {
        if (!one.id.empty()) {
            samples.push_back(std::move(one));
        }
    }
    return samples;
}

void write_claim_families(const MeasuredClaims& claims, MetricsText& text) {
    auto family = [&](std::string_view name, std::string_view help, auto&& value) {
        text.begin(name, Type::gauge, help);
        for (const auto& [claim, usage] : claims) {
            text.sample({{"namespace", claim.ns}, {"persistentvolumeclaim", claim.name}},
                        static_cast<double>(value(usage)));
        }
    };
    using Usage = ClaimUsage;
    family("kubelet_volume_stats_capacity_bytes", "Size of the volume's filesystem",
           [](const Usage& u) { return u.total; });
    family("kubelet_volume_stats_available_bytes", "Room left in the volume's filesystem",
           [](const Usage& u) { return u.available; });
    family("kubelet_volume_stats_used_bytes", "What is used of the volume's filesystem",
           [](const Usage& u) { return u.used; });
    family("kubelet_volume_stats_inodes", "Inodes of the volume's filesystem",
           [](const Usage& u) { return u.inodes; });
    family("kubelet_volume_stats_inodes_free", "Inodes left in the volume's filesystem",
           [](const Usage& u) { return u.inodes_free; });
    family("kubelet_volume_stats_inodes_used", "Inodes used in the volume's filesystem",
           [](const Usage& u) { return u.inodes - u.inodes_free; });
}

}  // namespace

std::string_view plugin_of(const kube::Volume& volume) {
    return volume.configMap               ? "kubernetes.io/configmap"
           : volume.secret                ? "kubernetes.io/secret"
           : volume.projected             ? "kubernetes.io/projected"
           : volume.emptyDir              ? "kubernetes.io/empty-dir"
           : volume.hostPath              ? "kubernetes.io/host-path"
           : volume.downwardAPI           ? "kubernetes.io/downward-api"
           : volume.image                 ? "kubernetes.io/image"
           : volume.csi                   ? "kubernetes.io/csi"
           : volume.nfs                   ? "kubernetes.io/nfs"
           : volume.persistentVolumeClaim ? "kubernetes.io/persistent-volume-claim"
           : volume.ephemeral             ? "kubernetes.io/persistent-volume-claim"
                                          : "other";
}

void write_pod_counts(const std::vector<pods::PodSnapshot>& snapshots, MetricsText& text) {
    std::size_t running_pods = 0;
    std::map<std::string_view, std::size_t> containers = {
        {"created", 0}, {"exited", 0}, {"running", 0}};
    std::map<std::string_view, std::size_t> desired = {{"", 0}, {"true", 0}};
    std::map<std::string_view, std::size_t> active = desired;
    for (const pods::PodSnapshot& snapshot : snapshots) {
        bool runs = false;
        for (const pods::ContainerRecord& record : snapshot.containers) {
            runs = runs || record.runs();
            ++containers[record.runs() ? "running" : record.exit ? "exited" : "created"];
        }
        running_pods += runs ? 1U : 0U;
        std::string_view from_file = pods::is_static(*snapshot.pod) ? "true" : "";
        ++desired[from_file];
        active[from_file] += pods::is_terminal(snapshot.pod->status.phase) ? 0U : 1U;
    }
    text.gauge("kubelet_running_pods", "Pods of which a container runs", number(running_pods));
    text.begin("kubelet_running_containers", Type::gauge, "Containers of the node by their state");
    for (const auto& [state, count] : containers) {
        text.sample({{"container_state", state}}, number(count));
    }
    text.begin("kubelet_desired_pods", Type::gauge, "Pods that the node is told to run");
    for (const auto& [from_file, count] : desired) {
        text.sample({{"static", from_file}}, number(count));
    }
    text.begin("kubelet_active_pods", Type::gauge, "Those of them that have not ended");
    for (const auto& [from_file, count] : active) {
        text.sample({{"static", from_file}}, number(count));
    }
}

void write_probe_metrics(const std::vector<probes::ProbeSample>& samples, MetricsText& text) {
    text.begin("prober_probe_total", Type::counter, "Probes of a container by their result");
    for (const probes::ProbeSample& sample : samples) {
        std::pair<std::string_view, std::uint64_t> results[] = {
            {"successful", sample.count.successful},
            {"failed", sample.count.failed},
            {"unknown", sample.count.unknown}};
        for (const auto& [result, count] : results) {
            text.sample({{"container", sample.container},
                         {"namespace", sample.ns},
                         {"pod", sample.pod},
                         {"pod_uid", sample.pod_uid},
                         {"probe_type", kind_name(sample.kind)},
                         {"result", result}},
                        number(count));
        }
    }
    text.begin("prober_probe_duration_seconds", Type::histogram, "Duration of probes");
    // These have no uid: of two pods of one name, of which one still ends, one is shown.
    std::set<std::tuple<std::string, std::string, std::string, pods::ProbeKind>> shown;
    for (const probes::ProbeSample& sample : samples) {
        if (!shown.emplace(sample.ns, sample.pod, sample.container, sample.kind).second) {
            continue;
        }
        const probes::ProbeCount& count = sample.count;
        metrics::Histogram histogram(probes::ProbeCount::kBounds,
                                     {count.durations.begin(), count.durations.end()},
                                     count.seconds_sum);
        text.histogram({{"container", sample.container},
                        {"namespace", sample.ns},
                        {"pod", sample.pod},
                        {"probe_type", kind_name(sample.kind)}},
                       histogram);
    }
}

NodeMetrics::NodeMetrics(Parts parts, std::string node_name)
    : parts_(parts), node_name_(std::move(node_name)) {}

async::Task<void> NodeMetrics::watch_reactor() {
    const Clock& clock = parts_.base.clock;
    while (true) {
        SteadyTime due = clock.steady_now() + kReactorPace;
        auto slept = co_await async::sleep_until(due);
        if (!slept) {
            co_return;
        }
        parts_.base.meters.reactor_lag.observe(
            std::max<Duration>(clock.steady_now() - due, Duration::zero()));
    }
}

async::Task<Result<void>> NodeMetrics::write(server::MetricsPage page, MetricsText& text) {
    switch (page) {
        case server::MetricsPage::node:
            co_return co_await write_node(text);
        case server::MetricsPage::containers:
            co_return co_await write_containers(text);
        case server::MetricsPage::probes:
            write_probe_metrics(parts_.rooms.prober().samples(), text);
            co_return Result<void>();
    }
    co_return fail(Code::internal, "no such page");
}

async::Task<Result<void>> NodeMetrics::write_node(MetricsText& text) {
    text.begin("kubelet_node_name", Type::gauge, "The node's name; always 1");
    text.sample({{"node", node_name_}}, 1);
    std::string version = fmt::format("v{}", SKIFF_VERSION);
    text.begin("kubernetes_build_info", Type::gauge,
               "The kubelet that the node stands in for; always 1");
    text.sample({{"build_date", ""},
                 {"compiler", ""},
                 {"git_commit", ""},
                 {"git_tree_state", "clean"},
                 {"git_version", node::kKubeletVersion},
                 {"go_version", ""},
                 {"major", "1"},
                 {"minor", "37"},
                 {"platform", "linux"}},
                1);
    text.begin("skiff_build_info", Type::gauge, "The version of Skiff; always 1");
    text.sample({{"version", version}}, 1);
    std::vector<pods::PodSnapshot> snapshots = parts_.rooms.pods().snapshot();
    write_pod_counts(snapshots, text);
    write_volumes(snapshots, text);
    parts_.base.meters.write(text);
    parts_.http.write(text);
    http::ServerCounts server = parts_.server.counts();
    text.gauge("skiff_server_connections", "Connections to the node", number(server.connections));
    text.begin("skiff_server_refused_connections_total", Type::counter,
               "Connections beyond the node's bound");
    text.sample({}, static_cast<double>(server.refused));
    text.gauge("skiff_engine_keepers", "Keepers that run, one for each build of the engine in use",
               number(parts_.rooms.runtime().keepers()));
    write_certificates(text);
    write_tunnels(text);
    write_process_metrics(text);
    co_await write_cache(text);
    co_await write_claims(std::move(snapshots), text);
    co_return Result<void>();
}

void NodeMetrics::write_volumes(const std::vector<pods::PodSnapshot>& snapshots,
                                MetricsText& text) const {
    std::map<std::pair<std::string_view, std::string_view>, std::size_t> counts;
    for (const pods::PodSnapshot& snapshot : snapshots) {
        const auto* mounted =
            parts_.rooms.metered_volumes().mounted(PodUid(snapshot.pod->metadata.uid));
        for (const kube::Volume& volume : snapshot.pod->spec.volumes) {
            std::string_view plugin = plugin_of(volume);
            ++counts[{plugin, "desired_state_of_world"}];
            bool is_there = mounted != nullptr && mounted->contains(volume.name);
            counts[{plugin, "actual_state_of_world"}] += is_there ? 1U : 0U;
        }
    }
    text.begin("volume_manager_total_volumes", Type::gauge,
               "Volumes of the node's pods: wanted (desired) and set up (actual)");
    for (const auto& [key, count] : counts) {
        text.sample({{"plugin_name", key.first}, {"state", key.second}}, number(count));
    }
}

void NodeMetrics::write_certificates(MetricsText& text) const {
    if (identity_ == nullptr) {
        return;
    }
    WallTime now = parts_.base.clock.wall_now();
    const node::CertificateRecord& client = identity_->client;
    if (auto left = client.seconds_left(now)) {
        text.gauge("kubelet_certificate_manager_client_ttl_seconds",
                   "Time left to the node's client certificate", *left);
        text.gauge("kubelet_certificate_manager_client_expiration_seconds",
                   "When the node's client certificate ends",
                   std::chrono::duration<double>(client.expires->time_since_epoch()).count());
    }
    const node::CertificateRecord& serving = identity_->serving;
    if (auto left = serving.seconds_left(now)) {
        text.gauge("kubelet_certificate_manager_server_ttl_seconds",
                   "Time left to the serving certificate that the cluster signed", *left);
    }
    auto count = [&](std::string_view name, std::string_view help, std::uint64_t value) {
        text.begin(name, Type::counter, help);
        text.sample({}, static_cast<double>(value));
    };
    count("kubelet_certificate_manager_client_expiration_renew_errors",
          "Tries to renew the client certificate that failed", client.failures);
    count("kubelet_server_expiration_renew_errors",
          "Tries to renew the serving certificate that failed", serving.failures);
    count("skiff_certificate_renewals_total", "Client and serving certificates obtained",
          client.renewals + serving.renewals);
}

void NodeMetrics::write_tunnels(server::MetricsText& text) const {
    if (tunnels_ == nullptr || tunnels_->opened_count() == 0) {
        return;
    }
    text.gauge("skiff_tunnels", "Servers of k3s or RKE2 with an open tunnel to this node",
               number(tunnels_->open().size()));
    text.begin("skiff_tunnels_opened_total", Type::counter, "Tunnels opened, also again");
    text.sample({}, static_cast<double>(tunnels_->opened_count()));
}

async::Task<void> NodeMetrics::write_cache(MetricsText& text) {
    SteadyTime now = parts_.base.clock.steady_now();
    if (!cache_ || now - cache_->at > kCacheLookedAt) {
        auto cached = co_await parts_.rooms.runtime().cached_artifacts();
        if (cached) {
            Cache& cache = cache_.emplace();
            cache.at = now;
            cache.entries = cached->size();
            for (const runtime::CachedArtifact& one : *cached) {
                cache.bytes += one.size.value;
            }
        }
    }
    if (cache_) {
        text.gauge("skiff_artifact_cache_entries", "Compiled modules in the cache",
                   number(cache_->entries));
        text.gauge("skiff_artifact_cache_bytes", "Size of the compiled modules in the cache",
                   static_cast<double>(cache_->bytes));
    }
}

// Foreign filesystems may hang: a page without them is better than none.
async::Task<void> NodeMetrics::write_claims(std::vector<pods::PodSnapshot> snapshots,
                                            MetricsText& text) {
    std::map<std::pair<std::string, std::string>, Claim> claims;
    for (const pods::PodSnapshot& snapshot : snapshots) {
        const kube::ObjectMeta& meta = snapshot.pod->metadata;
        const auto* mounted = parts_.rooms.metered_volumes().mounted(PodUid(meta.uid));
        for (const kube::Volume& volume : snapshot.pod->spec.volumes) {
            if (mounted == nullptr || !mounted->contains(volume.name) ||
                !volume.persistentVolumeClaim) {
                continue;
            }
            const std::string& name = volume.persistentVolumeClaim->claimName;
            claims[{meta.namespace_, name}] =
                Claim{meta.namespace_, name, mounted->at(volume.name).path};
        }
    }
    if (claims.empty()) {
        co_return;
    }
    std::vector<Claim> list;
    for (auto& [key, claim] : claims) {
        list.push_back(std::move(claim));
    }
    auto work = [list = std::move(list)]() -> Result<MeasuredClaims> { return measure(list); };
    auto measuring = parts_.base.foreign_pool.run(std::move(work));
    SteadyTime deadline = after(kForeignPatience);
    auto measured = co_await async::with_deadline(std::move(measuring), deadline, "volumes");
    if (measured) {
        write_claim_families(*measured, text);
    }
}

async::Task<Result<void>> NodeMetrics::write_containers(MetricsText& text) {
    Rooms& rooms = parts_.rooms;
    const WallTime asked = parts_.base.clock.wall_now();
    SKIFF_CO_TRY(auto disks, co_await rooms.view().stats(server::StatsScope::all));
    server::NodeStats stats = disks;
    if (disks.at < asked) {
        // Kept from before: its disks will do, its processor times will not.
        SKIFF_CO_TRY(stats, co_await rooms.view().stats(server::StatsScope::cpu_and_memory));
        const auto snapshots = rooms.pods().snapshot();
        co_await rooms.traffic().add_to(snapshots, stats);
    }
    ContainersSample sample;
    sample.at = parts_.base.clock.wall_now();
    sample.containers = running_containers(rooms.pods().snapshot());
    std::vector<ContainerId> ids;
    for (const ContainerSample& one : sample.containers) {
        ids.emplace_back(one.id);
    }
    SKIFF_CO_TRY(auto looks, co_await rooms.looks().look(std::move(ids)));
    // Those that have ended since are no row.
    std::erase_if(sample.containers, [&](ContainerSample& one) {
        auto found = looks.find(ContainerId(one.id));
        if (found == looks.end()) {
            return true;
        }
        one.look = std::move(found->second);
        return false;
    });
    std::map<std::pair<PodName, std::string>, std::optional<server::FsStats>> roots;
    for (const server::PodStats& pod : disks.pods) {
        for (const server::ContainerStats& container : pod.containers) {
            roots[{pod.name, container.name}] = container.rootfs;
        }
    }
    for (ContainerSample& one : sample.containers) {
        if (auto found = roots.find({one.pod, one.name}); found != roots.end()) {
            one.fs = found->second;
        }
    }
    for (const server::PodStats& pod : stats.pods) {
        sample.pods.push_back({pod.name, pod.uid, pod.cpu.total, pod.links});
    }
    MachineSample& machine = sample.machine;
    machine.cores = os::cpu_count();
    machine.memory = stats.memory_total;
    machine.cpu = stats.cpu.total;
    machine.memory_working_set = stats.memory_working_set();
    machine.links = stats.links;
    if (auto memory = os::memory()) {
        machine.swap = memory->swap_total;
    }
    machine.boot_id = os::boot_id();
    machine.machine_id = os::machine_id();
    machine.system_uuid = os::system_uuid();
    write_container_metrics(sample, text);
    co_return Result<void>();
}

}  // namespace skiff::app
