// Commands and probes with behaviour, for tests: what they say is what the test says.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "async/event.h"
#include "pods/probe_ports.h"

namespace skiff::pods::fakes {

// Commands that probes and hooks run. They end with 0 at once unless the test says otherwise.
class CommandRuns final : public Commands {
public:
    CommandRuns() { gate.set(); }
    Task<Result<CommandEnd>> run(CommandRun run) override {
        runs.push_back(run);
        SKIFF_CO_CHECK(co_await gate.wait());
        if (failure) {
            co_return fail(Error(*failure));
        }
        co_return end;
    }

    async::Event gate;  // closed: they go on
    CommandEnd end;
    std::optional<Error> failure;
    std::vector<CommandRun> runs;
};

class ProbeBoard final : public Probes {
public:
    void apply(ProbeOrder order) override {
        std::set<ContainerId> ids;
        for (const ProbeTarget& target : order.targets) {
            ids.insert(target.id);
            if (!known_.contains(target.id)) {
                begin(order, target);
            }
        }
        std::erase_if(known_, [&](const auto& entry) {
            return entry.second == order.pod->metadata.uid && !ids.contains(entry.first);
        });
        for (const ContainerId& id : ids) {
            known_[id] = order.pod->metadata.uid;
        }
        ++applied;
        orders[PodUid(order.pod->metadata.uid)] = std::move(order);
    }
    [[nodiscard]] ProbeResults results(const PodUid& pod) const override {
        auto found = results_.find(pod);
        return found == results_.end() ? ProbeResults{} : found->second;
    }
    void set_observer(std::function<void(const PodUid&)> observer) override {
        observer_ = std::move(observer);
    }
    void forget(const PodUid& pod) override {
        results_.erase(pod);
        std::erase_if(known_, [&](const auto& entry) { return entry.second == pod.str(); });
        forgotten.push_back(pod);
    }
    Task<Result<HookAnswer>> call_hook(HookRequest request) override {
        hooks.push_back(std::move(request));
        if (hook_failure) {
            co_return fail(Error(*hook_failure));
        }
        co_return HookAnswer::given;
    }

    // The probe says so from now on.
    void say(const PodUid& pod, ProbeKind kind, const std::string& container, ProbeResult result) {
        of(pod, kind)[container] = result;
        if (observer_) {
            observer_(pod);
        }
    }

    std::map<PodUid, ProbeOrder> orders;
    int applied = 0;
    std::vector<PodUid> forgotten;
    std::vector<HookRequest> hooks;
    std::optional<Error> hook_failure;

private:
    std::map<std::string, ProbeResult>& of(const PodUid& pod, ProbeKind kind) {
        ProbeResults& results = results_[pod];
        return kind == ProbeKind::startup     ? results.startup
               : kind == ProbeKind::readiness ? results.readiness
                                              : results.liveness;
    }
    // What contract §4.4 says of a run that was never asked.
    void begin(const ProbeOrder& order, const ProbeTarget& target) {
        PodUid pod(order.pod->metadata.uid);
        const std::string& name = target.container.name;
        using Known = ProbeTarget::Known;
        if (target.container.startupProbe) {
            of(pod, ProbeKind::startup)[name] =
                target.known == Known::nothing ? ProbeResult::unknown : ProbeResult::success;
        }
        if (target.container.readinessProbe) {
            of(pod, ProbeKind::readiness)[name] =
                target.known == Known::ready ? ProbeResult::success : ProbeResult::failure;
        }
        if (target.container.livenessProbe) {
            of(pod, ProbeKind::liveness)[name] = ProbeResult::success;
        }
    }

    std::map<PodUid, ProbeResults> results_;
    std::map<ContainerId, std::string> known_;
    std::function<void(const PodUid&)> observer_;
};

}  // namespace skiff::pods::fakes
