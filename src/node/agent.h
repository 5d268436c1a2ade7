// The node in the cluster: registers it, keeps its lease and its status, watches its own object
// (contract rows 5–8, 11). Reactor thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/event.h"
#include "async/scope.h"
#include "base/random.h"
#include "kube/client_reflector.h"
#include "node/events.h"
#include "node/status.h"

namespace skiff::node {

// Asked at every status update; each may be empty. Called on the reactor thread, must not block.
struct StatusSources {
    std::function<std::vector<kube::ContainerImage>()> images;
    // Why the node cannot run pods now ("runtime is down"), one clause each.
    std::function<std::vector<std::string>()> problems;
    // Of MemoryPressure, DiskPressure and PIDPressure those that hold.
    std::function<std::vector<std::string>()> pressures;
    // Told, not asked: the own Node as the server shows it, whenever it has changed.
    std::function<void(const kube::Node&)> changed;
};

// How long a node that is not ready waits before it looks at itself again, after `looks` looks that
// found it so: often at first, for the cluster waits for a new node, then doubled up to `longest`,
// the pause of a ready one.
[[nodiscard]] Duration pause_until_ready(int looks, Duration longest);

class NodeAgent {
public:
    // All references outlive it.
    NodeAgent(async::Executor executor, kube::ApiClient& client, const Clock& clock, Random& random,
              EventRecorder& events, NodeSettings settings, StatusSources sources);
    NodeAgent(const NodeAgent&) = delete;
    NodeAgent& operator=(const NodeAgent&) = delete;

    // Begins to register (for as long as it takes), then heartbeats for ever.
    void start();
    // Ends all of it. The Node object stays: the cluster notices by the lease.
    [[nodiscard]] async::Task<void> stop();
    // Resolves when the Node object exists and was read once: pods may be watched from now on.
    [[nodiscard]] async::Task<Result<void>> wait_registered(SteadyTime deadline);
    // Something that the status shows has changed: report it soon.
    void poke() { poke_.set(); }
    // Tells an event about the node.
    void tell(pods::EventType type, std::string_view reason, std::string_view message);

    // The own Node as the server last showed it; nullptr before.
    [[nodiscard]] std::shared_ptr<const kube::Node> node() const;
    // When the lease was last renewed; nullopt before. Older than the lease's duration means that
    // the cluster takes the node for dead, and /healthz should say so (TRAPS 27).
    [[nodiscard]] std::optional<SteadyTime> last_heartbeat() const { return last_heartbeat_; }
    [[nodiscard]] bool heartbeat_is_fresh() const;

private:
    [[nodiscard]] async::Task<void> run();
    [[nodiscard]] async::Task<Result<void>> register_node();
    [[nodiscard]] async::Task<Result<void>> reconcile(kube::Node wanted);
    [[nodiscard]] async::Task<Result<std::string>> server_version();
    [[nodiscard]] async::Task<void> keep_lease();
    [[nodiscard]] async::Task<Result<void>> renew_lease();
    [[nodiscard]] async::Task<void> keep_status();
    // Where the node's present status is read: the watch may lag behind what somebody else wrote.
    enum class Present { watched, server };
    [[nodiscard]] async::Task<Result<void>> report_status(Present present);
    [[nodiscard]] async::Task<Result<kube::Node>> known_node(Present present);
    [[nodiscard]] Result<kube::NodeStatus> wanted_status(const kube::NodeStatus& previous);
    void tell_disk_capacity();
    void emit_flips(const kube::NodeStatus& before, const kube::NodeStatus& after);
    void on_own_node(const kube::Change<kube::Node>& change);

    kube::ApiClient& client_;
    const Clock& clock_;
    Random& random_;
    EventRecorder& events_;
    NodeSettings settings_;
    StatusSources sources_;
    std::string kubelet_version_ = std::string(kKubeletVersion);
    std::string node_uid_;
    kube::Reflector<kube::Node> own_;
    async::Event registered_;
    async::Event poke_;
    std::optional<kube::Lease> lease_;
    std::optional<SteadyTime> last_heartbeat_;
    std::optional<SteadyTime> last_report_;
    Duration report_after_{};
    bool reported_ready_ = false;
    bool told_unschedulable_ = false;
    async::Scope scope_;
};

}  // namespace skiff::node
