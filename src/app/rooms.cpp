#include "app/rooms.h"

#include <unistd.h>

#include "app/node_settings.h"
#include "app/stdin_runtime.h"
#include "base/egress.h"
#include "base/log.h"
#include "base/text.h"
#include "logs/read.h"
#include "network/node_address.h"
#include "node/status.h"
#include "os/file.h"
#include "pods/annotations.h"
#include "pods/log_target.h"

namespace skiff::app {

// Hashing and unpacking the largest layers takes minutes; a pool that takes nothing for longer is
// stuck, as the kubelet's relist is.
constexpr auto kPoolWaitMax = std::chrono::minutes(3);

// `kubectl logs` over what pods point to and logs reads.
class Rooms::PodLogs final : public pods::LogSource {
public:
    PodLogs(pods::Pods& pods, runtime::KeeperRuntime& runtime, async::BlockingPool& pool)
        : pods_(pods), runtime_(runtime), pool_(pool) {}

    pods::Task<Result<void>> read(PodName pod, std::string container, pods::LogOptions options,
                                  pods::LogSink& sink) override {
        auto snapshot = pods_.find(pod);
        if (!snapshot) {
            co_return fail(Code::not_found, "pod \"{}\" not found", pod.name);
        }
        auto run = options.previous ? pods::LogRun::previous : pods::LogRun::latest;
        SKIFF_CO_TRY(pods::LogTarget target, pods::log_target(*snapshot, container, run));
        logs::ReadRequest request;
        request.folder = target.path.parent_path();
        request.attempt = target.attempt;
        request.options = options;
        runtime::KeeperRuntime* runtime = &runtime_;
        request.is_running = [runtime, target] { return still_runs(*runtime, target); };
        co_return co_await logs::read_log(std::move(request), sink, pool_);
    }

private:
    static bool still_runs(const runtime::KeeperRuntime& runtime, const pods::LogTarget& target) {
        for (const pods::ContainerRecord& record : runtime.containers(target.pod)) {
            if (record.id == target.container) {
                return !record.exit.has_value();
            }
        }
        return false;
    }

    pods::Pods& pods_;
    runtime::KeeperRuntime& runtime_;
    async::BlockingPool& pool_;
};

class Rooms::PodView final : public server::NodeView {
public:
    PodView(const pods::Pods& pods, const async::BlockingPool& pool, StatsCollector& stats)
        : pods_(pods), pool_(pool), stats_(stats) {}
    async::Task<Result<server::NodeStats>> stats(server::StatsScope scope) const override {
        return stats_.collect(scope);
    }
    std::vector<std::shared_ptr<const kube::Pod>> pods() const override {
        std::vector<std::shared_ptr<const kube::Pod>> list;
        for (pods::PodSnapshot& snapshot : pods_.snapshot()) {
            list.push_back(std::move(snapshot.pod));
        }
        return list;
    }
    Result<void> sync_loop_health() const override {
        if (!pods_.healthy()) {
            return fail(Code::unavailable, "the pods' loop stands still");
        }
        if (Duration wait = pool_.longest_wait(); wait > kPoolWaitMax) {
            return fail(Code::unavailable, "file work has waited for {} for a thread",
                        format_duration(std::chrono::duration_cast<std::chrono::seconds>(wait)));
        }
        return {};
    }

private:
    const pods::Pods& pods_;
    const async::BlockingPool& pool_;
    StatsCollector& stats_;
};

state::Paths paths_of(const config::Settings& settings) {
    state::Paths paths;
    paths.root_dir = settings.root_dir;
    paths.run_dir = settings.run_dir;
    paths.pod_log_dir = settings.pod_log_dir;
    paths.container_log_dir = settings.container_log_dir;
    return paths;
}

Result<std::vector<std::string>> node_addresses(const config::Settings& settings, Company company) {
    if (!settings.node_ip.empty()) {
        std::vector<std::string> ips;
        for (std::string_view part : split(settings.node_ip, ',')) {
            std::string ip(trim(part));
            auto valid = network::check_node_address(ip);
            if (!valid) {
                return fail(std::move(valid.error()).context("nodeIP"));
            }
            ips.push_back(std::move(ip));
        }
        return ips;
    }
    auto found = network::detect_node_addresses();
    if (!found && company == Company::alone) {
        return std::vector<std::string>{};
    }
    return found;
}

runtime::RuntimeSettings runtime_settings(const config::Settings& settings,
                                          os::OnParentDeath lifetime) {
    runtime::RuntimeSettings its;
    its.engine_program = settings.engine_path;
    its.cgroup_root = settings.cgroup_root;
    its.logs.files = static_cast<std::size_t>(settings.container_log_max_files);
    its.logs.file_max = settings.container_log_max_size;
    its.logs.per_second_max = settings.container_log_max_per_second;
    its.lifetime = lifetime;
    its.compile_time_max = settings.compile_timeout;
    its.compile_memory_max = settings.compile_memory;
    its.wasi03 = settings.wasi03;
    return its;
}

Rooms::Rooms(Base& base, const config::Settings&, const state::Instance& instance)
    : base_(base), instance_(instance), starts_(base.meters, base.clock) {}

Rooms::~Rooms() = default;

pods::LogSource& Rooms::logs() {
    return *logs_;
}

async::Task<Result<std::unique_ptr<pods::ExecSession>>> Rooms::exec(PodName pod,
                                                                    pods::ExecRequest request) {
    auto snapshot = pods_->find(pod);
    if (!snapshot) {
        co_return fail(Code::not_found, "no pod \"{}\" in namespace \"{}\" on this node", pod.name,
                       pod.ns);
    }
    co_return co_await pods::exec_command(*images_, *runtime_, std::move(*snapshot),
                                          std::move(request));
}

const server::NodeView& Rooms::view() const {
    return *view_;
}

async::Task<Result<void>> Rooms::open_images(const config::Settings& settings, Outside outside) {
    ImageRooms::Ground ground{base_.reactor.executor(), base_.pool, base_.clock, base_.random};
    SKIFF_CO_TRY(image_rooms_, co_await ImageRooms::create(ground, settings, instance_.paths()));
    images::NodeImages::Parts parts{image_rooms_->store(),
                                    image_rooms_->registry(),
                                    image_rooms_->puller(),
                                    image_rooms_->access(),
                                    outside.objects,
                                    outside.events,
                                    base_.clock};
    images_.emplace(parts);
    co_return Result<void>{};
}

// Installed beside the engine; in the build tree among the guests.
static std::filesystem::path toolbox_folder(const std::filesystem::path& engine) {
    std::error_code error;
    auto beside = engine.parent_path();
    auto built = beside.parent_path().parent_path() / "guests";
    bool is_built = !std::filesystem::exists(beside / "toolbox.wasm", error) &&
                    std::filesystem::exists(built / "toolbox.wasm", error);
    return is_built ? built : beside;
}

async::Task<Result<void>> Rooms::open_runtime(const config::Settings& settings, Outside outside) {
    auto its = runtime_settings(settings, outside.lifetime);
    its.toolbox_folder = toolbox_folder(settings.engine_path);
    runtime::RuntimeParts parts{base_.reactor, base_.pool, base_.clock, base_.random, instance_};
    SKIFF_CO_TRY(runtime_, co_await runtime::KeeperRuntime::create(std::move(its), parts));
    stdin_runtime_ = std::make_unique<StdinRuntime>(*runtime_, outside.stdin_fd);
    // To an ordinary user the keeper says in one line what is weaker.
    if (::geteuid() == 0) {
        for (const std::string& warning : runtime_->warnings()) {
            log::warn("limited", log::kv("detail", warning));
        }
    }
    co_return Result<void>{};
}

// Where pods without `skiff/egress` may connect to.
static Result<Egress> default_egress(const config::Settings& settings) {
    return settings.default_egress.empty() ? Result<Egress>(Egress{})
                                           : parse_egress(settings.default_egress);
}

Result<void> Rooms::open_egress(const config::Settings& settings, const Outside& outside) {
    SKIFF_TRY(Egress of_node, default_egress(settings));
    network::EgressSettings its;
    its.allowed_of = [of_node](const kube::Pod& pod) { return pods::pod_egress(pod, of_node); };
    its.node_ports = agent_ports(settings);
    egress_.emplace(network::EgressControl::Parts{base_.reactor.executor(), base_.pool,
                                                  base_.random, outside.events},
                    std::move(its));
    return {};
}

async::Task<Result<void>> Rooms::open_network(const config::Settings& settings,
                                              const Outside& outside,
                                              std::vector<std::string> node_ips) {
    auto executor = base_.reactor.executor();
    network::NetworkSettings network;
    network.node_hostname = settings.node_name;
    network.cluster_dns.servers = settings.cluster_dns;
    network.cluster_dns.domain = settings.cluster_domain;
    network.resolv_conf = settings.resolv_conf;
    if (outside.pod_network) {
        PodNetwork::Parts parts{base_.reactor, base_.pool, base_.random, instance_};
        pod_network_.emplace(std::move(parts), settings, node_ips, *outside.pod_network);
        PodNetwork::Before before;
        before.pods = runtime_->pods();
        for (const PodUid& uid : before.pods) {
            if (!runtime_->containers(uid).empty()) {
                before.started.insert(uid);
            }
        }
        SKIFF_CO_CHECK(co_await pod_network_->open(std::move(before)));
        network.attacher = &*pod_network_;
        SKIFF_CO_CHECK(open_egress(settings, outside));
        network.egress = &*egress_;
    }
    network.node_ips = std::move(node_ips);
    traffic_.emplace(network.attacher, network::wire_prefix(instance_.id()), base_.pool);
    network_.emplace(executor, std::move(network), instance_.paths(), base_.pool, outside.events);
    co_return Result<void>{};
}

pods::Ports Rooms::meter(Outside outside) {
    Meters& meters = base_.meters;
    metered_runtime_.emplace(*stdin_runtime_, MeteredRuntime::Parts{meters, starts_, base_.clock});
    metered_images_.emplace(*images_, MeteredImages::Parts{meters, starts_, base_.clock});
    metered_volumes_.emplace(*volumes_, meters, base_.clock);
    metered_status_.emplace(outside.status, starts_);
    looks_.emplace(*runtime_, base_.pool, instance_.paths());
    images_->set_pull_observer([&meters](const images::NodeImages::Pull& pull) {
        bool done = pull.end == images::NodeImages::Pull::End::done;
        meters.pulls.add({done ? "done" : "failed"});
        meters.pull_bytes.add({}, static_cast<double>(pull.size.value));
        meters.operations.add({"pull_image"});
        meters.operation_errors.add({"pull_image"}, done ? 0 : 1);
        meters.operation_seconds.observe({"pull_image"}, pull.took);
        if (done) {
            meters.pull_seconds.observe({size_class(pull.size)}, pull.took);
        }
    });
    return pods::Ports{outside.events,    outside.objects, *metered_images_,
                       *metered_volumes_, *network_,       *metered_runtime_,
                       *metered_status_,  *commands_,      *prober_};
}

// "1.37": for whom probes say that they come.
static std::string probed_for() {
    auto parts = split(node::kKubeletVersion.substr(1), '.');
    return fmt::format("{}.{}", parts[0], parts[1]);
}

async::Task<Result<std::unique_ptr<Rooms>>> Rooms::create(Base& base,
                                                          const config::Settings& settings,
                                                          const state::Instance& instance,
                                                          Outside outside,
                                                          std::vector<std::string> node_ips) {
    std::unique_ptr<Rooms> rooms(new Rooms(base, settings, instance));
    rooms->events_ = &outside.events;
    auto executor = base.reactor.executor();
    auto opened = co_await rooms->open_images(settings, outside);
    if (opened) {
        opened = co_await rooms->open_runtime(settings, outside);
    }
    if (opened) {
        opened = co_await rooms->open_network(settings, outside, node_ips);
    }
    auto observed = node::observe_machine(settings.root_dir);
    if (opened && !observed) {
        opened = fail(std::move(observed.error()));
    }
    if (!opened) {
        co_await rooms->stop();
        co_return fail(std::move(opened.error()));
    }
    using MachineIds = volumes::ForeignVolumes::MachineIds;
    const volumes::ForeignVolumes foreign{&base.id_map_probe, settings.host_path_machine_ids
                                                                  ? MachineIds::allowed
                                                                  : MachineIds::forbidden};
    rooms->volumes_.emplace(executor, instance.paths(), outside.objects,
                            volumes::Pools{base.pool, base.foreign_pool}, base.clock, foreign);

    rooms->commands_.emplace(*rooms->images_, *rooms->runtime_);
    probes::Prober::Parts prober{executor, base.clock, base.random, outside.events,
                                 *rooms->commands_};
    rooms->prober_.emplace(prober, probed_for());

    node::NodeSettings node = node_settings(settings, node_ips);
    auto status = node::make_status(node, *observed, {}, {}, base.clock.wall_now());
    pods::PodsSettings pods_settings;
    pods_settings.node.node_name = settings.node_name;
    pods_settings.node.host_ips = std::move(node_ips);
    pods_settings.node.allocatable = std::move(status.allocatable);
    pods_settings.node.memory_capacity = observed->memory_total;
    pods_settings.node.crash_back_off_max = settings.max_container_restart_period;
    pods_settings.node.guest_input = pods::NodeFacts::GuestInput::attached;
    if (outside.lifetime == os::OnParentDeath::die) {
        // Nobody can attach to a pod of `skiff run`.
        pods_settings.node.guest_input = outside.stdin_fd >= 0 ? pods::NodeFacts::GuestInput::given
                                                               : pods::NodeFacts::GuestInput::none;
        pods_settings.node.listening = pods::NodeFacts::Listening::everywhere;
    }
    pods_settings.node.handlers = rooms->runtime_->handlers();
    SKIFF_CO_TRY(pods_settings.node.default_egress, default_egress(settings));
    pods_settings.pods_max = static_cast<std::size_t>(settings.max_pods);
    pods_settings.node_labels = std::move(outside.node_labels);
    pods_settings.observe_node = std::move(outside.observe_node);
    pods_settings.resync = settings.sync_frequency;
    rooms->pods_ = std::make_unique<pods::Pods>(executor, base.clock, base.random,
                                                rooms->meter(outside), std::move(pods_settings));
    rooms->logs_ = std::make_unique<PodLogs>(*rooms->pods_, *rooms->runtime_, base.pool);
    rooms->attachments_.emplace(executor,
                                Attachments::Parts{*rooms->pods_, *rooms->runtime_, base.pool});
    rooms->stats_.emplace(StatsCollector::Parts{*rooms->pods_, *rooms->runtime_, *rooms->volumes_,
                                                base.foreign_pool, base.clock,
                                                [looks = &*rooms->looks_](auto containers) {
                                                    return looks->look(std::move(containers));
                                                },
                                                &*rooms->traffic_},
                          settings.node_name, settings.root_dir);
    rooms->view_ = std::make_unique<PodView>(*rooms->pods_, base.pool, *rooms->stats_);
    rooms->pods_->start();
    co_return std::move(rooms);
}

std::vector<kube::ContainerImage> Rooms::image_list() const {
    return images::image_list(image_rooms_->store().list());
}

async::Task<void> Rooms::stop() {
    if (attachments_) {
        co_await attachments_->stop();
    }
    if (pods_) {
        co_await pods_->stop();
    }
    if (prober_) {
        co_await prober_->stop();
    }
    if (volumes_) {
        co_await volumes_->stop();
    }
    if (network_) {
        (void)co_await network_->stop();
    }
    if (egress_) {
        (void)co_await egress_->stop();
    }
    if (pod_network_) {
        (void)co_await pod_network_->stop();
    }
    if (image_rooms_) {
        co_await image_rooms_->stop();
    }
    if (runtime_) {
        co_await runtime_->stop_tasks();
    }
}

}  // namespace skiff::app
