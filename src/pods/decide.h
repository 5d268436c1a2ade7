// The heart: what should happen next to one pod, and what its status is. A pure function of the
// desired pod, what the node has of it, what was tried so far, and the time. No I/O, no clock.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "kube/types.h"
#include "pods/observed.h"
#include "pods/ports.h"
#include "pods/probe_ports.h"
#include "pods/restart.h"

namespace skiff::pods {

inline constexpr Duration kDefaultGrace = std::chrono::seconds(30);
// Nobody is killed faster, not even by a forced deletion (contract row 38).
inline constexpr Duration kGraceMin = std::chrono::seconds(2);

// The API server takes any number of seconds; so many are for ever, and sums with it do not wrap.
[[nodiscard]] Duration bounded_grace(std::int64_t seconds);
// What the pod's spec gives it to end in.
[[nodiscard]] Duration spec_grace(const kube::Pod& pod);

// Something that takes time: how far it is.
struct Step {
    enum class Phase { idle, running, done, failed };
    Phase phase = Phase::idle;
    // Of the last failure: kept while a retry runs, so that the status does not flicker.
    Code code = Code::internal;
    std::string reason;
    std::string message;
    WallTime retry_at;           // when phase is failed
    std::uint32_t failures = 0;  // in a row

    [[nodiscard]] bool runs() const { return phase == Phase::running; }
    [[nodiscard]] bool done() const { return phase == Phase::done; }
    // Not begun, or failed and due.
    [[nodiscard]] bool due(WallTime now) const {
        return phase == Phase::idle || (phase == Phase::failed && retry_at <= now);
    }
};

// A lifecycle hook of one run of a container: how far it is.
struct HookMemory {
    ContainerId run;
    enum class Phase { running, done, failed } phase = Phase::running;
    std::string message;  // of the last failure, until one succeeds
    WallTime until;       // preStop: when it is cut off
};

// What the worker remembers of one container between decisions.
struct ContainerMemory {
    Step start;                     // of the next run
    std::uint32_t start_round = 0;  // of that start (rounds.h)
    std::optional<CrashBackOff> back_off;
    // A stop was asked for: when what is left is killed.
    std::optional<WallTime> stop_by;
    // Stopping failed: when to try again.
    std::optional<WallTime> stop_retry_at;
    // start_again: it was stopped because its definition changed, so it starts again whatever the
    // policy says. restart: it was stopped for its health, so it starts again whatever it ended
    // with, but as one that failed.
    enum class AfterStop { policy, start_again, restart } after_stop = AfterStop::policy;
    HookMemory post_start;
    HookMemory pre_stop;
    // Says the CrashLoopBackOff of which run was told by an event.
    std::optional<std::uint32_t> told_back_off;
    // The run that began under this worker, until an event told that its guest could not start.
    std::optional<std::uint32_t> begun;
};

struct Admission {
    enum class Verdict { pending, admitted, rejected } verdict = Verdict::pending;
    std::string reason;   // OutOfcpu …
    std::string message;  // without "Pod was rejected: "
};

struct Termination {
    Duration grace{};
    WallTime kill_at;
};

// Why the node itself ends a pod that is not being deleted: pressure, a critical pod that needs its
// room, the machine's shutdown (contract rows 14, 62, 64). Told by the pod's status and by its
// condition DisruptionTarget, and found again there by the next agent.
struct Eviction {
    std::string reason;             // status.reason: Evicted, Preempting, Terminated
    std::string message;            // status.message
    std::string condition_message;  // of DisruptionTarget
    std::optional<Duration> grace;  // at most this; nullopt: the pod's own
};

// Why a resize is not carried out.
struct PendingResize {
    std::string reason;  // Deferred: tried again when there is room; Infeasible
    std::string message;
    std::int64_t generation = 0;  // of the spec that asks for it
};

// What the worker remembers of the pod. Lost with the agent: everything here can be found again.
struct PodMemory {
    Admission admission;
    enum class Object { present, gone } object = Object::present;
    // The machine was booted anew: init containers run again before the others.
    enum class Boot { same, anew } boot = Boot::same;
    Step sandbox;    // Runtime::prepare_pod and Network::set_up
    Step volumes;    // Volumes::set_up
    Step tear_down;  // Volumes and Network
    Step removal;    // Runtime::remove_pod, after the object is gone
    std::optional<Termination> termination;
    std::map<std::string, ContainerMemory> containers;
    enum class Finish { not_asked, asked } finish = Finish::not_asked;
    std::optional<Eviction> eviction;
    // The share of the node that prepare_pod() or the last resize gave the pod.
    std::optional<PodSandbox> share;
    std::optional<PendingResize> resize_pending;
    // The generation of the spec whose resources were allocated last.
    std::optional<std::int64_t> resize_generation;
    Step resize;  // towards what was allocated
};

// What does not change from pod to pod.
struct NodeFacts {
    std::string node_name;
    std::vector<std::string> host_ips;
    kube::ResourceList allocatable;
    Bytes memory_capacity;  // of the machine
    Duration crash_back_off_max = kCrashBackOffMax;
    // What containers with `stdin: true` or `tty: true` get: nothing, so that they read the end of
    // their input at once; this process's (`skiff run -i`); or clients who attach.
    enum class GuestInput { none, given, attached } guest_input = GuestInput::none;
    // Where servers listen that share the machine's network: a node's only on its own address,
    // those of `skiff run` on every one, localhost among them.
    enum class Listening { node_address, everywhere } listening = Listening::node_address;
    // Of RuntimeClasses; the first one is that of pods without a class.
    std::vector<std::string> handlers = {"wasmtime", "pulley", "wasmi"};
    // Of pods without `skiff/egress`.
    Egress default_egress;
};

struct Situation {
    const kube::Pod& pod;
    const std::vector<ContainerRecord>& records;
    // The status decided last; at first, the API server's.
    const kube::PodStatus& previous;
    const PodMemory& memory;
    const NodeFacts& node;
    // Of the sandbox, once it is prepared.
    const std::vector<std::string>& pod_ips;
    // nullptr while nobody probes.
    const ProbeResults* probes = nullptr;
    WallTime now;
};

struct Action {
    enum class Kind {
        prepare,           // sandbox and network
        mount,             // volumes
        start,             // `container`: image, compile, start
        stop,              // `id` within `grace`
        cancel_starts,     // nothing may start any more
        resize,            // what runs gets the limits that were allocated
        remove_container,  // `id`, an ended record that nobody needs
        tear_down,         // volumes and network of an ended pod
        finish,            // StatusSink::finish
        remove_pod,        // everything that is left on the node
        retire,            // nothing is left: the worker may end
        post_start,        // the hook of `id`
        pre_stop,          // the hook of `id`, which is to be stopped by `stop_by`
    };
    Kind kind = Kind::prepare;
    std::string container;
    ContainerKind container_kind = ContainerKind::regular;
    std::uint32_t attempt = 0;
    std::uint32_t round = 0;  // start: rounds.h
    ContainerId id;
    Duration grace{};
    WallTime stop_by;
    CrashBackOff back_off;  // start: what to remember
    ContainerMemory::AfterStop after_stop = ContainerMemory::AfterStop::policy;
    std::string message;  // stop, pre_stop: of the Killing event; empty for none
};

// A container that waits for its back-off to end: to be told by one event for each run.
struct BackOffNotice {
    std::string container;
    std::uint32_t attempt = 0;
};

struct Decision {
    kube::PodStatus status;
    std::vector<Action> actions;
    // When to decide again even if nothing happens.
    std::optional<WallTime> wake;
    std::optional<Termination> termination;
    std::vector<BackOffNotice> back_offs;
};

[[nodiscard]] Decision decide(const Situation& situation);

// True while the pod counts against the node's resources.
[[nodiscard]] bool is_terminating(const Situation& situation);

}  // namespace skiff::pods
