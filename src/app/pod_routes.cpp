#include "app/pod_routes.h"

#include <algorithm>

#include "base/log.h"
#include "kube/patch.h"

namespace skiff::app {

namespace {

// What somebody else took away is put back after this long at the latest.
constexpr Duration kRepairEvery = std::chrono::minutes(1);
// The same after a failure, and while the Nodes are not known.
constexpr Duration kRetryEvery = std::chrono::seconds(5);
// Changes of many Nodes come together.
constexpr Duration kGather = std::chrono::milliseconds(100);

std::size_t fingerprint_of(const kube::NodeOutline& node) {
    std::string text = node.status.nodeInfo.containerRuntimeVersion;
    for (const auto& [key, value] : node.metadata.annotations) {
        text += fmt::format("\n{}={}", key, value);
    }
    for (const kube::NodeAddress& its : node.status.addresses) {
        text += fmt::format("\n{}", its.address);
    }
    text += fmt::format("\n{} {}", node.spec.podCIDR, fmt::join(node.spec.podCIDRs, " "));
    return std::hash<std::string>()(text);
}

std::vector<network::IpAddress> addresses_of(const std::vector<std::string>& texts) {
    std::vector<network::IpAddress> addresses;
    for (const std::string& text : texts) {
        auto address = network::IpAddress::parse(text);
        const bool is_second =
            address && std::ranges::find(addresses, address->family, &network::IpAddress::family) !=
                           addresses.end();
        if (address && !is_second) {
            addresses.push_back(*address);
        }
    }
    return addresses;
}

std::string merge_patch(const std::map<std::string, std::string>& annotations) {
    std::string members;
    for (const auto& [key, value] : annotations) {
        members += fmt::format("{}{}:{}", members.empty() ? "" : ",", kube::quote_json(key),
                               kube::quote_json(value));
    }
    return fmt::format(R"({{"metadata":{{"annotations":{{{}}}}}}})", members);
}

}  // namespace

// One look at all Nodes, for a thread of the pool.
struct PodRoutes::Work {
    network::PeerPlan plan;
    std::vector<network::PeerComplaint> left_out;
    network::PeerOutcome outcome;
    Result<std::uint32_t> mtu = 0U;
};

PodRoutes::PodRoutes(Parts parts, const config::Settings& settings, const state::Instance& instance,
                     const std::vector<std::string>& node_ips, Told told)
    : parts_(parts),
      settings_(settings),
      instance_(instance.id()),
      addresses_(addresses_of(node_ips)),
      told_(std::move(told)),
      nodes_(parts.client, parts.clock, parts.random, kube::Selection(),
             [this](const kube::Change<kube::NodeOutline>& change) { on_node(change); }),
      lanes_(parts.executor, parts.pool),
      scope_(parts.executor) {
    nodes_.set_transform(network::trim_outline);
}

void PodRoutes::start() {
    scope_.spawn("watch nodes", nodes_.run());
    scope_.spawn("nodes listed", wake_when_listed());
    scope_.spawn("pod routes", run());
}

void PodRoutes::on_node(const kube::Change<kube::NodeOutline>& change) {
    const std::string& name = change.object->metadata.name;
    if (change.kind == kube::ChangeKind::removed) {
        fingerprints_.erase(name);
        wake_.set();
        return;
    }
    const std::size_t fingerprint = fingerprint_of(*change.object);
    auto [known, is_new] = fingerprints_.try_emplace(name, fingerprint);
    // Every Node reports its status again and again.
    if (is_new || known->second != fingerprint) {
        known->second = fingerprint;
        wake_.set();
    }
}

void PodRoutes::see_own_node(const kube::Node& node) {
    if (own_annotations_ != node.metadata.annotations) {
        own_annotations_ = node.metadata.annotations;
        wake_.set();
    }
}

network::RouteBackend PodRoutes::backend(const network::NodeOutlines& nodes) const {
    auto chosen = network::parse_route_backend(settings_.pod_routes);
    return chosen ? *chosen : network::choose_backend(nodes, settings_.node_name);
}

network::LocalNode PodRoutes::self() const {
    network::LocalNode self;
    self.name = settings_.node_name;
    self.addresses = addresses_;
    self.ranges = parts_.network.ranges();
    self.mac = network::tunnel_mac(instance_, settings_.node_name);
    return self;
}

async::Task<void> PodRoutes::wake_when_listed() {
    auto listed = co_await nodes_.wait_synced(async::kNoDeadline);
    if (listed) {
        wake_.set();
    }
}

async::Task<void> PodRoutes::run() {
    while (true) {
        wake_.reset();
        co_await look();
        const bool is_well = nodes_.synced() && !problem_ && !unpublished_;
        const auto deadline = parts_.clock.steady_now() + (is_well ? kRepairEvery : kRetryEvery);
        auto woken = co_await wake_.wait(deadline);
        if (!woken && woken.error().code == Code::cancelled) {
            co_return;
        }
        auto gathered = co_await async::sleep_for(kGather);
        if (!gathered) {
            co_return;
        }
    }
}

async::Task<void> PodRoutes::look() {
    tell_if_forbidden();
    auto work = std::make_shared<Work>();
    work->plan.self = self();
    if (work->plan.self.ranges.empty()) {
        co_return;
    }
    network::NodeOutlines nodes;
    for (const auto& [name, node] : nodes_.store()) {
        nodes.push_back(node);
    }
    work->plan.backend = backend(nodes);
    if (nodes_.synced()) {
        auto peers = network::find_peers(nodes, work->plan.self, work->plan.backend);
        work->plan.peers = std::move(peers.ranges);
        work->left_out = std::move(peers.left_out);
    }
    co_await apply(std::move(work));
}

async::Task<void> PodRoutes::apply(std::shared_ptr<Work> work) {
    const bool is_listed = nodes_.synced();
    auto job = [work, is_listed, instance = instance_]() -> Result<void> {
        work->mtu = network::observe_pod_mtu(work->plan.self, work->plan.backend);
        if (is_listed) {
            work->outcome = network::apply_peer_routes(instance, work->plan);
        }
        return {};
    };
    auto done = co_await lanes_.run("routes", std::move(job));
    if (!done) {
        co_return;
    }
    if (work->mtu) {
        auto set = co_await parts_.network.set_mtu(*work->mtu);
        if (!set) {
            log::warn("pods keep the size of their packets",
                      log::kv("error", format_as(set.error())));
        }
    }
    if (!is_listed) {
        co_return;
    }
    const auto& self = work->plan.self;
    auto& outcome = work->outcome;
    std::ranges::move(outcome.left_out, std::back_inserter(work->left_out));
    tell_left_out(std::move(work->left_out));
    auto result =
        outcome.problem ? Result<void>(fail(std::move(*outcome.problem))) : Result<void>();
    auto direct = co_await parts_.network.set_direct(std::move(outcome.reached));
    if (result) {
        result = std::move(direct);
    }
    if (!result && result.error().code == Code::cancelled) {
        co_return;
    }
    if (result) {
        // The way out is there; that others do not know the way back yet is tried again soon.
        auto published = co_await publish(self, work->plan.backend);
        const bool is_known = std::exchange(unpublished_, !published);
        if (!published && !is_known && published.error().code != Code::cancelled) {
            log::warn("other nodes do not know the way to this one's pods",
                      log::kv("error", format_as(published.error())));
        }
    }
    set_problem(result ? std::nullopt : std::optional(result.error().message));
    const std::string backend(to_string(work->plan.backend));
    if (result && std::exchange(logged_backend_, backend) != backend) {
        log::info("pods of other nodes are reached", log::kv("routes", backend),
                  log::kv("ranges", work->plan.peers.size()));
    }
}

// Others' annotations stay: a merge patch names only ours.
async::Task<Result<void>> PodRoutes::publish(network::LocalNode self,
                                             network::RouteBackend backend) {
    if (!own_annotations_) {
        co_return Result<void>();
    }
    std::map<std::string, std::string> missing;
    for (auto& [key, value] : network::format_peer_annotations(self, backend)) {
        auto known = own_annotations_->find(key);
        if (known == own_annotations_->end() || known->second != value) {
            missing.emplace(key, value);
        }
    }
    if (missing.empty()) {
        co_return Result<void>();
    }
    auto patched = co_await parts_.client.patch<kube::Node>(
        "", settings_.node_name, "", merge_patch(missing), kube::kMergePatch);
    if (!patched) {
        co_return fail(std::move(patched.error()).context("tell other nodes of this one's pods"));
    }
    own_annotations_ = patched->metadata.annotations;
    co_return Result<void>();
}

void PodRoutes::tell_if_forbidden() {
    const auto& error = nodes_.last_error();
    if (!error || error->code != Code::denied || forbidden_ == Forbidden::told ||
        !own_annotations_) {
        return;
    }
    forbidden_ = Forbidden::told;
    const std::string message = fmt::format(
        "this node may not list Nodes, so it learns of no other node's pods ({}): apply "
        "deploy/cluster.yaml, which lets it, or set podRoutes: none where something else routes "
        "between nodes",
        error->message);
    log::warn("pods of other nodes are not reached", log::kv("error", message));
    told_.event("PodRoutesForbidden", message);
}

void PodRoutes::tell_left_out(std::vector<network::PeerComplaint> left_out) {
    std::set<network::PeerComplaint> now(left_out.begin(), left_out.end());
    for (const network::PeerComplaint& its : now) {
        if (!left_out_.contains(its)) {
            log::warn("pods of a node are not reached", log::kv("node", its.node),
                      log::kv("error", its.message));
        }
    }
    left_out_ = std::move(now);
}

void PodRoutes::set_problem(std::optional<std::string> problem) {
    if (problem == problem_) {
        return;
    }
    problem_ = std::move(problem);
    if (problem_) {
        log::warn("pods of other nodes are not reached", log::kv("error", *problem_));
        told_.event("PodRoutesFailed", *problem_);
    }
    told_.changed();
}

async::Task<void> PodRoutes::stop() {
    co_await scope_.stop();
    auto written = co_await lanes_.stop();
    if (!written) {
        log::debug("the routes to other nodes did not stop in order");
    }
}

}  // namespace skiff::app
