#include "checker.h"

#include <algorithm>

namespace skiff::sim {
namespace {

using pods::ContainerKind;

bool is_sidecar(const kube::Container& container) {
    return container.restartPolicy.value_or("") == "Always";
}

const kube::ContainerRestartRule* rule_for(const kube::Container& container, int code) {
    for (const kube::ContainerRestartRule& rule : container.restartPolicyRules) {
        const auto& values = rule.exitCodes->values;
        bool listed = std::find(values.begin(), values.end(), code) != values.end();
        if (listed == (rule.exitCodes->operator_ == "In")) {
            return &rule;
        }
    }
    return nullptr;
}

// Whether a run that ended so is the container's last one.
bool ends_for_good(const kube::Pod& pod, const kube::Container& container, int code) {
    if (rule_for(container, code) != nullptr) {
        return false;  // all rules say restart
    }
    std::string policy = container.restartPolicy.value_or(pod.spec.restartPolicy);
    return policy == "Never" || (policy == "OnFailure" && code == 0);
}

bool is_terminal(const std::string& phase) {
    return phase == "Succeeded" || phase == "Failed";
}

const kube::ContainerStatus* status_of(const kube::PodStatus& status, const std::string& name) {
    for (const auto* list : {&status.initContainerStatuses, &status.containerStatuses,
                             &status.ephemeralContainerStatuses}) {
        for (const kube::ContainerStatus& own : *list) {
            if (own.name == name) {
                return &own;
            }
        }
    }
    return nullptr;
}

const kube::PodCondition* condition(const kube::PodStatus& status, std::string_view type) {
    for (const kube::PodCondition& own : status.conditions) {
        if (own.type == type) {
            return &own;
        }
    }
    return nullptr;
}

// Pending, Running, terminal.
int rank(const std::string& phase) {
    return is_terminal(phase) ? 2 : phase == "Running" ? 1 : 0;
}

}  // namespace

Checker::Checker(World& world, Guests& guests, Api& api, const Prober& prober,
                 const Commands& commands)
    : world_(world), guests_(guests), api_(api), prober_(prober), commands_(commands) {
    guests.set_watcher({[this](const Run& run) { on_start(run); },
                        [this](const Run& run, Duration grace) { on_stop(run, grace); },
                        [this](const Run& run) { on_end(run); }});
    api.set_watcher(
        {[this](const kube::Pod& pod, const kube::PodStatus& status) { on_store(pod, status); },
         [this](const kube::Pod& pod, const kube::PodStatus& status) { on_publish(pod, status); },
         [this](const kube::Pod& pod) { on_finish(pod); },
         [this](const kube::Pod& pod) {
             seen(pod).told_grace_s = pod.metadata.deletionGracePeriodSeconds.value_or(0);
         }});
}

Checker::Seen& Checker::seen(const kube::Pod& pod) {
    auto [found, is_new] = pods_.try_emplace(pod.metadata.uid);
    Seen& seen = found->second;
    seen.last = world_.clock.steady_now();
    if (is_new) {
        seen.pod = pod;
        seen.first = seen.last;
    }
    // The server's object is the newest; what the agent shows may be older.
    if (const kube::Pod* newest = api_.find(pod.metadata.uid)) {
        auto note_edits = [&](const auto& before, const auto& now) {
            for (std::size_t i = 0; i < before.size() && i < now.size(); ++i) {
                if (before[i].image != now[i].image) {
                    seen.edited.insert(now[i].name);
                }
            }
        };
        note_edits(seen.pod.spec.initContainers, newest->spec.initContainers);
        note_edits(seen.pod.spec.containers, newest->spec.containers);
        seen.pod = *newest;
    }
    return seen;
}

std::vector<const Run*> Checker::runs_of(const std::string& uid) const {
    std::vector<const Run*> runs;
    for (const auto& run : guests_.runs()) {
        if (run->record.pod.str() == uid) {
            runs.push_back(run.get());
        }
    }
    return runs;
}

std::vector<const Run*> Checker::runs_of(const std::string& uid,
                                         const std::string& container) const {
    std::vector<const Run*> runs = runs_of(uid);
    std::erase_if(runs, [&](const Run* run) { return run->record.name != container; });
    return runs;
}

const Run* Checker::active(const std::string& uid, const std::string& container) const {
    for (const Run* run : runs_of(uid, container)) {
        if (run->is_active()) {
            return run;
        }
    }
    return nullptr;
}

// ------------------------------------------------------------------------------------------------
// Runs

void Checker::on_start(const Run& run) {
    const std::string& uid = run.record.pod.str();
    auto found = pods_.find(uid);
    const kube::Pod* object = api_.find(uid);
    if (object != nullptr) {
        seen(*object);
        found = pods_.find(uid);
    }
    if (found == pods_.end()) {
        world_.journal.broken("{} starts, but its pod was never heard of", run.name());
        return;
    }
    Seen& seen = found->second;
    if (const Run* other = active(uid, run.record.name)) {
        world_.journal.broken("I1: {} starts while {} is there", run.name(), other->name());
    }
    if (is_terminal(seen.api_phase)) {
        world_.journal.broken("I3: {} starts in a pod that is {}", run.name(), seen.api_phase);
    }
    if (run.record.round > seen.rounds) {
        world_.journal.broken("{} starts in round {}, but only {} ended", run.name(),
                              run.record.round, seen.rounds);
    }
    for (const Run* other : runs_of(uid)) {
        bool takes_part = other->record.kind != ContainerKind::ephemeral;
        if (takes_part && other->is_active() && other->record.round < run.record.round &&
            run.record.kind != ContainerKind::ephemeral) {
            world_.journal.broken("{} starts while {} of the round before is there", run.name(),
                                  other->name());
        }
    }
    check_order(seen, run);
    check_back_off(run);
}

// The first restart is immediate, the second waits for 10 s at least, unless the run before was
// long enough to be forgiven. A boot forgives everything.
void Checker::check_back_off(const Run& run) {
    const Run* last = nullptr;
    const Run* before_last = nullptr;
    for (const Run* other : runs_of(run.record.pod.str(), run.record.name)) {
        bool counts = !other->is_starting() && other->boot == run.boot &&
                      other->record.spec_hash == run.record.spec_hash;
        if (counts) {
            before_last = std::exchange(last, other);
        }
    }
    if (before_last == nullptr || !last->record.exit) {
        return;
    }
    WallTime ended = last->record.exit->finished;
    bool long_run = ended - last->record.created > std::chrono::minutes(9);
    Duration waited = run.record.created - ended;
    if (!long_run && waited < std::chrono::seconds(10)) {
        world_.journal.broken("{} starts again after {}", run.name(), format_duration(waited));
    }
}

// Something that has to be over, or to have started, before `run` may start. A sidecar may have
// ended again by now: pulling the image of what follows takes its time.
void Checker::check_before(const Run& run, const kube::Container& earlier) {
    for (const Run* other : runs_of(run.record.pod.str(), earlier.name)) {
        if (other->boot != run.boot || other->record.round != run.record.round ||
            other->is_starting()) {
            continue;
        }
        bool well = other->record.exit && other->record.exit->exit_code == 0;
        bool started = !earlier.startupProbe || prober_.passed_startup(other->record.id);
        if (is_sidecar(earlier) ? started : well) {
            return;
        }
    }
    world_.journal.broken("{} starts before {} is {}", run.name(), earlier.name,
                          is_sidecar(earlier) ? "started" : "done");
}

void Checker::check_order(const Seen& seen, const Run& run) {
    const kube::PodSpec& spec = seen.pod.spec;
    if (run.record.kind == ContainerKind::ephemeral) {
        if (!runs_of(run.record.pod.str(), run.record.name).empty() && run.record.attempt > 0) {
            world_.journal.broken("{} is ephemeral and starts again", run.name());
        }
        return;
    }
    bool begun = false;
    for (const kube::Container& container : spec.containers) {
        for (const Run* other : runs_of(run.record.pod.str(), container.name)) {
            begun = begun || (other->boot == run.boot && other->record.round == run.record.round);
        }
    }
    for (const kube::Container& container : spec.initContainers) {
        if (container.name == run.record.name) {
            if (begun && !is_sidecar(container)) {
                world_.journal.broken("{} starts after the regular containers", run.name());
            }
            return;
        }
        if (!begun) {
            check_before(run, container);
        }
    }
}

void Checker::on_end(const Run& run) {
    auto found = pods_.find(run.record.pod.str());
    if (found == pods_.end() || run.record.kind == ContainerKind::ephemeral) {
        return;
    }
    const kube::PodSpec& spec = found->second.pod.spec;
    for (const auto* list : {&spec.initContainers, &spec.containers}) {
        for (const kube::Container& container : *list) {
            if (container.name != run.record.name) {
                continue;
            }
            const auto* rule = rule_for(container, run.record.exit->exit_code);
            if (rule != nullptr && rule->action == "RestartAllContainers" &&
                run.record.round == found->second.rounds) {
                ++found->second.rounds;
            }
        }
    }
}

bool Checker::work_is_over(const kube::Pod& pod) const {
    const std::string& uid = pod.metadata.uid;
    auto last_code = [&](const kube::Container& container) -> std::optional<int> {
        auto runs = runs_of(uid, container.name);
        std::erase_if(runs, [](const Run* run) { return run->is_starting(); });
        if (runs.empty()) {
            return std::nullopt;
        }
        // What a boot lost counts as killed.
        return runs.back()->record.exit   ? std::optional(runs.back()->record.exit->exit_code)
               : runs.back()->is_active() ? std::nullopt
                                          : std::optional(137);
    };
    for (const kube::Container& container : pod.spec.initContainers) {
        auto code = last_code(container);
        if (!is_sidecar(container) && code && *code != 0 && ends_for_good(pod, container, *code)) {
            return true;
        }
    }
    return std::all_of(pod.spec.containers.begin(), pod.spec.containers.end(),
                       [&](const kube::Container& container) {
                           auto code = last_code(container);
                           return (code && ends_for_good(pod, container, *code)) ||
                                  ended_before_a_lost_run(pod, container);
                       });
}

bool Checker::is_past_deadline(const Seen& seen, const kube::Pod& pod) const {
    return pod.spec.activeDeadlineSeconds && seen.told_start_time &&
           world_.clock.wall_now() >=
               seen.told_start_time->at + std::chrono::seconds(*pod.spec.activeDeadlineSeconds);
}

bool Checker::may_stop(const Seen& seen, const Run& run) const {
    const kube::Pod* object = api_.find(run.record.pod.str());
    if (object == nullptr || object->metadata.deletionTimestamp ||
        is_terminal(object->status.phase)) {
        return true;
    }
    if (is_past_deadline(seen, *object)) {
        return true;
    }
    bool unwell = prober_.condemned(run.record.id) || commands_.failed_in(run.record.id);
    return unwell || run.record.round < seen.rounds || seen.edited.contains(run.record.name) ||
           work_is_over(*object);
}

void Checker::on_stop(const Run& run, Duration grace) {
    auto found = pods_.find(run.record.pod.str());
    if (found == pods_.end()) {
        return;
    }
    if (const kube::Pod* object = api_.find(run.record.pod.str())) {
        seen(*object);
    }
    if (!may_stop(found->second, run)) {
        world_.journal.broken("I5: {} is stopped without a reason", run.name());
    }
    // What an agent finds of a pod that nobody knows any more has no order, and no grace of its
    // own.
    if (api_.find(run.record.pod.str()) != nullptr) {
        check_grace(found->second, run, grace);
        check_stop_order(found->second, run);
    }
}

// Not more than the pod asks for, or whoever deleted it, or the probe that found it unwell; and
// nobody has less than two seconds.
void Checker::check_grace(const Seen& seen, const Run& run, Duration grace) {
    std::int64_t most =
        std::max<std::int64_t>(2, seen.pod.spec.terminationGracePeriodSeconds.value_or(30));
    most = std::max(most, seen.told_grace_s);
    for (const auto* list : {&seen.pod.spec.initContainers, &seen.pod.spec.containers}) {
        for (const kube::Container& container : *list) {
            for (const auto* probe : {&container.startupProbe, &container.livenessProbe}) {
                if (*probe && container.name == run.record.name) {
                    most = std::max(most, (*probe)->terminationGracePeriodSeconds.value_or(0));
                }
            }
        }
    }
    if (grace > std::chrono::seconds(most)) {
        world_.journal.broken("{} has {} to end, {} s were asked for", run.name(),
                              format_duration(grace), most);
    }
}

// A sidecar that goes because its pod goes: everything that it serves has ended, or had its time.
void Checker::check_stop_order(const Seen& seen, const Run& run) {
    bool goes_alone = run.record.round < seen.rounds || seen.edited.contains(run.record.name) ||
                      prober_.condemned(run.record.id) || commands_.failed_in(run.record.id);
    if (!run.record.name.starts_with("side") || goes_alone) {
        return;
    }
    bool is_later = false;
    auto check = [&](const kube::Container& container) {
        const Run* other = active(run.record.pod.str(), container.name);
        // Nobody has less than two seconds, also when the pod's time is over.
        SteadyTime soon = world_.clock.steady_now() + std::chrono::seconds(3);
        bool has_time = other != nullptr && (!other->asked_until || *other->asked_until > soon);
        if (has_time) {
            world_.journal.broken("{} is stopped before {}", run.name(), other->name());
        }
    };
    for (const kube::Container& container : seen.pod.spec.initContainers) {
        if (is_later && is_sidecar(container)) {
            check(container);
        }
        is_later = is_later || container.name == run.record.name;
    }
    for (const kube::Container& container : seen.pod.spec.containers) {
        check(container);
    }
}

// ------------------------------------------------------------------------------------------------
// Statuses

void Checker::check_statuses(const kube::Pod& pod, const kube::PodStatus& status) {
    const std::string& uid = pod.metadata.uid;
    for (const auto* list : {&status.initContainerStatuses, &status.containerStatuses}) {
        for (const kube::ContainerStatus& own : *list) {
            const Run* run = active(uid, own.name);
            bool runs = run != nullptr && !run->is_starting();
            if (own.state.running && !runs) {
                world_.journal.broken("{} shows {} running, which is not", pod.metadata.name,
                                      own.name);
            }
            auto says = runs ? prober_.of(run->record.id) : std::nullopt;
            if (own.ready && own.state.running && (!runs || (says && !says->allows_ready()))) {
                world_.journal.broken("{} shows {} ready", pod.metadata.name, own.name);
            }
        }
    }
    const auto* ready = condition(status, "Ready");
    if (ready == nullptr || ready->status != "True") {
        return;
    }
    for (const kube::ContainerStatus& own : status.containerStatuses) {
        if (!own.ready) {
            world_.journal.broken("{} is Ready without {}", pod.metadata.name, own.name);
        }
    }
    if (status.phase != "Running") {
        world_.journal.broken("{} is Ready and {}", pod.metadata.name, status.phase);
    }
}

void Checker::on_publish(const kube::Pod& pod, const kube::PodStatus& status) {
    Seen& seen = this->seen(pod);
    check_statuses(pod, status);
    seen.told_start_time = status.startTime;
    std::int64_t generation = status.observedGeneration;
    if (generation > seen.pod.metadata.generation) {
        world_.journal.broken("{} observed generation {} of {}", pod.metadata.name, generation,
                              seen.pod.metadata.generation);
    }
    if (is_terminal(status.phase)) {
        for (const Run* run : runs_of(pod.metadata.uid)) {
            if (run->is_active()) {
                world_.journal.broken("{} is called {} while {} is there", pod.metadata.name,
                                      status.phase, run->name());
            }
        }
    }
}

void Checker::on_store(const kube::Pod& pod, const kube::PodStatus& status) {
    Seen& seen = this->seen(pod);
    const std::string& name = pod.metadata.name;
    if (rank(status.phase) < rank(seen.api_phase) ||
        (is_terminal(seen.api_phase) && status.phase != seen.api_phase)) {
        world_.journal.broken("I3: {} goes from {} to {}", name, seen.api_phase, status.phase);
    }
    seen.api_phase = status.phase;
    if (seen.start_time && status.startTime != seen.start_time) {
        world_.journal.broken("I3: the start time of {} changes", name);
    }
    seen.start_time = status.startTime;
    for (const auto* list : {&status.initContainerStatuses, &status.containerStatuses,
                             &status.ephemeralContainerStatuses}) {
        for (const kube::ContainerStatus& own : *list) {
            std::int32_t& before = seen.api_restarts[own.name];
            auto starts = static_cast<std::int32_t>(runs_of(pod.metadata.uid, own.name).size());
            if (own.restartCount < before) {
                world_.journal.broken("I3: the restarts of {}/{} go from {} to {}", name, own.name,
                                      before, own.restartCount);
            }
            if (own.restartCount > 0 && own.restartCount > starts - 1) {
                world_.journal.broken("I3: {}/{} shows {} restarts after {} starts", name, own.name,
                                      own.restartCount, starts);
            }
            before = own.restartCount;
        }
    }
}

void Checker::on_finish(const kube::Pod& pod) {
    seen(pod);
    if (!is_terminal(pod.status.phase)) {
        world_.journal.broken("I6: the object of {} goes while it is {}", pod.metadata.name,
                              pod.status.phase);
    }
    for (const Run* run : runs_of(pod.metadata.uid)) {
        if (run->is_active()) {
            world_.journal.broken("I6: the object of {} goes before {}", pod.metadata.name,
                                  run->name());
        }
    }
}

// ------------------------------------------------------------------------------------------------
// The end

// A run that a power loss took before anybody was told of it leaves no trace: the end before it is
// what the next agent knows.
bool Checker::ended_before_a_lost_run(const kube::Pod& pod,
                                      const kube::Container& container) const {
    auto runs = runs_of(pod.metadata.uid, container.name);
    while (!runs.empty() && !runs.back()->is_active() && !runs.back()->record.exit) {
        runs.pop_back();
    }
    return !runs.empty() && runs.back()->record.exit &&
           ends_for_good(pod, container, runs.back()->record.exit->exit_code);
}

void Checker::check_pod_settled(const kube::Pod& pod) {
    const std::string& uid = pod.metadata.uid;
    const std::string& name = pod.metadata.name;
    bool over = is_terminal(pod.status.phase);
    if (!over && is_past_deadline(seen(pod), pod)) {
        return;  // it ends just now
    }
    if (pod.status.observedGeneration != pod.metadata.generation) {
        world_.journal.broken("I4: {} observed generation {} of {}", name,
                              pod.status.observedGeneration, pod.metadata.generation);
    }
    for (const auto* list : {&pod.spec.initContainers, &pod.spec.containers}) {
        for (const kube::Container& container : *list) {
            const Run* run = active(uid, container.name);
            const auto* own = status_of(pod.status, container.name);
            bool shown = own != nullptr && own->state.running.has_value();
            if (shown != (run != nullptr)) {
                world_.journal.broken("I4: {}/{} is shown {}", name, container.name,
                                      shown ? "running" : "not running");
            }
            bool is_regular = list == &pod.spec.containers;
            if (!over && is_regular && shown && !own->ready) {
                world_.journal.broken("{}/{} should be ready by now", name, container.name);
            }
            auto says = run == nullptr ? std::nullopt : prober_.of(run->record.id);
            if (says && says->condemns()) {
                world_.journal.broken("{} should have ended by its probes", run->name());
            }
            if (over && run != nullptr) {
                world_.journal.broken("{} is {} and {} runs", name, pod.status.phase, run->name());
            }
            auto runs = runs_of(uid, container.name);
            bool ended = !runs.empty() && !runs.back()->is_active();
            int code =
                ended && runs.back()->record.exit ? runs.back()->record.exit->exit_code : 137;
            bool is_init = !is_regular && !is_sidecar(container);
            bool may_rest = is_init || (ended && ends_for_good(pod, container, code)) ||
                            ended_before_a_lost_run(pod, container);
            if (!over && run == nullptr && !may_rest) {
                world_.journal.broken("{}/{} should run by now", name, container.name);
            }
        }
    }
}

void Checker::check_settled() {
    for (const std::string& uid : api_.uids()) {
        check_pod_settled(*api_.find(uid));
    }
    for (const auto& run : guests_.runs()) {
        if (run->is_active() && api_.find(run->record.pod.str()) == nullptr) {
            world_.journal.broken("I2: {} lives without its pod", run->name());
        }
    }
}

void Checker::check_empty(const Volumes& volumes, const Network& network) {
    for (const std::string& uid : api_.uids()) {
        world_.journal.broken("{} was deleted and does not end", api_.find(uid)->metadata.name);
    }
    for (const auto& run : guests_.runs()) {
        if (run->fate == Run::Fate::there) {
            world_.journal.broken("I2: {} is left", run->name());
        }
    }
    for (const auto& [uid, seen] : pods_) {
        PodUid pod(uid);
        if (guests_.has_pod(pod) || volumes.has_pod(pod) || network.has_pod(pod)) {
            world_.journal.broken("I2: something of {} is left", seen.pod.metadata.name);
        }
    }
}

double Checker::pod_hours() const {
    double hours = 0;
    for (const auto& [uid, seen] : pods_) {
        hours += std::chrono::duration<double, std::ratio<3600>>(seen.last - seen.first).count();
    }
    return hours;
}

}  // namespace skiff::sim
