#include "network/egress.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "network/namespaces.h"
#include "network/nftables.h"
#include "network/rtnetlink.h"

namespace skiff::network {

using async::Task;

namespace {

constexpr std::string_view kReason = "FailedCreatePodSandBox";
// No uid has a slash.
constexpr std::string_view kNodeLane = "/node";
constexpr auto kNodePause = std::chrono::seconds(30);
// A pod's start waits for its names at most so long: as long as a resolver waits for one server.
constexpr auto kFirstPatience = std::chrono::seconds(5);
constexpr auto kRoundMax = std::chrono::seconds(20);
constexpr std::size_t kRoundsAtOnce = 4;
constexpr std::size_t kNamesShown = 5;

Result<std::vector<IpAddress>> observe_node_addresses() {
    SKIFF_TRY(Netlink netlink, Netlink::open());
    std::set<IpAddress> all;
    for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
        SKIFF_TRY(auto addresses, list_addresses(netlink, family));
        for (const LinkAddress& its : addresses) {
            all.insert(its.address);
        }
    }
    // Its loopback addresses are a pod's own, and the node's network drops what pods send there.
    return std::vector<IpAddress>(all.begin(), all.end());
}

Result<void> run_in(const std::filesystem::path& name_space, const std::string& script) {
    SKIFF_TRY(os::Fd opened, open_pinned(name_space));
    return in_namespace(opened, [&] { return run_nft(script); });
}

}  // namespace

Result<std::string> close_ahead(const std::filesystem::path& name_space,
                                const std::vector<std::uint16_t>& node_ports) {
    EgressPolicy policy;
    policy.node_ports = node_ports;
    SKIFF_TRY(policy.node_addresses, observe_node_addresses());
    std::string script = format_egress_table(policy, {}, EarlierAnswers::kept);
    SKIFF_CHECK(run_in(name_space, script));
    return script;
}

struct EgressControl::Watched {
    kube::Pod named;  // the pod as events name it; the rest is long
    Place place;
    Egress allowed;
    AnswerBook answers;
    std::map<std::string, std::string> unresolved;  // by name: why
    NameAddresses addresses;                        // in force
    std::vector<IpAddress> node_addresses;          // in force
    // Until then the addresses that an agent before this one put in stay.
    SteadyTime earlier_until{};
    bool is_in_force = false;
    bool is_gone = false;
    bool is_kept_fresh = false;
    async::Event wake;
    std::map<std::string, std::string, std::less<>> told;  // by reason
};

EgressControl::EgressControl(Parts parts, EgressSettings settings)
    : parts_(parts),
      settings_(std::move(settings)),
      lanes_(parts.executor, parts.pool),
      background_(parts.executor),
      rounds_(kRoundsAtOnce) {}

void EgressControl::tell(Watched& pod, std::string_view reason, std::string message) {
    std::string& told = pod.told[std::string(reason)];
    if (told != message) {
        told = message;
        if (!message.empty()) {
            parts_.events.emit(pod.named, "", pods::EventType::warning, reason, message);
        }
    }
}

Task<Result<void>> EgressControl::put_into_force(WatchedPtr pod) {
    struct Outcome {
        std::vector<IpAddress> node_addresses;
    };
    auto outcome = std::make_shared<Outcome>();
    EgressPolicy policy;
    policy.allowed = pod->allowed;
    policy.name_servers = resolving_of(pod->place.dns).servers;
    policy.node_ports = settings_.node_ports;
    const NameAddresses addresses = pod->answers.addresses();
    const auto earlier = std::chrono::steady_clock::now() < pod->earlier_until
                             ? EarlierAnswers::kept
                             : EarlierAnswers::removed;
    // What came with the namespace is there until the first change.
    const std::string there = std::exchange(pod->place.table, {});
    auto work = [policy, addresses, earlier, outcome, there,
                 path = pod->place.name_space]() mutable -> Result<void> {
        SKIFF_TRY(policy.node_addresses, observe_node_addresses());
        outcome->node_addresses = policy.node_addresses;
        const std::string script = format_egress_table(policy, addresses, earlier);
        return script == there ? Result<void>{} : run_in(path, script);
    };
    std::string lane = pod->named.metadata.uid;
    auto done = co_await lanes_.run(std::move(lane), std::move(work));
    if (done) {
        pod->addresses = addresses;
        pod->node_addresses = std::move(outcome->node_addresses);
        pod->is_in_force = true;
    }
    co_return done;
}

// What is due; stops at its deadline, and what was not reached then comes first the next time.
Task<Result<void>> EgressControl::look_up(WatchedPtr pod) {
    LookupRound::Pod where{pod->place.name_space, resolving_of(pod->place.dns), pod->place.hosts};
    std::erase_if(where.resolving.servers, [&](const IpAddress& server) {
        return std::ranges::find(pod->place.addresses, format_as(server)) !=
               pod->place.addresses.end();
    });
    auto opened = co_await LookupRound::open(std::move(where), parts_.pool, parts_.random);
    const auto due = pod->answers.due(std::chrono::steady_clock::now());
    for (const std::string& name : due) {
        Result<FoundName> found;
        if (opened) {
            found = co_await (*opened)->find(name);
        } else {
            found = fail(opened.error());
        }
        const SteadyTime now = std::chrono::steady_clock::now();
        if (found) {
            pod->answers.answered(name, found->addresses, found->ttl, now);
        } else {
            pod->answers.failed(name, now);
        }
        if (found && !found->addresses.empty()) {
            pod->unresolved.erase(name);
        } else if (found || found.error().code != Code::cancelled) {
            pod->unresolved[name] = found ? "there is no such name" : found.error().message;
        }
    }
    co_return Result<void>{};
}

Task<Result<void>> EgressControl::look_up_first(WatchedPtr pod) {
    auto round = look_up(pod);
    auto done =
        co_await async::with_deadline(std::move(round), after(kFirstPatience), "looking up names");
    const NameAddresses known = pod->answers.addresses();
    std::vector<std::string> lines;
    for (const std::string& name : names_of(pod->allowed)) {
        if (known.contains(name) || lines.size() >= kNamesShown) {
            continue;
        }
        auto why = pod->unresolved.find(name);
        lines.push_back(fmt::format("{} ({})", name,
                                    why == pod->unresolved.end() ? "no answer yet" : why->second));
    }
    if (!lines.empty()) {
        tell(*pod, "EgressNameUnresolved",
             fmt::format("the pod may reach these names but they have no address yet, so nothing "
                         "of them is open: {}; they are asked for again",
                         fmt::join(lines, ", ")));
    }
    const bool cancelled = !done && done.error().code == Code::cancelled;
    co_return cancelled ? std::move(done) : Result<void>{};
}

Task<Result<void>> EgressControl::apply(const kube::Pod& pod, Place place) {
    const PodUid uid(pod.metadata.uid);
    auto& known = pods_[uid];
    const bool is_new = !known;
    if (is_new) {
        known = std::make_shared<Watched>();
        // For an agent that comes after another; a new pod's table has nothing from before.
        known->earlier_until = std::chrono::steady_clock::now() + kAnswerKept;
    }
    known->place = std::move(place);
    known->is_in_force = false;
    co_return co_await update(pod);
}

Task<Result<void>> EgressControl::update(const kube::Pod& pod) {
    const std::string uid = pod.metadata.uid;
    auto known = pods_.find(PodUid(uid));
    if (known == pods_.end()) {
        co_return Result<void>{};
    }
    WatchedPtr watched = known->second;
    kube::ObjectMeta& named = watched->named.metadata;
    named.name = pod.metadata.name;
    named.namespace_ = pod.metadata.namespace_;
    named.uid = uid;
    named.resourceVersion = pod.metadata.resourceVersion;
    auto asked = settings_.allowed_of(pod);
    if (!asked) {
        co_return fail(std::move(asked.error()).with_reason(std::string(kReason)));
    }
    Egress allowed = std::move(*asked);
    if (watched->is_in_force && allowed == watched->allowed) {
        co_return Result<void>{};
    }
    const bool has_policy = allowed.reach != Reach::everything;
    watched->is_in_force = false;
    watched->allowed = std::move(allowed);
    watched->answers.set_names(names_of(watched->allowed));
    if (!watched->answers.empty()) {
        SKIFF_CO_CHECK(co_await look_up_first(watched));
    }
    auto done = co_await put_into_force(watched);
    if (!done && (has_policy || done.error().code != Code::unsupported)) {
        co_return fail(
            std::move(done.error()).context("egress policy").with_reason(std::string(kReason)));
    }
    if (!done) {
        log::warn("metadata addresses and the agent's port are open to a pod",
                  log::kv("pod", named.name), log::kv("error", format_as(done.error())));
        watched->is_in_force = true;  // as far as this kernel can
    }
    if (auto wide = unenforced_entries(watched->allowed); !wide.empty()) {
        wide.resize(std::min(wide.size(), kNamesShown));
        tell(*watched, "EgressNotNarrowed",
             fmt::format("nobody can list the addresses below a domain: for {} the kernel leaves "
                         "the port open to every address, and only the engine checks the name",
                         fmt::join(wide, ", ")));
    }
    if (!watched->answers.empty() && !watched->is_kept_fresh) {
        watched->is_kept_fresh = true;
        background_.spawn("names of " + uid, keep_fresh(watched));
    }
    if (!watching_) {
        watching_ = true;
        background_.spawn("addresses of the node", watch_node());
    }
    watched->wake.set();
    co_return Result<void>{};
}

Task<void> EgressControl::keep_fresh(WatchedPtr pod) {
    bool had_earlier = std::chrono::steady_clock::now() < pod->earlier_until;
    while (!pod->is_gone) {
        SteadyTime next = pod->answers.next_due();
        if (had_earlier) {
            next = std::min(next, pod->earlier_until);
        }
        auto woken = co_await pod->wake.wait(next);
        pod->wake.reset();
        if (pod->is_gone || (!woken && woken.error().code == Code::cancelled)) {
            break;
        }
        {
            auto permit = co_await rounds_.acquire();
            auto round = look_up(pod);
            auto done = co_await async::with_deadline(std::move(round), after(kRoundMax),
                                                      "looking up names");
            if (!done && done.error().code == Code::cancelled) {
                break;
            }
        }
        const bool ends_earlier =
            had_earlier && std::chrono::steady_clock::now() >= pod->earlier_until;
        had_earlier = had_earlier && !ends_earlier;
        if (pod->is_gone || (pod->answers.addresses() == pod->addresses && !ends_earlier)) {
            continue;
        }
        auto done = co_await put_into_force(pod);
        if (!done && done.error().code != Code::cancelled && !pod->is_gone) {
            log::warn("a pod's names keep their old addresses",
                      log::kv("pod", pod->named.metadata.name),
                      log::kv("error", format_as(done.error())));
        }
    }
    pod->is_kept_fresh = false;
}

Task<void> EgressControl::watch_node() {
    while (true) {
        auto slept = co_await async::sleep_for(kNodePause);
        if (!slept) {
            co_return;
        }
        auto addresses = std::make_shared<std::vector<IpAddress>>();
        auto work = [addresses]() -> Result<void> {
            SKIFF_TRY(*addresses, observe_node_addresses());
            return {};
        };
        auto seen = co_await lanes_.run(std::string(kNodeLane), std::move(work));
        if (!seen) {
            continue;
        }
        std::vector<WatchedPtr> stale;
        for (const auto& [uid, pod] : pods_) {
            if (pod->is_in_force && pod->node_addresses != *addresses) {
                stale.push_back(pod);
            }
        }
        for (const WatchedPtr& pod : stale) {
            if (pod->is_gone) {
                continue;
            }
            auto done = co_await put_into_force(pod);
            if (!done && done.error().code != Code::unsupported && !pod->is_gone) {
                log::warn("a new address of the node is open to a pod",
                          log::kv("pod", pod->named.metadata.name),
                          log::kv("error", format_as(done.error())));
            }
        }
    }
}

Task<Result<void>> EgressControl::forget(PodUid pod) {
    auto known = pods_.find(pod);
    if (known == pods_.end()) {
        co_return Result<void>{};
    }
    WatchedPtr watched = known->second;
    pods_.erase(known);
    watched->is_gone = true;
    watched->wake.set();
    // After what was begun.
    auto nothing = [] { return Result<void>{}; };
    co_return co_await lanes_.run(pod.str(), std::move(nothing));
}

Task<Result<void>> EgressControl::stop() {
    co_await background_.stop();
    co_return co_await lanes_.stop();
}

}  // namespace skiff::network
