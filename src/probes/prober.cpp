#include "probes/prober.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace skiff::probes {

namespace {

using async::Task;

constexpr std::array kKinds = {ProbeKind::startup, ProbeKind::readiness, ProbeKind::liveness};
// Of an event's message; the API server takes 1024.
constexpr std::size_t kTextBytesMax = 900;

const std::optional<kube::Probe>& probe_of(const kube::Container& container, ProbeKind kind) {
    switch (kind) {
        case ProbeKind::startup:
            return container.startupProbe;
        case ProbeKind::readiness:
            return container.readinessProbe;
        case ProbeKind::liveness:
            break;
    }
    return container.livenessProbe;
}

std::size_t index(ProbeKind kind) {
    return static_cast<std::size_t>(kind);
}

}  // namespace

// One probe of one run.
struct Prober::Watch {
    ProbeKind kind = ProbeKind::liveness;
    const kube::Probe* probe = nullptr;  // in its run's target
    Rules rules;
    ProbeState state;
    SteadyTime due;
    SteadyTime step;  // what it is due in step with
    bool silenced = false;
    async::Event wake;    // look again at what is due
    async::Event enough;  // cuts off what is being asked
    std::shared_ptr<ProbeCount> count;
};

struct Prober::Run {
    std::shared_ptr<const kube::Pod> pod;
    pods::ProbeTarget target;
    std::string address;
    std::array<std::unique_ptr<Watch>, kKinds.size()> watches;

    [[nodiscard]] Watch* find(ProbeKind kind) const { return watches[index(kind)].get(); }
};

struct Prober::PodEntry {
    std::shared_ptr<const kube::Pod> pod;
    std::map<std::string, std::shared_ptr<Run>> runs;  // by container name
    std::map<std::pair<std::string, ProbeKind>, std::shared_ptr<ProbeCount>> counts;
};

Prober::Prober(const Parts& parts, std::string_view version)
    : clock_(parts.clock),
      random_(parts.random),
      events_(parts.events),
      began_(parts.clock.wall_now()),
      client_(parts.executor, fmt::format("kube-probe/{}", version)),
      tools_{client_, parts.commands, fmt::format("kube-probe/{}", version),
             fmt::format("kube-lifecycle/{}", version)},
      scope_(parts.executor) {}

Prober::~Prober() = default;

void Prober::set_observer(std::function<void(const PodUid&)> observer) {
    observer_ = std::move(observer);
}

Task<void> Prober::stop() {
    co_await scope_.stop();
}

Task<Result<pods::Probes::HookAnswer>> Prober::call_hook(pods::HookRequest request) {
    return probes::call_hook(tools_, std::move(request));
}

// ---- what is to be probed ----------------------------------------------------------------------

void Prober::apply(pods::ProbeOrder order) {
    PodUid uid(order.pod->metadata.uid);
    if (order.targets.empty() && !pods_.contains(uid)) {
        return;
    }
    auto& entry = pods_[uid];
    if (!entry) {
        entry = std::make_unique<PodEntry>();
    }
    entry->pod = order.pod;
    for (auto it = entry->runs.begin(); it != entry->runs.end();) {
        auto same = std::ranges::find(order.targets, it->second->target.id, &pods::ProbeTarget::id);
        if (same == order.targets.end()) {
            end(*it->second);
            it = entry->runs.erase(it);
        } else {
            ++it;
        }
    }
    for (pods::ProbeTarget& target : order.targets) {
        auto found = entry->runs.find(target.container.name);
        if (found == entry->runs.end()) {
            begin(*entry, order, std::move(target));
        } else {
            found->second->pod = order.pod;
            found->second->address = order.address;
        }
    }
    if (order.scope == pods::ProbeOrder::Scope::readiness) {
        for (const auto& [name, run] : entry->runs) {
            for (ProbeKind kind : {ProbeKind::startup, ProbeKind::liveness}) {
                if (Watch* watch = run->find(kind)) {
                    silence(*watch);
                }
            }
        }
    }
}

void Prober::begin(PodEntry& entry, const pods::ProbeOrder& order, pods::ProbeTarget target) {
    auto run = std::make_shared<Run>();
    run->pod = order.pod;
    run->address = order.address;
    run->target = std::move(target);
    const std::string& name = run->target.container.name;
    for (ProbeKind kind : kKinds) {
        const auto& probe = probe_of(run->target.container, kind);
        if (!probe) {
            continue;
        }
        auto watch = std::make_unique<Watch>();
        watch->kind = kind;
        watch->probe = &*probe;
        watch->rules = rules_of(*probe);
        watch->state = first_state(kind, run->target.known);
        set_beat(*run, *watch);
        auto& count = entry.counts[{name, kind}];
        if (!count) {
            count = std::make_shared<ProbeCount>();
        }
        watch->count = count;
        run->watches[index(kind)] = std::move(watch);
    }
    for (const auto& watch : run->watches) {
        if (watch) {
            scope_.spawn("probe", attend(run, watch.get()));
        }
    }
    entry.runs.emplace(name, std::move(run));
}

void Prober::silence(Watch& watch) {
    watch.silenced = true;
    watch.wake.set();
    watch.enough.set();
}

void Prober::end(Run& run) {
    for (const auto& watch : run.watches) {
        if (watch) {
            silence(*watch);
        }
    }
}

void Prober::forget(const PodUid& pod) {
    auto found = pods_.find(pod);
    if (found != pods_.end()) {
        for (const auto& [name, run] : found->second->runs) {
            end(*run);
        }
        pods_.erase(found);
    }
}

// ---- when --------------------------------------------------------------------------------------

void Prober::set_beat(const Run& run, Watch& watch) const {
    Beat beat = beat_of(watch.kind, watch.rules, random_.uniform());
    const SteadyTime now = clock_.steady_now();
    const Duration age = clock_.wall_now() - run.target.started;
    if (run.target.started < began_) {
        // An agent that finds many containers running does not ask all of them at once.
        auto some = std::chrono::duration_cast<Duration>(watch.rules.period * random_.uniform());
        beat.first = std::max(beat.first, age + some);
        beat.step = beat.first;
    }
    auto at = [&](Duration since_start) {
        return now + std::chrono::duration_cast<SteadyTime::duration>(since_start - age);
    };
    watch.step = at(beat.step);
    watch.due = std::max(at(beat.first), now);
}

// Never while the run has not started, or when nothing more is asked.
SteadyTime Prober::due_of(const Run& run, const Watch& watch) {
    const Watch* startup = run.find(ProbeKind::startup);
    const bool gated = watch.kind != ProbeKind::startup && startup != nullptr &&
                       startup->state.counts != ProbeResult::success;
    const bool over = watch.state.phase == ProbeState::Phase::over;
    return gated || over ? async::kNoDeadline : watch.due;
}

Task<void> Prober::attend(std::shared_ptr<Run> run, Watch* watch) {
    while (!watch->silenced) {
        auto waited = co_await watch->wake.wait(due_of(*run, *watch));
        watch->wake.reset();
        if (!waited && waited.error().code == Code::cancelled) {
            co_return;
        }
        if (!watch->silenced && clock_.steady_now() >= due_of(*run, *watch)) {
            co_await ask(run, watch);
        }
    }
}

// ---- one probe ---------------------------------------------------------------------------------

Task<Result<Outcome>> Prober::ask_until_told(std::shared_ptr<Run> run, Watch* watch) {
    Subject subject{*watch->probe, run->target.container, run->target.id, run->address,
                    watch->rules.timeout};
    Result<Outcome> outcome = Outcome{};
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        outcome = co_await check(tools_, subject);
        if (outcome || outcome.error().code == Code::cancelled) {
            break;
        }
    }
    co_return outcome;
}

Task<void> Prober::ask(std::shared_ptr<Run> run, Watch* watch) {
    async::Semaphore& turns = watch->probe->exec ? command_turns_ : connection_turns_;
    auto permit = co_await turns.acquire();
    if (!permit || watch->silenced) {
        co_return;
    }
    const SteadyTime begun = clock_.steady_now();
    delays_.add(begun - watch->due);
    watch->enough.reset();
    auto work = ask_until_told(run, watch);
    auto outcome =
        co_await async::run_until(std::move(work), watch->enough, async::kNoDeadline, "probe");
    const bool cut_off = !outcome && outcome.error().code == Code::cancelled;
    if (watch->silenced || cut_off) {
        co_return;
    }
    const SteadyTime ended = clock_.steady_now();
    watch->due = next_due(watch->step, begun, ended, watch->rules);
    settle(*run, *watch, outcome, ended - begun);
}

void Prober::settle(Run& run, Watch& watch, const Result<Outcome>& outcome, Duration took) {
    tell(run, watch, outcome);
    ProbeResult result = ProbeResult::unknown;
    if (!outcome) {
        ++watch.count->unknown;
        watch.count->add_duration(took);
    } else if (outcome->kind == Outcome::Kind::failure) {
        ++watch.count->failed;
        result = ProbeResult::failure;
    } else {
        ++watch.count->successful;
        watch.count->add_duration(took);
        result = ProbeResult::success;
    }
    const ProbeResult before = watch.state.counts;
    take(watch.state, watch.kind, watch.rules, result);
    if (watch.state.counts == before) {
        return;
    }
    if (watch.kind == ProbeKind::startup) {
        for (const auto& other : run.watches) {
            if (other) {
                other->wake.set();
            }
        }
    }
    if (observer_) {
        observer_(PodUid(run.pod->metadata.uid));
    }
}

void Prober::tell(const Run& run, const Watch& watch, const Result<Outcome>& outcome) {
    auto emit = [&](std::string_view reason, std::string_view what, std::string_view text) {
        events_.emit(*run.pod, run.target.container.name, pods::EventType::warning, reason,
                     fmt::format("{} probe {}: {}", name_of(watch.kind), what,
                                 bounded_utf8(text, kTextBytesMax)));
    };
    if (!outcome) {
        emit("Unhealthy", "errored and resulted in unknown state", outcome.error().message);
    } else if (outcome->kind == Outcome::Kind::failure) {
        emit("Unhealthy", "failed", outcome->text);
    } else if (outcome->kind == Outcome::Kind::warning) {
        emit("ProbeWarning", "warning", outcome->text);
    }
}

// ---- what it came to ---------------------------------------------------------------------------

pods::ProbeResults Prober::results(const PodUid& pod) const {
    pods::ProbeResults results;
    auto found = pods_.find(pod);
    if (found == pods_.end()) {
        return results;
    }
    for (const auto& [name, run] : found->second->runs) {
        auto put = [&](ProbeKind kind, std::map<std::string, ProbeResult>& into) {
            if (const Watch* watch = run->find(kind)) {
                into[name] = watch->state.counts;
            }
        };
        put(ProbeKind::startup, results.startup);
        put(ProbeKind::readiness, results.readiness);
        put(ProbeKind::liveness, results.liveness);
    }
    return results;
}

std::vector<ProbeSample> Prober::samples() const {
    std::vector<ProbeSample> samples;
    for (const auto& [uid, entry] : pods_) {
        const kube::ObjectMeta& meta = entry->pod->metadata;
        for (const auto& [key, count] : entry->counts) {
            samples.push_back(
                ProbeSample{meta.namespace_, meta.name, meta.uid, key.first, key.second, *count});
        }
    }
    return samples;
}

}  // namespace skiff::probes
