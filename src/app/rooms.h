// The composition that every mode of the agent shares: what runs pods on this machine. A cluster
// node, a standalone node, `skiff run` and the benchmarks differ only in what lies outside of it.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/attachments.h"
#include "app/container_commands.h"
#include "app/container_looks.h"
#include "app/event_ring.h"
#include "app/image_rooms.h"
#include "app/metered_ports.h"
#include "app/metered_runtime.h"
#include "app/meters.h"
#include "app/node_stats.h"
#include "app/pod_network.h"
#include "app/pod_traffic.h"
#include "async/blocking.h"
#include "async/scope.h"
#include "base/random.h"
#include "base/time.h"
#include "config/settings.h"
#include "images/node_images.h"
#include "network/network.h"
#include "pods/exec.h"
#include "pods/pods.h"
#include "probes/prober.h"
#include "runtime/runtime.h"
#include "server/kubelet_api.h"
#include "state/instance.h"
#include "volumes/volumes.h"

namespace skiff::app {

// What differs between the modes. All outlive the rooms.
struct Outside {
    pods::Objects& objects;
    pods::EventSink& events;
    pods::StatusSink& status;
    // Containers' standard input, for `skiff run -i`; -1 for none.
    int stdin_fd = -1;
    os::OnParentDeath lifetime = os::OnParentDeath::live_on;
    // By which pods choose this node; both empty: no pod is refused for its selectors.
    pods::PodsSettings::LabelSource node_labels{};
    std::function<void(pods::NodeState&)> observe_node{};  // PodsSettings::observe_node
    // Who gives pods addresses of their own; nullopt: they have the node's.
    std::optional<PodNetwork::Company> pod_network{};
};

// The process's own things. Made first, destroyed last.
struct Base {
    async::Reactor reactor;
    SystemClock clock;
    SystemRandom random;
    Meters meters;
    async::BlockingPool pool{reactor, 4, 4096};
    EventRing events;             // of pods and node, for `skiff events`
    os::IdMapProbe id_map_probe;  // one that asks nothing, unless the verb runs pods
    // For what lies on foreign filesystems, which may hang.
    async::BlockingPool foreign_pool{reactor, 4, 1024};
};

// Where the instance's files are, from the settings.
[[nodiscard]] state::Paths paths_of(const config::Settings& settings);
// The runtime as the settings want it.
[[nodiscard]] runtime::RuntimeSettings runtime_settings(const config::Settings& settings,
                                                        os::OnParentDeath lifetime);
// The node's addresses: nodeIP, else detected, else (only where `alone` says that nobody needs one)
// none.
enum class Company { cluster, alone };
[[nodiscard]] Result<std::vector<std::string>> node_addresses(const config::Settings& settings,
                                                              Company company);

// Passes containers their standard input on the way to the runtime.
class StdinRuntime;

class Rooms {
public:
    // Opens the state, adopts what runs. `settings` were resolved; `instance` and `outside` outlive
    // the rooms.
    [[nodiscard]] static async::Task<Result<std::unique_ptr<Rooms>>> create(
        Base& base, const config::Settings& settings, const state::Instance& instance,
        Outside outside, std::vector<std::string> node_ips);
    ~Rooms();
    Rooms(const Rooms&) = delete;
    Rooms& operator=(const Rooms&) = delete;

    [[nodiscard]] pods::Pods& pods() { return *pods_; }
    [[nodiscard]] const state::Paths& paths() const { return instance_.paths(); }
    [[nodiscard]] pods::EventSink& events() { return *events_; }
    [[nodiscard]] images::Store& store() { return image_rooms_->store(); }
    [[nodiscard]] ImageRooms& image_rooms() { return *image_rooms_; }
    [[nodiscard]] images::NodeImages& images() { return *images_; }
    [[nodiscard]] runtime::KeeperRuntime& runtime() { return *runtime_; }
    [[nodiscard]] async::BlockingPool& pool() { return base_.pool; }
    // nullptr where pods have the node's addresses.
    [[nodiscard]] PodNetwork* pod_network() { return pod_network_ ? &*pod_network_ : nullptr; }
    [[nodiscard]] pods::Volumes& volumes() { return *volumes_; }
    [[nodiscard]] const MeteredVolumes& metered_volumes() const { return *metered_volumes_; }
    [[nodiscard]] const ContainerLooks& looks() const { return *looks_; }
    [[nodiscard]] const PodTraffic& traffic() const { return *traffic_; }
    [[nodiscard]] probes::Prober& prober() { return *prober_; }
    // For `kubectl logs` and `skiff run`.
    [[nodiscard]] pods::LogSource& logs();
    // For `kubectl exec` and `skiff exec`. Fails with not_found when there is no such pod here,
    // else as pods::exec_command() does.
    [[nodiscard]] async::Task<Result<std::unique_ptr<pods::ExecSession>>> exec(
        PodName pod, pods::ExecRequest request);
    // For `kubectl attach`.
    [[nodiscard]] Attachments& attachments() { return *attachments_; }
    // For the kubelet API.
    [[nodiscard]] const server::NodeView& view() const;
    // For the node's status.
    [[nodiscard]] std::vector<kube::ContainerImage> image_list() const;

    // Ends every task; containers go on (or end with their keeper, if `lifetime` says so).
    [[nodiscard]] async::Task<void> stop();

private:
    Rooms(Base& base, const config::Settings& settings, const state::Instance& instance);
    [[nodiscard]] async::Task<Result<void>> open_images(const config::Settings& settings,
                                                        Outside outside);
    [[nodiscard]] async::Task<Result<void>> open_runtime(const config::Settings& settings,
                                                         Outside outside);
    [[nodiscard]] Result<void> open_egress(const config::Settings& settings,
                                           const Outside& outside);
    [[nodiscard]] async::Task<Result<void>> open_network(const config::Settings& settings,
                                                         const Outside& outside,
                                                         std::vector<std::string> node_ips);
    // The ports that pods get.
    [[nodiscard]] pods::Ports meter(Outside outside);

    class PodLogs;
    class PodView;

    Base& base_;
    const state::Instance& instance_;
    pods::EventSink* events_ = nullptr;
    std::unique_ptr<ImageRooms> image_rooms_;
    std::optional<images::NodeImages> images_;
    std::unique_ptr<runtime::KeeperRuntime> runtime_;
    std::unique_ptr<StdinRuntime> stdin_runtime_;
    PodStarts starts_;
    std::optional<MeteredRuntime> metered_runtime_;
    std::optional<MeteredImages> metered_images_;
    std::optional<MeteredVolumes> metered_volumes_;
    std::optional<MeteredStatus> metered_status_;
    std::optional<ContainerLooks> looks_;
    std::optional<volumes::PodVolumes> volumes_;
    std::optional<PodNetwork> pod_network_;
    std::optional<network::EgressControl> egress_;
    std::optional<network::NodeNetwork> network_;
    std::optional<PodTraffic> traffic_;
    std::optional<ContainerCommands> commands_;
    std::optional<probes::Prober> prober_;
    std::unique_ptr<pods::Pods> pods_;
    std::optional<StatsCollector> stats_;
    std::unique_ptr<PodLogs> logs_;
    std::optional<Attachments> attachments_;
    std::unique_ptr<PodView> view_;
};

}  // namespace skiff::app
