#include "node/agent.h"

#include "base/log.h"
#include "kube/patch.h"

namespace skiff::node {

namespace {

constexpr Duration kRegisterPauseMin = std::chrono::milliseconds(100);
constexpr Duration kRegisterPauseMax = std::chrono::seconds(7);
constexpr Duration kHeartbeatTimeout = std::chrono::seconds(10);
constexpr Duration kUntilReady = std::chrono::milliseconds(200);
constexpr int kLeaseTries = 5;
constexpr int kStatusTries = 5;
constexpr std::string_view kLeaseNamespace = "kube-node-lease";

SteadyTime after(const Clock& clock, Duration wait) {
    return clock.steady_now() + std::chrono::duration_cast<SteadyTime::duration>(wait);
}

struct FlipName {
    std::string_view condition;
    std::string_view when_true;
    std::string_view when_false;
};
constexpr std::array<FlipName, 4> kFlips = {
    FlipName{"MemoryPressure", "NodeHasInsufficientMemory", "NodeHasSufficientMemory"},
    FlipName{"DiskPressure", "NodeHasDiskPressure", "NodeHasNoDiskPressure"},
    FlipName{"PIDPressure", "NodeHasInsufficientPID", "NodeHasSufficientPID"},
    FlipName{"Ready", "NodeReady", "NodeNotReady"}};

std::string status_of(const kube::NodeStatus& status, std::string_view type) {
    for (const kube::NodeCondition& condition : status.conditions) {
        if (condition.type == type) {
            return condition.status;
        }
    }
    return {};
}

}  // namespace

Duration pause_until_ready(int looks, Duration longest) {
    Duration pause = kUntilReady;
    for (int i = 0; i < looks && pause < longest; ++i) {
        pause *= 2;
    }
    return std::min(pause, longest);
}

NodeAgent::NodeAgent(async::Executor executor, kube::ApiClient& client, const Clock& clock,
                     Random& random, EventRecorder& events, NodeSettings settings,
                     StatusSources sources)
    : client_(client),
      clock_(clock),
      random_(random),
      events_(events),
      settings_(std::move(settings)),
      sources_(std::move(sources)),
      own_(client, clock, random, kube::Selection{"", "metadata.name=" + settings_.name, ""},
           [this](const kube::Change<kube::Node>& change) { on_own_node(change); }),
      scope_(std::move(executor)) {}

void NodeAgent::start() {
    scope_.spawn("node agent", run());
}

async::Task<void> NodeAgent::stop() {
    co_await scope_.stop();
}

std::shared_ptr<const kube::Node> NodeAgent::node() const {
    return own_.find("", settings_.name);
}

bool NodeAgent::heartbeat_is_fresh() const {
    return last_heartbeat_ && clock_.steady_now() - *last_heartbeat_ <
                                  std::chrono::seconds(settings_.lease_duration_seconds);
}

void NodeAgent::tell(pods::EventType type, std::string_view reason, std::string_view message) {
    events_.emit_node(node_uid_, type, reason, message);
}

async::Task<Result<void>> NodeAgent::wait_registered(SteadyTime deadline) {
    SKIFF_CO_CHECK(co_await registered_.wait(deadline));
    co_return co_await own_.wait_synced(deadline);
}

async::Task<Result<std::string>> NodeAgent::server_version() {
    kube::ApiRequest request;
    request.path = "/version";
    SKIFF_CO_TRY(auto body, co_await client_.call(std::move(request)));
    // {"gitVersion": "v1.37.2", …}
    SKIFF_CO_TRY(auto info, kube::from_json<kube::VersionAnswer>(body));
    co_return std::move(info.gitVersion);
}

Result<kube::NodeStatus> NodeAgent::wanted_status(const kube::NodeStatus& previous) {
    SKIFF_TRY(auto facts, observe_machine(settings_.root_dir));
    StatusInputs inputs;
    inputs.kubelet_version = kubelet_version_;
    if (sources_.images) {
        inputs.images = sources_.images();
    }
    if (sources_.pressures) {
        inputs.pressures = sources_.pressures();
    }
    if (sources_.problems) {
        inputs.problems = sources_.problems();
    }
    return make_status(settings_, facts, inputs, previous, clock_.wall_now());
}

async::Task<Result<void>> NodeAgent::register_node() {
    SKIFF_CO_TRY(auto version, co_await server_version());
    kubelet_version_ = kubelet_version_for(version);
    SKIFF_CO_TRY(auto status, wanted_status(kube::NodeStatus()));
    kube::Node wanted = make_node(settings_, std::move(status));
    if (settings_.registration == NodeSettings::Registration::by_somebody_else) {
        co_return co_await reconcile(std::move(wanted));
    }
    auto created = co_await client_.create(wanted);
    if (created) {
        node_uid_ = created->metadata.uid;
        log::info("node registered", log::kv("node", settings_.name),
                  log::kv("version", kubelet_version_));
        emit_flips(kube::NodeStatus(), wanted.status);
        co_return Result<void>();
    }
    bool there = created.error().code == Code::exists || created.error().code == Code::denied;
    if (!there) {
        co_return fail(std::move(created.error()).context("register node"));
    }
    auto reconciled = co_await reconcile(std::move(wanted));
    if (!reconciled && created.error().code == Code::denied) {
        // The reason why it may not be created says more.
        co_return fail(std::move(created.error()).context("register node"));
    }
    co_return reconciled;
}

// The node is known to the server: bring its labels and annotations up to date. Taints stay as
// they are there: a node may not change its own.
async::Task<Result<void>> NodeAgent::reconcile(kube::Node wanted) {
    SKIFF_CO_TRY(auto known, co_await client_.get<kube::Node>("", settings_.name));
    node_uid_ = known.metadata.uid;
    const std::string& boot = known.status.nodeInfo.bootID;
    if (!boot.empty() && boot != wanted.status.nodeInfo.bootID) {
        events_.emit_node(node_uid_, pods::EventType::warning, "Rebooted",
                          fmt::format("Node {} has been rebooted, boot id: {}", settings_.name,
                                      wanted.status.nodeInfo.bootID));
    }
    if (auto patch = kube::node_metadata_patch(known, wanted)) {
        auto patched = co_await client_.patch<kube::Node>("", settings_.name, "", *patch,
                                                          kube::kStrategicMergePatch);
        if (!patched) {
            co_return fail(std::move(patched.error()).context("update node labels"));
        }
    }
    log::info("node known to the cluster", log::kv("node", settings_.name));
    co_return Result<void>();
}

// A kubelet tells it once, at its start.
void NodeAgent::tell_disk_capacity() {
    auto facts = observe_machine(settings_.root_dir);
    if (facts && facts->image_disk_total.value == 0) {
        events_.emit_node(node_uid_, pods::EventType::warning, "InvalidDiskCapacity",
                          "invalid capacity 0 on image filesystem");
    }
}

async::Task<void> NodeAgent::run() {
    Duration pause = kRegisterPauseMin;
    while (true) {
        auto registered = co_await register_node();
        if (registered) {
            break;
        }
        if (registered.error().code == Code::cancelled) {
            co_return;
        }
        log::warn("node not registered yet", log::kv("error", format_as(registered.error())));
        auto slept = co_await async::sleep_for(pause);
        if (!slept) {
            co_return;
        }
        pause = std::min(pause * 2, kRegisterPauseMax);
    }
    registered_.set();
    events_.emit_node(node_uid_, pods::EventType::normal, "Starting", "Starting kubelet.");
    events_.emit_node(node_uid_, pods::EventType::normal, "NodeAllocatableEnforced",
                      "Pods beyond the node's allocatable resources are not admitted");
    tell_disk_capacity();
    scope_.spawn("watch own node", own_.run());
    scope_.spawn("node lease", keep_lease());
    scope_.spawn("node status", keep_status());
}

async::Task<Result<void>> NodeAgent::renew_lease() {
    auto now = kube::MicroTime(clock_.wall_now());
    kube::Lease lease = lease_.value_or(kube::Lease());
    lease.metadata.name = settings_.name;
    lease.metadata.namespace_ = kLeaseNamespace;
    lease.spec.holderIdentity = settings_.name;
    lease.spec.leaseDurationSeconds = static_cast<std::int32_t>(settings_.lease_duration_seconds);
    lease.spec.renewTime = now;
    if (lease.metadata.ownerReferences.empty() && !node_uid_.empty()) {
        kube::OwnerReference owner;
        owner.apiVersion = "v1";
        owner.kind = "Node";
        owner.name = settings_.name;
        owner.uid = node_uid_;
        lease.metadata.ownerReferences.push_back(std::move(owner));
    }
    kube::ApiRequest request;
    bool known = !lease.metadata.resourceVersion.empty();
    request.method = known ? "PUT" : "POST";
    request.path = kube::resource_path(kube::kResource<kube::Lease>, kLeaseNamespace,
                                       known ? settings_.name : std::string());
    request.body = kube::to_json(lease);
    request.timeout = kHeartbeatTimeout;
    request.throttle = kube::Throttle::exempt;
    auto body = co_await client_.call(std::move(request));
    if (body) {
        SKIFF_CO_TRY(lease_, kube::from_json<kube::Lease>(*body));
        last_heartbeat_ = clock_.steady_now();
        co_return Result<void>();
    }
    Code code = body.error().code;
    if (code == Code::not_found) {
        lease_.reset();
    } else if (code == Code::exists || code == Code::conflict) {
        // Somebody else wrote it, or it was there from our last life: the last seen object counts.
        auto seen = co_await client_.get<kube::Lease>(std::string(kLeaseNamespace), settings_.name);
        lease_.reset();
        if (seen) {
            lease_ = std::move(*seen);
        }
    }
    co_return fail(std::move(body.error()));
}

async::Task<void> NodeAgent::keep_lease() {
    while (true) {
        for (int attempt = 0; attempt < kLeaseTries; ++attempt) {
            auto renewed = co_await renew_lease();
            if (renewed) {
                break;
            }
            if (renewed.error().code == Code::cancelled) {
                co_return;
            }
            log::warn("lease not renewed", log::kv("error", format_as(renewed.error())));
            auto paused = co_await async::sleep_for(kUntilReady);
            if (!paused) {
                co_return;
            }
        }
        std::chrono::duration<double> interval(
            static_cast<double>(settings_.lease_duration_seconds) * 0.25 *
            (1 + 0.04 * random_.uniform()));
        auto slept = co_await async::sleep_for(std::chrono::duration_cast<Duration>(interval));
        if (!slept) {
            co_return;
        }
    }
}

async::Task<Result<kube::Node>> NodeAgent::known_node(Present present) {
    auto seen = node();
    if (present == Present::watched && seen != nullptr) {
        co_return kube::Node(*seen);
    }
    co_return co_await client_.get<kube::Node>("", settings_.name);
}

void NodeAgent::emit_flips(const kube::NodeStatus& before, const kube::NodeStatus& after) {
    for (const FlipName& flip : kFlips) {
        std::string now = status_of(after, flip.condition);
        if (now == status_of(before, flip.condition)) {
            continue;
        }
        std::string_view name = now == "True" ? flip.when_true : flip.when_false;
        events_.emit_node(node_uid_, pods::EventType::normal, name,
                          fmt::format("Node {} status is now: {}", settings_.name, name));
    }
}

// `kubectl cordon` and `uncordon`, told as the kubelet tells them: also when the agent starts on a
// node that is cordoned.
void NodeAgent::on_own_node(const kube::Change<kube::Node>& change) {
    if (change.kind != kube::ChangeKind::removed && sources_.changed) {
        sources_.changed(*change.object);
    }
    bool unschedulable = change.object->spec.unschedulable;
    if (change.kind == kube::ChangeKind::removed || unschedulable == told_unschedulable_) {
        return;
    }
    told_unschedulable_ = unschedulable;
    std::string_view name = unschedulable ? "NodeNotSchedulable" : "NodeSchedulable";
    events_.emit_node(node_uid_, pods::EventType::normal, name,
                      fmt::format("Node {} status is now: {}", settings_.name, name));
}

async::Task<Result<void>> NodeAgent::report_status(Present present) {
    SKIFF_CO_TRY(auto known, co_await known_node(present));
    SKIFF_CO_TRY(auto wanted, wanted_status(known.status));
    bool due = !last_report_ || clock_.steady_now() - *last_report_ >= report_after_;
    if (!due && !differs_beyond_heartbeat(known.status, wanted)) {
        co_return Result<void>();
    }
    auto patch = kube::node_status_patch(known, wanted);
    if (patch) {
        auto patched =
            co_await client_.patch<kube::Node>("", settings_.name, "status", *patch,
                                               kube::kStrategicMergePatch, kube::Throttle::exempt);
        if (!patched) {
            co_return fail(std::move(patched.error()));
        }
        emit_flips(known.status, wanted);
    }
    last_report_ = clock_.steady_now();
    // Spread over a nodeful cluster: the first report comes after half to one and a half periods.
    double spread = reported_ready_ ? 1.0 : 0.5 + random_.uniform();
    report_after_ =
        std::chrono::duration_cast<Duration>(settings_.status_report_frequency * spread);
    reported_ready_ = status_of(wanted, "Ready") == "True";
    co_return Result<void>();
}

async::Task<void> NodeAgent::keep_status() {
    int unready = 0;
    while (true) {
        for (int attempt = 0; attempt < kStatusTries; ++attempt) {
            Present present = attempt == 0 ? Present::watched : Present::server;
            auto reported = co_await report_status(present);
            if (reported) {
                break;
            }
            if (reported.error().code == Code::cancelled) {
                co_return;
            }
            log::warn("node status not reported", log::kv("error", format_as(reported.error())));
            auto paused = co_await async::sleep_for(kUntilReady);
            if (!paused) {
                co_return;
            }
        }
        Duration wait = settings_.status_update_frequency;
        if (reported_ready_) {
            unready = 0;
        } else {
            wait = pause_until_ready(unready++, settings_.status_update_frequency);
        }
        poke_.reset();
        auto poked = co_await poke_.wait(after(clock_, wait));
        if (!poked && poked.error().code == Code::cancelled) {
            co_return;
        }
    }
}

}  // namespace skiff::node
