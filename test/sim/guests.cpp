#include "guests.h"

#include <algorithm>

namespace skiff::sim {

using namespace std::chrono_literals;
using pods::ContainerKind;
using pods::ContainerRecord;
using pods::ExitKind;

namespace {

// How long the agent waits for a keeper's answer; the keeper may answer later still.
constexpr Duration kAnswerWithin = 30s;

// A runtime is not told; the names of the scenario say it.
bool is_sidecar_name(std::string_view name) {
    return name.starts_with("side");
}

}  // namespace

Guests::Held Guests::find(const ContainerId& id) const {
    for (const Held& run : runs_) {
        if (run->fate == Run::Fate::there && run->record.id == id) {
            return run;
        }
    }
    return nullptr;
}

std::vector<ContainerRecord> Guests::containers(const PodUid& pod) const {
    std::vector<ContainerRecord> own;
    for (const Held& run : runs_) {
        if (run->fate == Run::Fate::there && run->record.pod == pod) {
            own.push_back(run->record);
        }
    }
    return own;
}

std::vector<PodUid> Guests::pods() const {
    return {marks_.begin(), marks_.end()};
}

void Guests::changed(const Held& run) {
    run->changed->set();
    if (observer_) {
        observer_(run->record.pod);
    }
}

pods::Task<Result<void>> Guests::prepare_pod(const pods::PodSandbox& sandbox) {
    PodUid pod = sandbox.pod;
    std::string allocation = sandbox.allocation;
    marks_.insert(pod);
    SKIFF_CO_CHECK(co_await async::sleep_for(world_.dice.duration(1ms, 500ms)));
    if (world_.fails(0.05)) {
        co_return fail_because(Code::unavailable, "FailedCreatePodSandBox", "no cgroup");
    }
    prepared_[pod] = std::move(allocation);
    co_return Result<void>();
}

std::optional<std::string> Guests::allocation(const PodUid& pod) const {
    auto found = prepared_.find(pod);
    return found == prepared_.end() ? std::nullopt : std::optional(found->second);
}

void Guests::store_allocation(const PodUid& pod, std::string allocation) {
    if (auto found = prepared_.find(pod); found != prepared_.end()) {
        found->second = std::move(allocation);
    }
}

pods::Task<Result<void>> Guests::resize(const ContainerId& id, pods::ContainerLimits,
                                        kube::ResourceRequirements resources) {
    Held run = find(id);
    SKIFF_CO_CHECK(co_await async::sleep_for(world_.dice.duration(1ms, 500ms)));
    if (run == nullptr || !run->is_active() || run->is_starting()) {
        co_return fail(Code::conflict, "it does not run");
    }
    if (world_.fails(0.05)) {
        co_return fail(Code::unavailable, "the kernel says no");
    }
    world_.journal.note("resize {}", run->name());
    run->record.resources = std::move(resources);
    co_return Result<void>();
}

pods::Task<Result<pods::Artifact>> Guests::compile(pods::CompileRequest request,
                                                   std::function<void()>) {
    pods::Artifact artifact;
    artifact.key = request.module.digest;
    artifact.handles_stop = true;
    SKIFF_CO_CHECK(co_await async::sleep_for(world_.dice.duration(1ms, 5s)));
    if (world_.fails(0.03)) {
        co_return fail_because(Code::exhausted, "RunContainerError", "too large to compile");
    }
    co_return artifact;
}

pods::Task<Result<ContainerId>> Guests::start(const pods::ContainerSpec& spec) {
    auto run = std::make_shared<Run>();
    ContainerRecord& record = run->record;
    record.id = ContainerId(fmt::format("{:064x}", runs_.size() + 1));
    record.pod = spec.pod;
    record.pod_name = spec.pod_name;
    record.name = spec.name;
    record.kind = spec.kind;
    record.attempt = spec.attempt;
    record.round = spec.round;
    record.spec_hash = spec.spec_hash;
    record.image = spec.image.reference;
    record.image_id = spec.image.image_id;
    record.resources = spec.resources;
    record.phase = ContainerRecord::Phase::starting;
    record.created = world_.clock.wall_now();
    run->end_kept = spec.end_kept;
    run->boot = boot_;
    world_.journal.note("start {} round {}", run->name(), record.round);
    watcher_.starts(*run);
    runs_.push_back(run);
    // Most keepers answer at once, some when nobody waits any more.
    Duration takes =
        world_.fails(0.03) ? world_.dice.duration(30s, 5min) : world_.dice.duration(1ms, 200ms);
    world_.later(takes, [this, run] { answer(run); });
    auto event = run->changed;
    auto deadline = after(kAnswerWithin);
    auto answered = co_await event->wait(deadline);
    if (!answered) {
        co_return fail(std::move(answered.error()));
    }
    if (run->fate != Run::Fate::there) {
        co_return fail_because(Code::unavailable, "RunContainerError", "the keeper refused");
    }
    co_return run->record.id;
}

void Guests::answer(const Held& run) {
    if (run->fate != Run::Fate::there || !run->is_starting()) {
        return;
    }
    if (world_.fails(0.05)) {
        refuse(run);
        return;
    }
    begin(run);
    if (world_.fails(0.03)) {
        end(run, ExitKind::start_failed, 128);
        return;
    }
    choose_life(run);
}

void Guests::begin(const Held& run) {
    run->record.phase = ContainerRecord::Phase::started;
    run->record.started = world_.clock.wall_now();
    run->record.pid = static_cast<std::int32_t>(runs_.size());
    world_.journal.note("runs {}", run->name());
    changed(run);
}

void Guests::refuse(const Held& run) {
    run->fate = Run::Fate::forgotten;
    world_.journal.note("refused {}", run->name());
    changed(run);
}

void Guests::end(const Held& run, ExitKind kind, int code) {
    if (!run->is_active() || run->is_starting()) {
        return;
    }
    pods::ContainerExit exit;
    exit.kind = kind;
    exit.exit_code = code;
    exit.reason = kind == ExitKind::start_failed ? "StartError" : code == 0 ? "Completed" : "Error";
    exit.finished = world_.clock.wall_now();
    run->record.exit = std::move(exit);
    run->record.pid = 0;
    world_.journal.note("ends {} with {}", run->name(), code);
    watcher_.ended(*run);
    changed(run);
}

void Guests::choose_life(const Held& run) {
    bool is_init = run->record.kind == ContainerKind::init && !is_sidecar_name(run->record.name);
    bool calm = world_.mood == World::Mood::calm;
    if (!is_init && (calm || world_.dice.chance(0.5))) {
        return;  // for ever
    }
    Duration lives = world_.dice.duration(10ms, is_init ? 30s : 10min);
    int code = calm || world_.dice.chance(is_init ? 0.75 : 0.3)
                   ? 0
                   : world_.dice.one_of<int>({1, 42, 42, 137});
    world_.later(lives, [this, run, code] { end(run, ExitKind::exited, code); });
}

void Guests::end_some() {
    std::vector<Held> live;
    for (const Held& run : runs_) {
        if (run->is_active() && !run->is_starting()) {
            live.push_back(run);
        }
    }
    if (!live.empty()) {
        Held run = world_.dice.one_of(live);
        end(run, ExitKind::exited, world_.dice.one_of<int>({0, 0, 1, 42, 137}));
    }
}

pods::Task<Result<void>> Guests::stop(const ContainerId& id, Duration grace) {
    Held run = find(id);
    if (run == nullptr || run->record.exit) {
        co_return Result<void>();
    }
    world_.journal.note("stop {} within {}", run->name(), format_duration(grace));
    watcher_.stops(*run, grace);
    auto steady = std::chrono::duration_cast<SteadyTime::duration>(grace);
    SteadyTime kill_at = world_.clock.steady_now() + steady;
    run->asked_until = run->asked_until ? std::min(*run->asked_until, kill_at) : kill_at;
    if (world_.fails(0.02)) {
        co_return fail(Code::internal, "the keeper cannot be reached");
    }
    if (run->is_starting()) {
        refuse(run);
        co_return Result<void>();
    }
    bool is_first = !run->kill_at;
    run->kill_at = is_first ? kill_at : std::min(*run->kill_at, kill_at);
    world_.timeline.at(*run->kill_at, [this, run] { end(run, ExitKind::killed, 137); });
    if (is_first && world_.dice.chance(0.5)) {
        end(run, ExitKind::stopped, 143);
    } else if (is_first && world_.dice.chance(0.6)) {
        Duration takes = world_.dice.duration(10ms, 60s);
        world_.later(takes, [this, run] { end(run, ExitKind::exited, 0); });
    }
    while (run->is_active()) {
        run->changed->reset();
        auto event = run->changed;
        SKIFF_CO_CHECK(co_await event->wait());
    }
    co_return Result<void>();
}

pods::Task<Result<void>> Guests::remove(const ContainerId& id) {
    Held run = find(id);
    if (run != nullptr && run->is_active()) {
        world_.journal.broken("{} is removed while it runs", run->name());
        co_return fail(Code::conflict, "it runs");
    }
    if (run != nullptr) {
        world_.journal.note("remove {}", run->name());
        run->fate = Run::Fate::forgotten;
    }
    co_return Result<void>();
}

pods::Task<Result<void>> Guests::remove_pod(const PodUid& pod) {
    PodUid uid = pod;
    SKIFF_CO_CHECK(co_await async::sleep_for(world_.dice.duration(1ms, 500ms)));
    if (world_.fails(0.05)) {
        co_return fail(Code::internal, "busy");
    }
    for (const Held& run : runs_) {
        if (run->record.pod != uid) {
            continue;
        }
        if (run->is_active()) {
            world_.journal.broken("the pod of {} is removed while it runs", run->name());
            co_return fail(Code::conflict, "it runs");
        }
        run->fate = Run::Fate::forgotten;
    }
    world_.journal.note("removed {}", uid);
    marks_.erase(uid);
    prepared_.erase(uid);
    co_return Result<void>();
}

void Guests::reboot() {
    ++boot_;
    prepared_.clear();
    world_.journal.note("reboot");
    for (const Held& run : runs_) {
        if (run->fate != Run::Fate::there) {
            continue;
        }
        bool kept = run->record.exit && run->end_kept == pods::ContainerSpec::EndKept::for_ever;
        if (kept) {
            run->record.boot = ContainerRecord::Boot::earlier;
        } else {
            run->fate = Run::Fate::forgotten;
        }
    }
}

}  // namespace skiff::sim
