// Probes and hooks of a pod's worker: what is asked for, and how a hook ended.
#include <algorithm>

#include "async/scope.h"
#include "base/log.h"
#include "kube/pod_fields.h"
#include "pods/probing.h"
#include "pods/worker.h"

namespace skiff::pods {
namespace {

// A preStop hook ends by the stop that follows it; this only bounds what nobody stops.
constexpr Duration kPreStopSlack = std::chrono::seconds(10);

}  // namespace

std::string Worker::address() const {
    const std::string& known = network_.pod_ips.empty() ? status_.podIP : network_.pod_ips.front();
    bool everywhere = context_.node.listening == NodeFacts::Listening::everywhere;
    return known.empty() && everywhere ? "127.0.0.1" : known;
}

std::optional<ProbeResults> Worker::probe(const std::vector<ContainerRecord>& records) {
    if (!has_probes(*pod_)) {
        return std::nullopt;
    }
    Probed wanted{pod_, probed_runs(*pod_, records, status_, memory_), address(),
                  probe_scope(*pod_, memory_)};
    if (probed_ != wanted) {
        ProbeOrder order = probe_order(pod_, records, status_, memory_);
        order.address = wanted.address;
        probed_ = std::move(wanted);
        ports_.probes.apply(std::move(order));
    }
    return ports_.probes.results(uid_);
}

HookRun Worker::hook_run(const Action& action, HookRun::Which which) const {
    HookRun hook;
    hook.pod = pod_;
    hook.container = *kube::find_container(*pod_, action.container);
    hook.run = action.id;
    hook.which = which;
    hook.address = address();
    hook.timeout =
        which == HookRun::Which::post_start ? kPostStartMax : action.grace + kPreStopSlack;
    return hook;
}

void Worker::begin_post_start(const Action& action) {
    HookMemory& memory = memory_.containers[action.container].post_start;
    memory.run = action.id;
    memory.phase = HookMemory::Phase::running;
    HookRun hook = hook_run(action, HookRun::Which::post_start);
    scope_.spawn("postStart hook", see_hook_through(std::move(hook)));
}

void Worker::begin_pre_stop(const Action& action) {
    ContainerMemory& memory = memory_.containers[action.container];
    memory.pre_stop = HookMemory{action.id, HookMemory::Phase::running, {}, action.stop_by};
    if (!action.message.empty()) {
        ports_.events.emit(*pod_, action.container, EventType::normal, "Killing", action.message);
    }
    cut_hook(action.container);
    HookRun hook = hook_run(action, HookRun::Which::pre_stop);
    scope_.spawn("preStop hook", see_hook_through(std::move(hook)));
}

void Worker::cut_hook(const std::string& container) {
    auto found = hooks_.find(container);
    if (found != hooks_.end()) {
        found->second->enough.set();
    }
}

void Worker::cut_hooks_of_ended(const std::vector<ContainerRecord>& records) {
    for (const auto& [container, hook] : hooks_) {
        auto record = std::ranges::find(records, hook->run, &ContainerRecord::id);
        if (record == records.end() || record->exit) {
            hook->enough.set();
        }
    }
}

Task<Result<void>> Worker::run_hook_until_cut(HookRun hook) {
    auto running = std::make_shared<RunningHook>();
    running->run = hook.run;
    const std::string container = hook.container.name;
    hooks_[container] = running;
    auto work = run_hook(ports_, std::move(hook));
    auto done =
        co_await async::run_until(std::move(work), running->enough, async::kNoDeadline, "hook");
    auto held = hooks_.find(container);
    if (held != hooks_.end() && held->second == running) {
        hooks_.erase(held);
    }
    co_return done;
}

// No secrets from a server's or a command's words in an event, which more people may read than the
// status: so the kubelet has it.
void Worker::tell_failed_hook(const std::string& container, HookRun::Which which,
                              const Error& error) {
    if (which == HookRun::Which::post_start) {
        memory_.containers[container].post_start.message = error.message;
        ports_.events.emit(*pod_, container, EventType::warning, "FailedPostStartHook",
                           "PostStartHook failed");
        return;
    }
    log::warn("preStop hook failed", log::kv("uid", uid_), log::kv("container", container),
              log::kv("error", error.message));
    ports_.events.emit(*pod_, container, EventType::warning, "FailedPreStopHook",
                       "PreStopHook failed");
}

Task<void> Worker::see_hook_through(HookRun hook) {
    const std::string container = hook.container.name;
    const ContainerId run = hook.run;
    const HookRun::Which which = hook.which;
    auto done = co_await run_hook_until_cut(std::move(hook));
    ContainerMemory& its = memory_.containers[container];
    HookMemory& memory = which == HookRun::Which::post_start ? its.post_start : its.pre_stop;
    if (memory.run != run) {
        co_return;
    }
    memory.phase = done ? HookMemory::Phase::done : HookMemory::Phase::failed;
    memory.message.clear();
    if (!done && done.error().code != Code::cancelled) {
        tell_failed_hook(container, which, done.error());
    }
    wake_.set();
}

}  // namespace skiff::pods
