// What probes say on a simulated node. It lives with the agent, as the real one does; what it said
// of a run is remembered for the checker.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "pods/probe_ports.h"
#include "world.h"

namespace skiff::sim {

class Prober final : public pods::Probes {
public:
    explicit Prober(World& world) : world_(world) {}

    // The agent is gone, and all that was probed with it.
    void agent_gone();

    // What was ever said of a run.
    [[nodiscard]] bool passed_startup(const ContainerId& run) const {
        return started_.contains(run);
    }
    [[nodiscard]] bool was_ready(const ContainerId& run) const { return ready_.contains(run); }
    // That it must not go on.
    [[nodiscard]] bool condemned(const ContainerId& run) const { return condemned_.contains(run); }
    // What is said of it now; nullopt when it is not probed.
    struct Says {
        pods::ProbeResult startup = pods::ProbeResult::success;
        pods::ProbeResult readiness = pods::ProbeResult::success;
        pods::ProbeResult liveness = pods::ProbeResult::success;
        [[nodiscard]] bool allows_ready() const {
            return startup == pods::ProbeResult::success && readiness == pods::ProbeResult::success;
        }
        [[nodiscard]] bool condemns() const {
            return startup == pods::ProbeResult::failure || liveness == pods::ProbeResult::failure;
        }
    };
    [[nodiscard]] std::optional<Says> of(const ContainerId& run) const;

    void apply(pods::ProbeOrder order) override;
    [[nodiscard]] pods::ProbeResults results(const PodUid& pod) const override;
    void set_observer(std::function<void(const PodUid&)> observer) override {
        observer_ = std::move(observer);
    }
    void forget(const PodUid& pod) override;
    pods::Task<Result<HookAnswer>> call_hook(pods::HookRequest) override {
        co_return fail(Code::unavailable, "hooks are commands here");
    }

private:
    struct Probed {
        ContainerId run;
        PodUid pod;
        kube::Container container;
        pods::ProbeOrder::Scope scope = pods::ProbeOrder::Scope::all;
        Says says;
        enum class Fate { probed, given_up } fate = Fate::probed;
    };
    using Held = std::shared_ptr<Probed>;
    void begin(const pods::ProbeOrder& order, const pods::ProbeTarget& target);
    void ask_later(const Held& probed);
    void ask(const Held& probed);
    void ask_startup(Probed& probed);
    void ask_others(Probed& probed);
    void remember(const Probed& probed);

    World& world_;
    std::function<void(const PodUid&)> observer_;
    std::map<ContainerId, Held> probed_;
    std::set<ContainerId> started_;
    std::set<ContainerId> ready_;
    std::set<ContainerId> condemned_;
};

}  // namespace skiff::sim
