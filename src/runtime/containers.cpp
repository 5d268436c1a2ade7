// KeeperRuntime: starting, stopping and removing one container.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

#include "base/log.h"
#include "kube/codec.h"
#include "os/file.h"
#include "runtime/runtime.h"
#include "wire/paths.h"
#include "wire/runner_page.h"

namespace skiff::runtime {

namespace {

using async::Task;

constexpr std::string_view kNotCreated = "CreateContainerError";
constexpr std::string_view kNotRun = "RunContainerError";
constexpr auto kAnswerMax = std::chrono::seconds(60);
constexpr auto kKillMax = std::chrono::seconds(10);
constexpr auto kNamedMax = std::chrono::seconds(30);
constexpr std::size_t kIdBytes = 32;
constexpr std::size_t kShortId = 16;

std::int64_t nanoseconds(WallTime time) {
    return time.time_since_epoch().count();
}

// How long a stop may take before a caller is told that it hangs. Bounded, so that sums do not
// wrap.
Duration bounded(Duration grace) {
    constexpr Duration kGraceMax = std::chrono::hours(24 * 365);
    return std::clamp(grace, Duration::zero(), kGraceMax);
}

// The guest looks for this file (`skiff/stop: file`).
Result<void> announce_stop(const state::Paths& paths, const StoredContainer& stored) {
    if (stored.stop_mode != wire::StopMode::file) {
        return {};
    }
    auto path = paths.stop_file(ContainerId(stored.id));
    SKIFF_CHECK(os::open(path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0444));
    return {};
}

}  // namespace

// ---- starting ----------------------------------------------------------------------------------

Task<Result<ContainerId>> KeeperRuntime::start(const pods::ContainerSpec& spec) {
    return start_copy(spec);
}

Task<Result<ContainerId>> KeeperRuntime::start_copy(pods::ContainerSpec spec) {
    auto artifact = co_await artifacts_.find(spec.artifact.key);
    if (!artifact) {
        co_return fail(std::move(artifact.error()).with_default_reason(kNotCreated));
    }
    auto keeper = co_await keepers_.ensure_current();
    if (!keeper) {
        co_return fail(std::move(keeper.error()).with_default_reason(kNotRun));
    }
    auto made = make_container(spec, *keeper);
    if (!made) {
        co_return fail(std::move(made.error()).with_default_reason(kNotCreated));
    }
    Held container = std::move(*made);
    struct Unrequested {
        KeeperRuntime* self;
        Held container;
        ~Unrequested() {
            if (container->making) {
                self->scope_.spawn("discard container", self->discard_made(container));
            } else if (!container->requested) {
                self->discard(container);
            }
        }
    };
    Unrequested cleanup{this, container};
    auto launched = co_await launch(container, spec, std::move(*artifact));
    if (!launched) {
        co_return fail(std::move(launched.error()).with_default_reason(kNotCreated));
    }
    co_return ContainerId(container->stored.id);
}

Result<KeeperRuntime::Held> KeeperRuntime::make_container(const pods::ContainerSpec& spec,
                                                          const std::string& keeper) {
    auto pod = pods_.find(spec.pod);
    if (pod == pods_.end()) {
        return fail(Code::internal, "the pod was not prepared");
    }
    if (auto other = active(spec.pod, spec.name)) {
        // No id in the message: it becomes an event, and events with the same text are counted.
        log::warn("container not started a second time", log::kv("id", other->stored.id));
        return fail(Code::conflict, "container {} still runs or may run", spec.name);
    }
    if (!state::can_name_a_file(spec.name)) {
        return fail(Code::invalid, "\"{}\" cannot be the name of a container", spec.name);
    }
    auto container = std::make_shared<Container>();
    StoredContainer& stored = container->stored;
    stored.id = random_.hex(kIdBytes);
    ContainerId id(stored.id);
    stored.pod_uid = spec.pod.str();
    stored.pod_namespace = spec.pod_name.ns;
    stored.pod_name = spec.pod_name.name;
    stored.name = spec.name;
    stored.kind = spec.kind;
    stored.attempt = spec.attempt;
    stored.round = spec.round;
    stored.spec_hash = spec.spec_hash;
    stored.image = spec.image.reference;
    stored.image_id = spec.image.image_id;
    stored.artifact = spec.artifact.key;
    stored.created_ns = nanoseconds(clock_.wall_now());
    stored.keeper = keeper;
    stored.cgroup = pod_cgroup(spec.pod) + "/" + stored.id.substr(0, kShortId);
    stored.log_folder = paths_.container_logs(spec.pod_name, spec.pod, spec.name).string();
    stored.log_link = paths_.container_log_link(spec.pod_name, spec.name, id).string();
    stored.stop_mode = stop_mode_of(spec.stop_mode);
    stored.ids = StoredIds{spec.uid, spec.gid, spec.groups};
    stored.message_fallback = spec.message_fallback;
    stored.core_dump = spec.coredump == pods::CoreDump::kept;
    stored.keep_end = spec.end_kept == pods::ContainerSpec::EndKept::for_ever &&
                      settings_.lifetime == os::OnParentDeath::live_on;
    stored.memory_limit = spec.limits.memory.value_or(Bytes()).value;
    stored.resources = kube::to_json(spec.resources);
    if (spec.stdin_fd < 0) {
        stored.console = spec.console;
    }
    container->resources = spec.resources;
    bool has_layer = spec.image.kind == pods::ImageKind::layered &&
                     spec.root == pods::ContainerSpec::Root::writable;
    if (has_layer) {
        stored.layer = paths_.container_layer(spec.pod, spec.name, id).string();
    }
    // The record is first: whatever is made after this line is found and removed by the next agent.
    SKIFF_CHECK(store_container(paths_, stored));
    containers_.emplace(stored.id, container);
    by_pod_[spec.pod].push_back(container);
    return container;
}

Task<Result<void>> KeeperRuntime::launch(Held container, const pods::ContainerSpec& spec,
                                         std::shared_ptr<const OpenArtifact> artifact) {
    const StoredContainer& stored = container->stored;
    os::CgroupLimits limits = cgroup_limits(spec.limits);
    // From here on a failure that somebody else sees is ours to clean up after.
    container->waiter = Container::Waiter::start;
    // The disk is the pool's business, and the cgroups are made meanwhile.
    container->making = pool_.begin([paths = paths_, stored, logs = settings_.logs] {
        return make_container_files(paths, stored, logs);
    });
    auto place = cgroups_->create(stored.cgroup, limits);
    auto files = co_await container->making->result();
    if (!files && files.error().code == Code::cancelled) {
        co_return fail(std::move(files.error()));
    }
    container->making.reset();
    if (!files || !place) {
        co_return fail(std::move(files ? place.error() : files.error()));
    }
    if (container->start_error) {
        co_return fail(Error(*container->start_error));
    }
    if (container->stop_by) {
        co_return fail(Code::conflict, "it was stopped before it started");
    }
    StartContext context{
        paths_, settings_.logs, *artifact, pods_.at(spec.pod).stored.first_id, *place, 0};
    auto plan = make_start_plan(spec, stored, context, std::move(*files));
    if (!plan) {
        co_return fail(std::move(plan.error()));
    }
    if (plan->console) {
        SKIFF_CO_TRY(os::Fd far_end, plan->console.duplicate());
        consoles_.add(stored, std::move(far_end));
    }
    plan->start.request_id = next_request_++;
    wire::Message message = std::move(plan->start);
    auto sent = co_await keepers_.send(stored.keeper, std::move(message), std::move(plan->fds));
    if (!sent) {
        co_return fail(std::move(sent.error()).with_default_reason(kNotRun));
    }
    container->requested = true;
    store_grant(paths_, ContainerId(stored.id), plan->grant);
    auto answered = co_await container->answered.wait(after(kAnswerMax));
    container->waiter = Container::Waiter::none;
    if (!answered) {
        // Whether it runs is not known: it stays in the books as starting, so that no second one is
        // started before the keeper has said what became of it. A start that hangs is killed and so
        // tried again; one whose caller went away goes on, for this agent or the next to adopt.
        if (answered.error().code == Code::timeout) {
            container->stop_by = after(Duration::zero());
            wire::Kill kill;
            kill.container_id = stored.id;
            keepers_.post(stored.keeper, kill);
        }
        co_return fail(std::move(answered.error()).with_default_reason(kNotRun));
    }
    if (container->start_error) {
        Error error = *container->start_error;
        discard(container);
        co_return fail(std::move(error));
    }
    co_return Result<void>{};
}

// A thread is still making its files: what is removed before that is over would come back.
Task<void> KeeperRuntime::discard_made(Held container) {
    auto files = co_await container->making->result();
    if (!files && files.error().code == Code::cancelled) {
        // The record stays, and the next agent removes what it names; as it does when this task is
        // not even begun because the agent ends.
        co_return;
    }
    container->making.reset();
    discard(container);
}

void KeeperRuntime::discard(const Held& container) {
    const StoredContainer& stored = container->stored;
    if (auto removed = remove_container_files(paths_, stored); !removed) {
        log::error("files of a container not removed", log::kv("id", stored.id),
                   log::kv("error", format_as(removed.error())));
    }
    remove_cgroup_later(stored.cgroup);
    consoles_.remove(stored.id);
    drop(container);
    container->ended.set();
}

void KeeperRuntime::drop(const Held& container) {
    const StoredContainer& stored = container->stored;
    if (auto removed = os::remove_file(paths_.container_record(ContainerId(stored.id))); !removed) {
        log::error("record not removed", log::kv("error", format_as(removed.error())));
    }
    auto list = by_pod_.find(PodUid(stored.pod_uid));
    if (list != by_pod_.end()) {
        std::erase(list->second, container);
        if (list->second.empty()) {
            by_pod_.erase(list);
        }
    }
    containers_.erase(stored.id);
}

Task<void> KeeperRuntime::remove_cgroup(std::string name) {
    auto cgroups = cgroups_;
    auto work = [cgroups, name] { return cgroups->remove(name); };
    auto removed = co_await pool_.run(std::move(work));
    if (!removed && removed.error().code != Code::cancelled) {
        log::warn("cgroup not removed", log::kv("error", format_as(removed.error())));
    }
}

void KeeperRuntime::remove_cgroup_later(const std::string& name) {
    scope_.spawn("remove cgroup", remove_cgroup(name));
}

// ---- ending ------------------------------------------------------------------------------------

Task<Result<void>> KeeperRuntime::stop(const ContainerId& id, Duration grace) {
    return stop_copy(id, bounded(grace));
}

Task<Result<void>> KeeperRuntime::stop_copy(ContainerId id, Duration grace) {
    auto container = find(id.str());
    if (!container || container->stored.phase == Phase::ended) {
        co_return Result<void>{};
    }
    SKIFF_CO_CHECK(co_await ask_to_end(container, grace));
    auto ended = co_await container->ended.wait(after(grace + kKillMax));
    if (ended) {
        ended = co_await execs_.wait_ended(container->stored.id, after(kKillMax));
    }
    if (ended || ended.error().code == Code::cancelled) {
        co_return ended;
    }
    // The keeper should have killed it by now. The cgroup reaches it without the keeper.
    log::warn("container does not end, killing its cgroup", log::kv("id", id));
    SKIFF_CO_CHECK(cgroups_->kill(container->stored.cgroup));
    SKIFF_CO_CHECK(co_await ask_to_end(container, Duration::zero()));
    auto killed = co_await container->ended.wait(after(kKillMax));
    if (!killed && killed.error().code == Code::timeout) {
        co_return fail(Code::internal, "container {} cannot be killed", id);
    }
    co_return killed;
}

Task<Result<void>> KeeperRuntime::ask_to_end(Held container, Duration grace) {
    const StoredContainer& stored = container->stored;
    SteadyTime at = after(grace);
    container->stop_by = std::min(container->stop_by.value_or(at), at);
    if (auto announced = announce_stop(paths_, stored); !announced) {
        // It is stopped all the same, at the end of its grace period.
        log::warn("guest not told to stop", log::kv("error", format_as(announced.error())));
    }
    if (container->orphan) {
        co_return co_await stop_orphan(container);
    }
    container->asked = Container::Asked::stop;
    wire::Message message = stop_request(*container);
    std::vector<int> none;
    auto sent = co_await keepers_.send(stored.keeper, std::move(message), std::move(none));
    if (!sent && sent.error().code == Code::cancelled) {
        co_return fail(std::move(sent.error()));
    }
    // A lost connection comes back, or the container becomes an orphan: `stop_by` is acted on then.
    co_return Result<void>{};
}

wire::Message KeeperRuntime::stop_request(const Container& container) const {
    auto left = container.stop_by.value_or(SteadyTime{}) - std::chrono::steady_clock::now();
    wire::Stop stop;
    stop.container_id = container.stored.id;
    stop.grace_ms = static_cast<std::uint64_t>(
        std::max<std::int64_t>(std::chrono::ceil<std::chrono::milliseconds>(left).count(), 0));
    return stop;
}

void KeeperRuntime::repeat_stops(const std::string& build) {
    for (const auto& container : unsettled(build)) {
        if (container->stop_by) {
            keepers_.post(build, stop_request(*container));
        }
    }
}

Task<void> KeeperRuntime::go_on_stopping(Held container) {
    auto stopped = co_await stop_orphan(container);
    if (!stopped && stopped.error().code != Code::cancelled) {
        // Whoever asked still waits, and kills the cgroup when the grace is over.
        log::warn("orphan not stopped", log::kv("id", container->stored.id),
                  log::kv("error", format_as(stopped.error())));
    }
}

Task<Result<void>> KeeperRuntime::stop_orphan(Held container) {
    const StoredContainer& stored = container->stored;
    SteadyTime at = container->stop_by.value_or(SteadyTime{});
    bool handles_stop =
        stored.stop_mode != wire::StopMode::none && at > std::chrono::steady_clock::now();
    if (handles_stop) {
        container->asked = Container::Asked::stop;
        // Without its keeper nobody can wake the guest's waits; it sees the flag when it looks.
        auto path = wire::runner_page_file(paths_.run_dir.string(), stored.id);
        if (auto page = os::open(path, O_WRONLY | O_NOFOLLOW)) {
            auto left =
                std::chrono::ceil<std::chrono::milliseconds>(at - std::chrono::steady_clock::now());
            constexpr std::int64_t kMost = std::numeric_limits<std::uint32_t>::max();
            auto flag =
                static_cast<std::uint32_t>(std::clamp<std::int64_t>(left.count(), 1, kMost));
            constexpr off_t kOffset = offsetof(wire::RunnerPage, stop);
            (void)!::pwrite(page->get(), &flag, sizeof flag, kOffset);
        }
        auto ended = co_await container->ended.wait(at);
        if (ended || ended.error().code == Code::cancelled) {
            co_return ended;
        }
    }
    if (!container->orphan) {
        co_return cgroups_->kill(stored.cgroup);  // it could not be watched any more
    }
    container->asked = handles_stop || stored.stop_mode != wire::StopMode::none
                           ? Container::Asked::kill
                           : Container::Asked::stop;
    SKIFF_CO_CHECK(os::send_signal(container->orphan.get(), SIGKILL));
    co_return cgroups_->kill(stored.cgroup);
}

Task<Result<void>> KeeperRuntime::remove(const ContainerId& id) {
    return remove_copy(id);
}

Task<Result<void>> KeeperRuntime::remove_copy(ContainerId id) {
    auto container = find(id.str());
    if (!container) {
        co_return Result<void>{};
    }
    if (container->stored.phase != Phase::ended) {
        co_return fail(Code::conflict, "container {} still runs", container->stored.name);
    }
    // What is being renamed might not be found.
    SKIFF_CO_CHECK(co_await container->named.wait(after(kNamedMax)));
    auto cgroups = cgroups_;
    auto work = [paths = paths_, cgroups, stored = container->stored]() -> Result<void> {
        SKIFF_CHECK(remove_container_files(paths, stored));
        SKIFF_CHECK(os::remove_file(paths.ended_record(ContainerId(stored.id))));
        return cgroups->remove(stored.cgroup);
    };
    SKIFF_CO_CHECK(co_await pool_.run(std::move(work)));
    // The record goes last: until then all of this can be done again.
    if (find(id.str()) == container) {
        drop(container);
        changed(container->stored);
    }
    co_return Result<void>{};
}

}  // namespace skiff::runtime
