// `skiff node`: the agent of a cluster node, or of a machine without a cluster.
#include <algorithm>
#include <csignal>
#include <iterator>

#include "app/commands.h"
#include "app/doors.h"
#include "app/file_objects.h"
#include "app/k3s_upkeep.h"
#include "app/logind_watch.h"
#include "app/memory.h"
#include "app/node_settings.h"
#include "app/node_shutdown.h"
#include "app/pod_routes.h"
#include "app/powers.h"
#include "app/request_meter.h"
#include "app/rooms.h"
#include "app/service_watch.h"
#include "app/static_pods.h"
#include "app/upkeep.h"
#include "base/log.h"
#include "kube/client_reflector.h"
#include "kube/patch.h"
#include "node/agent.h"
#include "node/api_objects.h"
#include "node/bootstrap.h"
#include "server/reviews.h"
#include "status/mirror.h"
#include "status/sync.h"

namespace skiff::app {

namespace {

// A kubelet looks as often. The kernel could tell of each change, but what is found depends on
// routes of both families as well, and most changes (a lease that is renewed) change nothing.
constexpr Duration kAddressLookEvery = std::chrono::seconds(10);

// The requests of status, over the API client.
class ApiPods final : public status::PodApi, public status::MirrorApi {
public:
    explicit ApiPods(kube::ApiClient& client) : client_(client) {}
    async::Task<Result<std::shared_ptr<const kube::Pod>>> patch_status(PodName pod,
                                                                       std::string patch) override {
        SKIFF_CO_TRY(auto answer,
                     co_await client_.patch<kube::Pod>(pod.ns, pod.name, "status", std::move(patch),
                                                       kube::kStrategicMergePatch));
        co_return std::make_shared<const kube::Pod>(std::move(answer));
    }
    async::Task<Result<void>> delete_pod(PodName pod, PodUid uid) override {
        return client_.remove<kube::Pod>(pod.ns, pod.name, uid.str(), 0);
    }
    async::Task<Result<void>> create_pod(kube::Pod pod) override {
        auto created = co_await client_.create<kube::Pod>(pod);
        if (!created) {
            co_return fail(std::move(created.error()));
        }
        co_return Result<void>();
    }

private:
    kube::ApiClient& client_;
};

// A node without an API server: statuses are asked for at the local socket, events go to the log.
class LogEvents final : public pods::EventSink {
public:
    LogEvents(EventRing& ring, const Clock& clock, std::string node_name)
        : ring_(ring), clock_(clock), node_name_(std::move(node_name)) {}
    void emit(const kube::Pod& pod, std::string_view container, pods::EventType type,
              std::string_view reason, std::string_view message) override {
        kube::Event event =
            node::make_event(node::reference_to(pod, container), {type, reason, message},
                             node_name_, clock_.wall_now());
        record_event(ring_, std::move(event));
    }

private:
    EventRing& ring_;
    const Clock& clock_;
    std::string node_name_;
};

class NoStatus final : public pods::StatusSink {
public:
    void publish(std::shared_ptr<const kube::Pod>, kube::PodStatus) override {}
    void finish(std::shared_ptr<const kube::Pod>) override {}
    void forget(const PodUid&) override {}
};

std::shared_ptr<StaticPods> static_pods(Base& base, Rooms& rooms,
                                        const config::Settings& settings) {
    StaticPorts ports{rooms.pods(), rooms.store(), base.clock, settings.node_name};
    return std::make_shared<StaticPods>(base.reactor.executor(), std::move(ports), settings);
}

using Watch = kube::Reflector<kube::Pod>;
using Spared = std::function<bool(const PodUid&)>;

// What housekeeping leaves alone while a file, or an object of the API server, cannot be read.
// Either may be absent.
Spared spared_by(std::shared_ptr<const StaticPods> files, std::shared_ptr<const Watch> watch) {
    return [files, watch](const PodUid& uid) {
        return (watch != nullptr && watch->has_undecoded(uid.str())) ||
               (files != nullptr && files->may_own(uid));
    };
}

// node_command() has looked at the environment before.
node::ServiceLink service_link() {
    auto link = node::ServiceLink::from_environment();
    return link ? *link : node::ServiceLink();
}

// Why an agent stops to serve.
enum class End {
    asked,     // by SIGINT
    finished,  // by SIGTERM: the machine may be about to stop
    moved,     // the machine's addresses have changed: it goes on under the new ones
};

// Serves until somebody asks the agent to end or `moved` is set, and keeps the service manager
// informed.
async::Task<End> wait_for_the_end(Rooms& rooms, std::string node_name, async::Scope& scope,
                                  async::Event& moved) {
    Rooms* its = &rooms;
    ServiceWatch::Sources sources;
    sources.health = [its] { return its->view().sync_loop_health(); };
    sources.status = [its, node_name] {
        return fmt::format("node {}: {} pods", node_name, its->pods().size());
    };
    auto service = std::make_shared<ServiceWatch>(service_link(), std::move(sources));
    service->ready();
    auto beats = [](std::shared_ptr<ServiceWatch> watch) -> async::Task<void> {
        co_await watch->run();
    };
    scope.spawn("service manager", beats(service));
    std::vector<int> signals = {SIGTERM, SIGINT};
    auto asked = async::wait_signal(std::move(signals));
    auto signal = co_await async::run_until(std::move(asked), moved, async::kNoDeadline, "signals");
    if (!signal) {
        co_return End::moved;
    }
    log::info("stopping", log::kv("signal", *signal));
    service->stopping();
    co_return *signal == SIGTERM ? End::finished : End::asked;
}

// Sets `moved` when the machine has had other addresses than `ips` for two looks in a row. A
// machine without any keeps the last ones, as a cable may be plugged in again.
async::Task<void> watch_addresses(const config::Settings& settings, std::vector<std::string> ips,
                                  async::Event& moved) {
    std::vector<std::string> last = ips;
    while (co_await async::sleep_for(kAddressLookEvery)) {
        auto now = node_addresses(settings, Company::cluster);
        if (!now || *now == ips || *now != last) {
            last = now ? std::move(*now) : ips;
            continue;
        }
        log::warn("the machine's addresses have changed",
                  log::kv("were", fmt::format("{}", fmt::join(ips, ", "))),
                  log::kv("are", fmt::format("{}", fmt::join(*now, ", "))));
        moved.set();
        co_return;
    }
}

// The agent without an API server.
class AloneNode {
public:
    AloneNode(Base& base, const config::Settings& settings, const state::Instance& instance)
        : base_(base),
          settings_(settings),
          instance_(instance),
          events_(base.events, base.clock, settings.node_name),
          scope_(base.reactor.executor()) {}

    async::Task<Result<void>> run() {
        SKIFF_CO_TRY(auto ips, node_addresses(settings_, Company::alone));
        if (ips.empty()) {
            ips.push_back("127.0.0.1");  // nobody else asks for it
        }
        Workload nothing;
        FileObjects objects(nothing);
        Outside outside{objects, events_, status_};
        outside.pod_network = PodNetwork::Company::alone;
        node::NodeSettings node = node_settings(settings_, ips);
        outside.node_labels.known = [labels = node::node_labels(node)] {
            return std::optional(labels);
        };
        outside.observe_node = [this](pods::NodeState& state) {
            if (upkeep_ != nullptr) {
                state.pressures = upkeep_->pressures();
            }
        };
        SKIFF_CO_TRY(auto rooms, co_await Rooms::create(base_, settings_, instance_, outside, ips));
        Doors doors(base_, *rooms, nullptr, settings_, node);
        auto opened = doors.open(instance_.paths());
        auto upkeep = Upkeep::create(base_, *rooms, settings_, {});
        if (opened && !upkeep) {
            opened = fail(std::move(upkeep.error()));
        }
        if (opened) {
            upkeep_ = upkeep->get();
            co_await upkeep_->start();
            auto files = static_pods(base_, *rooms, settings_);
            co_await files->start(scope_);
            rooms->pods().sources_ready(spared_by(files, nullptr));
            scope_.spawn("memory", return_memory(base_.pool));
            rooms->runtime().prepare_toolbox();
            log::info("node started", log::kv("node", settings_.node_name),
                      log::kv("pods", settings_.static_pod_path.string()));
            NodeShutdown shutdown(rooms->pods(), base_.clock, shutdown_groups(settings_), {});
            scope_.spawn("logind", obey_logind(base_.pool, shutdown, {}));
            async::Event never;
            const End end = co_await wait_for_the_end(*rooms, settings_.node_name, scope_, never);
            if (end == End::finished && settings_.shutdown_on_term && shutdown.is_wanted()) {
                (void)co_await shutdown.run();
            }
            co_await scope_.stop();
            co_await upkeep_->stop();
            upkeep_ = nullptr;
        }
        co_await doors.close();
        co_await rooms->stop();
        co_return opened;
    }

private:
    Base& base_;
    const config::Settings& settings_;
    const state::Instance& instance_;
    LogEvents events_;
    NoStatus status_;
    Upkeep* upkeep_ = nullptr;  // while the node runs
    async::Scope scope_;
};

// The agent of a cluster's node.
class ClusterNode {
public:
    ClusterNode(Base& base, const config::Settings& settings, const state::Instance& instance,
                std::vector<std::string> ips, kube::ClientConfig client)
        : base_(base),
          settings_(settings),
          instance_(instance),
          ips_(std::move(ips)),
          node_settings_(node_settings(settings, ips_)),
          client_(base.reactor.executor(), base.clock, std::move(client),
                  {static_cast<double>(settings.kube_api_qps),
                   static_cast<double>(settings.kube_api_burst)}),
          events_(client_, base.clock, base.random, settings.node_name),
          objects_({base.reactor.executor(), client_, base.clock, base.random, base.pool, events_,
                    settings.node_name}),
          pod_api_(client_),
          status_(base.reactor.executor(), base.clock, base.random, pod_api_),
          mirrors_(base.reactor.executor(), pod_api_, status_, settings.node_name,
                   [this] { return node_uid(); }),
          reviews_(client_),
          k3s_(base, settings, node_settings_, client_),
          scope_(base.reactor.executor()) {
        count_requests(client_, base.meters);
    }

    async::Task<Result<End>> run() {
        scope_.spawn("memory", return_memory(base_.pool));
        events_.set_observer(
            [ring = &base_.events](const kube::Event& event) { record_event(*ring, event); });
        scope_.spawn("events", events_.run());
        objects_.start();
        status_.start();
        Outside outside{objects_, events_, mirrors_};
        outside.pod_network = PodNetwork::Company::cluster;
        outside.node_labels.known = [this] { return known_labels(); };
        outside.node_labels.fetch = [this] { return fetch_labels(); };
        outside.observe_node = [this](pods::NodeState& state) { observe(state); };
        auto rooms = co_await Rooms::create(base_, settings_, instance_, outside, ips_);
        Result<End> result = End::asked;
        if (rooms) {
            node_settings_.runtime_handlers = {""};
            std::ranges::copy((*rooms)->runtime().handlers(),
                              std::back_inserter(node_settings_.runtime_handlers));
            k3s_.start();
            result = co_await serve(**rooms);
            co_await k3s_.stop();
            co_await (*rooms)->stop();
        } else {
            result = fail(std::move(rooms.error()));
        }
        co_await mirrors_.stop();
        co_await status_.stop();
        co_await objects_.stop();
        co_await scope_.stop();
        co_return result;
    }

private:
    async::Task<Result<End>> serve(Rooms& rooms) {
        Doors doors(base_, rooms, &reviews_, settings_, node_settings_);
        doors.metrics().set_identity(identity_);
        doors.metrics().set_tunnels(k3s_.tunnels());
        auto opened = doors.open(instance_.paths());
        if (!opened) {
            co_await doors.close();
            co_return fail(std::move(opened.error()));
        }
        doors.have_certificate_signed(client_, identity_.serving);
        node::StatusSources sources;
        Rooms* its = &rooms;
        sources.images = [its] { return its->image_list(); };
        sources.problems = [this, its] {
            std::vector<std::string> problems;
            if (shutdown_ != nullptr && shutdown_->has_begun()) {
                problems.emplace_back("node is shutting down");
            }
            if (auto health = its->view().sync_loop_health(); !health) {
                problems.push_back(health.error().message);
            }
            if (PodNetwork* network = its->pod_network(); network != nullptr) {
                if (auto ready = network->ready(); !ready) {
                    // A kubelet's words, by which people and programs search.
                    problems.push_back(
                        "container runtime network not ready: NetworkReady=false "
                        "reason:NetworkPluginNotReady message:Network plugin returns error: " +
                        ready.error().message);
                }
            }
            if (pod_routes_ != nullptr && pod_routes_->problem()) {
                problems.push_back("pods of other nodes are not reached: " +
                                   *pod_routes_->problem());
            }
            return problems;
        };
        sources.changed = [this, its](const kube::Node& node) {
            take_ranges(*its, node);
            if (pod_routes_ != nullptr) {
                pod_routes_->see_own_node(node);
            }
        };
        sources.pressures = [this] {
            return upkeep_ == nullptr ? std::vector<std::string>() : upkeep_->pressures();
        };
        node::NodeAgent agent(base_.reactor.executor(), client_, base_.clock, base_.random, events_,
                              node_settings_, std::move(sources));
        agent_ = &agent;
        if (PodNetwork* network = rooms.pod_network(); network != nullptr) {
            network->set_observer([this] {
                if (agent_ != nullptr) {
                    agent_->poke();
                }
                if (pod_routes_ != nullptr) {
                    pod_routes_->wake();
                }
            });
        }
        Upkeep::Node told;
        told.tell = [&agent](std::string_view reason, const std::string& message) {
            agent.tell(pods::EventType::warning, reason, message);
        };
        told.changed = [&agent] { agent.poke(); };
        auto upkeep = Upkeep::create(base_, rooms, settings_, std::move(told));
        if (!upkeep) {
            agent_ = nullptr;
            co_await doors.close();
            co_return fail(std::move(upkeep.error()));
        }
        upkeep_ = upkeep->get();
        NodeShutdown shutdown(rooms.pods(), base_.clock, shutdown_groups(settings_),
                              {[&agent] { agent.poke(); }, [this] { return status_.pending(); }});
        shutdown_ = &shutdown;
        co_await upkeep_->start();
        auto routes = make_pod_routes(rooms, agent);
        pod_routes_ = routes.get();
        agent.start();
        if (routes != nullptr) {
            routes->start();
        }
        node::IdentityParts identity{client_, base_.clock, base_.random, identity_.client};
        scope_.spawn("identity", node::keep_identity(node_settings_, identity));
        kube::Selection mine;
        mine.field_selector = "spec.nodeName=" + settings_.node_name;
        auto on_change = [this, its](const kube::Change<kube::Pod>& change) { take(*its, change); };
        // Shared with housekeeping, which ends after it.
        auto watch = std::make_shared<Watch>(client_, base_.clock, base_.random, mine, on_change);
        watch->set_undecoded_callback(
            [this](const Watch::Undecoded& object, const Error& error) { tell(object, error); });
        auto files = static_pods(base_, rooms, settings_);
        rooms.runtime().prepare_toolbox();
        // Everything that refers to these objects ends before they do.
        async::Scope inner(base_.reactor.executor());
        inner.spawn("pods", watch_pods(agent, watch, files, rooms, inner));
        inner.spawn("logind", obey_logind(base_.pool, shutdown, {}));
        log::info("node started", log::kv("node", settings_.node_name),
                  log::kv("server", client_.config().server));
        async::Event moved;
        inner.spawn("addresses", watch_addresses(settings_, ips_, moved));
        const End end = co_await wait_for_the_end(rooms, settings_.node_name, inner, moved);
        if (end == End::finished && settings_.shutdown_on_term && shutdown.is_wanted()) {
            (void)co_await shutdown.run();
        }
        co_await inner.stop();
        co_await upkeep_->stop();
        upkeep_ = nullptr;
        shutdown_ = nullptr;
        if (routes != nullptr) {
            co_await routes->stop();
        }
        pod_routes_ = nullptr;
        co_await agent.stop();
        agent_ = nullptr;
        co_await doors.close();
        co_return end;
    }

    void observe(pods::NodeState& state) const {
        if (shutdown_ != nullptr && shutdown_->has_begun()) {
            state.shutdown = pods::NodeState::Shutdown::begun;
        }
        if (upkeep_ != nullptr) {
            state.pressures = upkeep_->pressures();
        }
        if (auto node = agent_ == nullptr ? nullptr : agent_->node()) {
            state.taints = node->spec.taints;
        }
    }

    std::optional<pods::NodeLabels> known_labels() const {
        auto node = agent_ == nullptr ? nullptr : agent_->node();
        return node == nullptr ? std::nullopt : std::optional(node->metadata.labels);
    }

    std::optional<std::string> node_uid() const {
        auto node = agent_ == nullptr ? nullptr : agent_->node();
        return node == nullptr ? std::nullopt : std::optional(node->metadata.uid);
    }

    async::Task<Result<pods::NodeLabels>> fetch_labels() {
        SKIFF_CO_TRY(auto node, co_await client_.get<kube::Node>("", settings_.node_name));
        co_return std::move(node.metadata.labels);
    }

    // nullptr where the node itself gives pods no addresses.
    std::unique_ptr<PodRoutes> make_pod_routes(Rooms& rooms, node::NodeAgent& agent) {
        PodNetwork* network = rooms.pod_network();
        if (network == nullptr || network->kind() != NetworkKind::routed) {
            return nullptr;
        }
        PodRoutes::Parts parts{
            base_.reactor.executor(), client_, base_.clock, base_.random, base_.pool,
            network->routed()};
        PodRoutes::Told told;
        told.event = [&agent](std::string_view reason, const std::string& message) {
            agent.tell(pods::EventType::warning, reason, message);
        };
        told.changed = [&agent] { agent.poke(); };
        return std::make_unique<PodRoutes>(parts, settings_, instance_, ips_, std::move(told));
    }

    // Called while agent_ is there: by its watch.
    void take_ranges(Rooms& rooms, const kube::Node& node) {
        if (PodNetwork* network = rooms.pod_network(); network != nullptr) {
            auto ranges = node.spec.podCIDRs;
            if (ranges.empty() && !node.spec.podCIDR.empty()) {
                ranges.push_back(node.spec.podCIDR);
            }
            network->tell_ranges(ranges);
        }
    }

    // To whoever looks at the pod: nothing that it asks for is done.
    void tell(const Watch::Undecoded& object, const Error& error) {
        kube::Pod pod;
        pod.metadata.namespace_ = object.ns;
        pod.metadata.name = object.name;
        pod.metadata.uid = object.uid;
        events_.emit(pod, {}, pods::EventType::warning, "Undecodable",
                     fmt::format("This version of the pod cannot be read, what runs of it is left "
                                 "alone: {}",
                                 error.message));
    }

    async::Task<void> watch_pods(node::NodeAgent& agent, std::shared_ptr<Watch> watch,
                                 std::shared_ptr<StaticPods> files, Rooms& rooms,
                                 async::Scope& inner) {
        // These run without an API server, so they do not wait for it.
        co_await files->start(inner);
        // The node authorizer knows nothing of us before the Node exists; on a restart it is there
        // already, and while the server is away the pods that run are looked after all the same.
        auto registered = co_await agent.wait_registered(async::kNoDeadline);
        if (!registered) {
            co_return;
        }
        inner.spawn("watch", watch->run());
        auto synced = co_await watch->wait_synced(async::kNoDeadline);
        if (!synced) {
            co_return;
        }
        rooms.pods().sources_ready(spared_by(files, watch));
        mirrors_.sources_ready();
        log::info("pods listed", log::kv("pods", rooms.pods().size()));
    }

    void take(Rooms& rooms, const kube::Change<kube::Pod>& change) {
        bool removed = change.kind == kube::ChangeKind::removed;
        if (status::is_mirror(*change.object)) {
            removed ? mirrors_.gone(*change.object) : mirrors_.seen(change.object);
        } else if (removed) {
            rooms.pods().remove(PodUid(change.object->metadata.uid));
        } else {
            rooms.pods().apply(change.object);
        }
    }

    Base& base_;
    const config::Settings& settings_;
    const state::Instance& instance_;
    std::vector<std::string> ips_;
    node::NodeSettings node_settings_;
    kube::ApiClient client_;
    node::EventRecorder events_;
    node::ApiObjects objects_;
    ApiPods pod_api_;
    status::StatusSync status_;
    status::MirrorPods mirrors_;
    server::KubeReviews reviews_;
    node::IdentityRecord identity_;
    K3sUpkeep k3s_;
    node::NodeAgent* agent_ = nullptr;  // while the node serves
    Upkeep* upkeep_ = nullptr;          // the same
    NodeShutdown* shutdown_ = nullptr;  // the same
    PodRoutes* pod_routes_ = nullptr;   // the same; none without a built-in network
    async::Scope scope_;
};

async::Task<Result<void>> run_cluster_node(Base& base, const config::Settings& settings,
                                           const state::Instance& instance) {
    while (true) {
        SKIFF_CO_TRY(auto ips, node_addresses(settings, Company::cluster));
        service_link().tell_status("getting an identity from the cluster");
        auto identity = co_await node::ensure_identity(node_settings(settings, ips), base.clock);
        if (!identity) {
            co_return fail(std::move(identity.error()));
        }
        // Pods, certificates, tunnels and the Node all hold the addresses: when these change, the
        // agent is made anew, as after a restart, and finds its pods again.
        ClusterNode node(base, settings, instance, std::move(ips), std::move(*identity));
        auto end = co_await node.run();
        if (!end) {
            co_return fail(std::move(end.error()));
        }
        if (*end != End::moved) {
            co_return Result<void>();
        }
    }
}

async::Task<Result<void>> run_alone(Base& base, const config::Settings& settings,
                                    const state::Instance& instance) {
    AloneNode node(base, settings, instance);
    co_return co_await node.run();
}

}  // namespace

int node_command(NodeOptions options) {
    if (options.standalone && options.settings.static_pod_path.empty() &&
        options.settings.static_pod_url.empty()) {
        print_error(
            "--standalone needs --pod-manifest-path, the folder with the pods to run, or "
            "--manifest-url");
        return kExitUsage;
    }
    if (auto link = node::ServiceLink::from_environment(); !link) {
        print_error(link.error().message);
        return kExitUsage;
    }
    ::signal(SIGPIPE, SIG_IGN);
    share_one_heap();
    os::IdMapProbe probe = settle_powers();
    Base base;
    base.id_map_probe = std::move(probe);
    auto instance = state::Instance::open(paths_of(options.settings), base.random);
    if (!instance) {
        print_error(format_as(instance.error()));
        return kExitFailure;
    }
    auto body = options.standalone ? run_alone(base, options.settings, **instance)
                                   : run_cluster_node(base, options.settings, **instance);
    return exit_code_of(async::run_to_end(base.reactor, std::move(body)));
}

}  // namespace skiff::app
