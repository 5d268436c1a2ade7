// The prober: asks every running container what its probes say, and keeps what the answers come to.
//
// One task for each probe of each run, asleep between two askings. A run that leaves its pod's
// order is forgotten at once; what is being asked of it is cut off. Reactor thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "async/event.h"
#include "async/scope.h"
#include "base/random.h"
#include "base/time.h"
#include "pods/ports.h"
#include "pods/probe_ports.h"
#include "probes/check.h"
#include "probes/probe.h"
#include "probes/rules.h"

namespace skiff::probes {

class Prober final : public pods::Probes {
public:
    // Commands are second processes in containers, so few at a time; connections are cheap. What
    // has to wait for its turn is not timed yet.
    static constexpr std::size_t kCommandsAtOnceMax = 32;
    static constexpr std::size_t kConnectionsAtOnceMax = 512;
    // How often a container is asked again within one probe while it cannot be asked at all.
    static constexpr int kAttempts = 3;

    struct Parts {
        async::Executor executor;
        const Clock& clock;
        Random& random;
        pods::EventSink& events;
        pods::Commands& commands;
    };
    // `version`: of the kubelet that this node stands for, "1.37". All parts outlive the prober.
    Prober(const Parts& parts, std::string_view version);
    ~Prober() override;
    Prober(const Prober&) = delete;
    Prober& operator=(const Prober&) = delete;

    void apply(pods::ProbeOrder order) override;
    [[nodiscard]] pods::ProbeResults results(const PodUid& pod) const override;
    void set_observer(std::function<void(const PodUid&)> observer) override;
    void forget(const PodUid& pod) override;
    [[nodiscard]] async::Task<Result<HookAnswer>> call_hook(pods::HookRequest request) override;

    [[nodiscard]] std::vector<ProbeSample> samples() const;
    [[nodiscard]] Delays& delays() { return delays_; }

    // Ends every task. Before destruction; nothing may be called afterwards.
    [[nodiscard]] async::Task<void> stop();

private:
    struct Watch;
    struct Run;
    struct PodEntry;

    void begin(PodEntry& entry, const pods::ProbeOrder& order, pods::ProbeTarget target);
    void end(Run& run);
    static void silence(Watch& watch);
    void set_beat(const Run& run, Watch& watch) const;
    [[nodiscard]] static SteadyTime due_of(const Run& run, const Watch& watch);
    [[nodiscard]] async::Task<void> attend(std::shared_ptr<Run> run, Watch* watch);
    [[nodiscard]] async::Task<void> ask(std::shared_ptr<Run> run, Watch* watch);
    [[nodiscard]] async::Task<Result<Outcome>> ask_until_told(std::shared_ptr<Run> run,
                                                              Watch* watch);
    void settle(Run& run, Watch& watch, const Result<Outcome>& outcome, Duration took);
    void tell(const Run& run, const Watch& watch, const Result<Outcome>& outcome);

    const Clock& clock_;
    Random& random_;
    pods::EventSink& events_;
    WallTime began_;
    http::Client client_;
    Tools tools_;
    std::function<void(const PodUid&)> observer_;
    std::map<PodUid, std::unique_ptr<PodEntry>> pods_;
    Delays delays_;
    async::Semaphore command_turns_{kCommandsAtOnceMax};
    async::Semaphore connection_turns_{kConnectionsAtOnceMax};
    async::Scope scope_;
};

}  // namespace skiff::probes
