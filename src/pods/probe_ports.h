// The ports behind probes and lifecycle hooks; the rules of ports.h hold for them, too.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "async/task.h"
#include "base/result.h"
#include "base/time.h"
#include "base/types.h"
#include "kube/types.h"

namespace skiff::pods {

using async::Task;

// ---------------------------------------------------------------------------------------------------------------
// Commands of probes and hooks: implemented by app of exec_in() and a pipe.

struct CommandRun {
    ContainerId container;
    std::vector<std::string> command;
    // From when it runs; what must be compiled before takes its own time.
    Duration timeout{};
};

struct CommandEnd {
    int exit_code = 0;
    // Both streams as they came, at most Commands::kOutputBytesMax.
    std::string output;
};

class Commands {
public:
    static constexpr std::size_t kOutputBytesMax = 10 << 10;
    virtual ~Commands() = default;
    // Runs a command in a running container to its end, without input. One that outlasts its
    // timeout, or whose caller is cancelled, is killed; the former fails with timeout. Fails as
    // Runtime::exec() when it cannot run.
    [[nodiscard]] virtual Task<Result<CommandEnd>> run(CommandRun run) = 0;
};

// ---------------------------------------------------------------------------------------------------------------
// Probes (contract row 36), and the one request that a hook may be (row 37): implemented by probes.

enum class ProbeKind { startup, readiness, liveness };
enum class ProbeResult { unknown, success, failure };

struct ProbeResults {
    // Keyed by container name; absent means no such probe.
    std::map<std::string, ProbeResult> startup;
    std::map<std::string, ProbeResult> readiness;
    std::map<std::string, ProbeResult> liveness;
};

// One running container that has probes.
struct ProbeTarget {
    ContainerId id;
    // Its spec; the commands of its probes have their `$(VAR)` expanded.
    kube::Container container;
    WallTime started;
    // What an agent before this one knew of this very run.
    enum class Known { nothing, started, ready } known = Known::nothing;
};

// What is to be probed of a pod.
struct ProbeOrder {
    std::shared_ptr<const kube::Pod> pod;
    std::string address;  // the pod's, numeric; empty while it has none
    std::vector<ProbeTarget> targets;
    // Of a pod that ends only readiness is looked at.
    enum class Scope { all, readiness } scope = Scope::all;
};

// An httpGet hook.
struct HookRequest {
    kube::HTTPGetAction action;
    std::string address;  // the pod's
    kube::Container container;
    Duration timeout{};
};

class Probes {
public:
    virtual ~Probes() = default;
    // The order replaces the pod's order before. Runs that are still in it go on being probed, new
    // ones begin with the values of contract §4.4, the others' results are forgotten. The events
    // Unhealthy and ProbeWarning are the implementation's.
    virtual void apply(ProbeOrder order) = 0;
    // Of the runs in the pod's last order.
    [[nodiscard]] virtual ProbeResults results(const PodUid& pod) const = 0;
    // Called on the reactor thread after results(pod) changed, never inside apply(). One observer.
    virtual void set_observer(std::function<void(const PodUid&)> observer) = 0;
    // The pod is gone.
    virtual void forget(const PodUid& pod) = 0;

    enum class HookAnswer { given, given_without_tls };
    // Any response is fine, whatever its status (as with a kubelet); an https server that speaks
    // plain HTTP is asked again without TLS, and without Authorization. Fails with invalid (no such
    // port), unavailable or timeout.
    [[nodiscard]] virtual Task<Result<HookAnswer>> call_hook(HookRequest request) = 0;
};

}  // namespace skiff::pods
