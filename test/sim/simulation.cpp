#include "simulation.h"

#include "async/scope.h"
#include "checker.h"
#include "scenario.h"

namespace skiff::sim {
namespace {

using namespace std::chrono_literals;

constexpr int kStepsMax = 60;
// Longer than any back-off, pull, deadline and grace period that began before.
constexpr Duration kCalm = 30min;
constexpr Duration kLastGrace = 10min;

class Simulation {
public:
    Simulation(std::uint64_t seed, Journal::Trace trace)
        : world_(seed, trace),
          events_(world_),
          images_(world_),
          volumes_(world_),
          network_(world_),
          guests_(world_),
          api_(world_),
          prober_(world_),
          commands_(world_),
          checker_(world_, guests_, api_, prober_, commands_),
          users_(world_, api_),
          ports_{events_, objects_, images_,   volumes_, network_,
                 guests_, api_,     commands_, prober_} {}

    Outcome run();

private:
    void step();
    void calm_down();
    void let_pass(Duration time);
    void settle();
    void start_agent();
    void kill_agent();
    [[nodiscard]] bool fine() const { return !world_.journal.first_broken(); }

    World world_;
    Events events_;
    Objects objects_;
    Images images_;
    Volumes volumes_;
    Network network_;
    Guests guests_;
    Api api_;
    Prober prober_;
    Commands commands_;
    Checker checker_;
    Users users_;
    pods::Ports ports_;
    // Of the agent that runs; both null while it is down.
    std::unique_ptr<async::Reactor> reactor_;
    std::unique_ptr<SeededRandom> random_;
    std::unique_ptr<pods::Pods> agent_;
};

void Simulation::start_agent() {
    world_.journal.note("agent starts");
    pods::PodsSettings settings;
    settings.node.node_name = "node-1";
    settings.node.host_ips = {"192.168.1.5"};
    settings.node.allocatable["cpu"] = kube::Quantity::of_units(2);
    settings.node.allocatable["memory"] = kube::Quantity::of_bytes(1 << 30);
    reactor_ = std::make_unique<async::Reactor>();
    random_ = std::make_unique<SeededRandom>(
        static_cast<std::uint64_t>(world_.dice.number(0, 1'000'000)));
    agent_ = std::make_unique<pods::Pods>(reactor_->executor(), world_.clock, *random_, ports_,
                                          std::move(settings));
    api_.connect(agent_.get());
}

// What the agent was waiting for never comes back to it; the world goes on.
void Simulation::kill_agent() {
    world_.journal.note("agent killed");
    api_.connect(nullptr);
    prober_.agent_gone();
    async::run_to_end(*reactor_, agent_->stop());
    agent_.reset();
    reactor_.reset();
    random_.reset();
    VirtualTime::forget_timer();
}

// Lets the agent do all that it can do without time passing. A chain of tasks that wake one another
// is far shorter than this.
void Simulation::settle() {
    if (!reactor_) {
        return;
    }
    auto turns = []() -> async::Task<void> {
        for (int i = 0; i < 24; ++i) {
            co_await async::yield_now();
        }
    };
    async::run_to_end(*reactor_, turns());
}

void Simulation::let_pass(Duration time) {
    SteadyTime end =
        world_.clock.steady_now() + std::chrono::duration_cast<SteadyTime::duration>(time);
    while (fine()) {
        settle();
        SteadyTime next = end;
        if (auto happening = world_.timeline.next()) {
            next = std::min(next, *happening);
        }
        if (auto timer = VirtualTime::next_timer(); timer && reactor_) {
            next = std::min(next, *timer);
        }
        world_.clock.move_to(next);
        world_.timeline.run_until(next);
        if (next >= end) {
            settle();
            return;
        }
    }
}

void Simulation::step() {
    Dice& dice = world_.dice;
    double what = dice.number(0, 99);
    if (what < 45) {
        users_.act();
    } else if (what < 75) {
        guests_.end_some();
    } else if (what < 85) {
        api_.set_line(api_.line() == Api::Line::up ? Api::Line::down : Api::Line::up);
    } else if (agent_) {
        kill_agent();
        if (what >= 97) {
            guests_.reboot();
        }
        if (dice.chance(0.7)) {
            start_agent();
        }
    } else {
        start_agent();
    }
    let_pass(dice.duration(1ms, 5min));
}

void Simulation::calm_down() {
    world_.journal.note("calm");
    world_.mood = World::Mood::calm;
    if (!agent_) {
        start_agent();
    }
    if (api_.line() == Api::Line::down) {
        api_.set_line(Api::Line::up);
    }
    let_pass(kCalm);
    checker_.check_settled();
    users_.delete_all();
    let_pass(kLastGrace);
    checker_.check_empty(volumes_, network_);
}

Outcome Simulation::run() {
    start_agent();
    int steps = world_.dice.number(5, kStepsMax);
    for (int i = 0; i < steps && fine(); ++i) {
        step();
    }
    if (fine()) {
        calm_down();
    }
    if (agent_) {
        kill_agent();
    }
    return Outcome{world_.journal.first_broken(), checker_.pod_hours(), world_.journal.notes()};
}

}  // namespace

Outcome simulate(std::uint64_t seed, Journal::Trace trace) {
    return Simulation(seed, trace).run();
}

}  // namespace skiff::sim
