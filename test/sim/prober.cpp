#include "prober.h"

namespace skiff::sim {

using namespace std::chrono_literals;
using pods::ProbeResult;

void Prober::agent_gone() {
    for (auto& [run, probed] : probed_) {
        probed->fate = Probed::Fate::given_up;
    }
    probed_.clear();
    observer_ = {};
}

std::optional<Prober::Says> Prober::of(const ContainerId& run) const {
    auto found = probed_.find(run);
    return found == probed_.end() ? std::nullopt : std::optional(found->second->says);
}

void Prober::remember(const Probed& probed) {
    if (probed.says.startup == ProbeResult::success) {
        started_.insert(probed.run);
        if (probed.says.readiness == ProbeResult::success) {
            ready_.insert(probed.run);
        }
    }
    if (probed.says.condemns()) {
        condemned_.insert(probed.run);
    }
}

void Prober::apply(pods::ProbeOrder order) {
    PodUid pod(order.pod->metadata.uid);
    std::set<ContainerId> wanted;
    for (const pods::ProbeTarget& target : order.targets) {
        wanted.insert(target.id);
        auto found = probed_.find(target.id);
        if (found == probed_.end()) {
            begin(order, target);
        } else {
            found->second->scope = order.scope;
        }
    }
    std::erase_if(probed_, [&](const auto& entry) {
        Probed& probed = *entry.second;
        bool goes = probed.pod == pod && !wanted.contains(probed.run);
        probed.fate = goes ? Probed::Fate::given_up : probed.fate;
        return goes;
    });
}

void Prober::forget(const PodUid& pod) {
    pods::ProbeOrder nothing;
    auto object = std::make_shared<kube::Pod>();
    object->metadata.uid = pod.str();
    nothing.pod = std::move(object);
    apply(std::move(nothing));
}

void Prober::begin(const pods::ProbeOrder& order, const pods::ProbeTarget& target) {
    using Known = pods::ProbeTarget::Known;
    auto probed = std::make_shared<Probed>();
    probed->run = target.id;
    probed->pod = PodUid(order.pod->metadata.uid);
    probed->container = target.container;
    probed->scope = order.scope;
    if (target.container.startupProbe) {
        bool known = target.known != Known::nothing;
        if (known && !started_.contains(target.id)) {
            world_.journal.broken("{} counts as started, which no probe said",
                                  target.container.name);
        }
        probed->says.startup = known ? ProbeResult::success : ProbeResult::unknown;
    }
    if (target.container.readinessProbe) {
        bool known = target.known == Known::ready;
        if (known && !ready_.contains(target.id)) {
            world_.journal.broken("{} counts as ready, which no probe said", target.container.name);
        }
        probed->says.readiness = known ? ProbeResult::success : ProbeResult::failure;
    }
    probed_[target.id] = probed;
    ask_later(probed);
}

void Prober::ask_later(const Held& probed) {
    bool calm = world_.mood == World::Mood::calm;
    if (calm && probed->says.allows_ready()) {
        return;  // and stays so
    }
    Duration pause = calm ? Duration(10s) : world_.dice.duration(100ms, 5min);
    world_.later(pause, [this, probed] { ask(probed); });
}

void Prober::ask(const Held& probed) {
    // What has failed is asked no more: it ends.
    if (probed->fate == Probed::Fate::given_up || probed->says.condemns()) {
        return;
    }
    if (probed->says.startup != ProbeResult::success) {
        if (probed->scope == pods::ProbeOrder::Scope::all) {
            ask_startup(*probed);
        }
    } else {
        ask_others(*probed);
    }
    remember(*probed);
    if (observer_) {
        observer_(probed->pod);
    }
    ask_later(probed);
}

void Prober::ask_startup(Probed& probed) {
    bool calm = world_.mood == World::Mood::calm;
    if (calm || world_.dice.chance(0.6)) {
        probed.says.startup = ProbeResult::success;
    } else if (world_.dice.chance(0.4)) {
        probed.says.startup = ProbeResult::failure;
    }
    world_.journal.note("startup of {} {}", probed.container.name,
                        static_cast<int>(probed.says.startup));
}

void Prober::ask_others(Probed& probed) {
    bool well = world_.mood == World::Mood::calm || world_.dice.chance(0.7);
    if (probed.container.readinessProbe) {
        probed.says.readiness = well ? ProbeResult::success : ProbeResult::failure;
    }
    bool alive = probed.scope == pods::ProbeOrder::Scope::readiness || !world_.fails(0.15);
    if (probed.container.livenessProbe && !alive) {
        probed.says.liveness = ProbeResult::failure;
    }
    world_.journal.note("probes of {}: {} {}", probed.container.name,
                        static_cast<int>(probed.says.readiness),
                        static_cast<int>(probed.says.liveness));
}

pods::ProbeResults Prober::results(const PodUid& pod) const {
    pods::ProbeResults results;
    for (const auto& [run, probed] : probed_) {
        if (probed->pod != pod) {
            continue;
        }
        const kube::Container& container = probed->container;
        if (container.startupProbe) {
            results.startup[container.name] = probed->says.startup;
        }
        if (container.readinessProbe) {
            results.readiness[container.name] = probed->says.readiness;
        }
        if (container.livenessProbe) {
            results.liveness[container.name] = probed->says.liveness;
        }
    }
    return results;
}

}  // namespace skiff::sim
