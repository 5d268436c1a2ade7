// The Network port. With an attacher each pod has a namespace and addresses of its own; without one
// (`skiff run`) a pod has the node's, and a container either shares the node's namespace or has an
// empty one.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "async/lanes.h"
#include "network/dns.h"
#include "network/egress.h"
#include "network/pod_attacher.h"
#include "network/ports_taken.h"
#include "pods/ports.h"
#include "state/paths.h"

namespace skiff::network {

struct NetworkSettings {
    std::vector<std::string> node_ips;  // as in the node's status; never loopback
    std::string node_hostname;
    ClusterDns cluster_dns;
    // Empty: pods with the Default policy get no name servers.
    std::filesystem::path resolv_conf = "/etc/resolv.conf";
    std::filesystem::path node_hosts = "/etc/hosts";
    // Gives pods without hostNetwork that it serves their addresses; outlives the network. nullptr:
    // nobody does.
    PodAttacher* attacher = nullptr;
    // Holds attached pods to what they may reach; outlives the network. nullptr: nobody does.
    EgressControl* egress = nullptr;
};

// Reactor thread; files are written in the pool, for one pod one piece at a time: a tear_down()
// that follows a cancelled set_up() waits for what that one began.
class NodeNetwork final : public pods::Network {
public:
    // All outlive this object.
    NodeNetwork(async::Executor executor, NetworkSettings settings, const state::Paths& paths,
                async::BlockingPool& pool, pods::EventSink& events);

    // Attaches the pod, writes its hosts and resolv.conf (again only if they changed), and puts
    // into force what it may reach.
    [[nodiscard]] async::Task<Result<pods::PodNetwork>> set_up(const kube::Pod& pod) override;
    // Waits only where a port is taken and no pod of ours has it: the process is looked for; and
    // where what the pod may reach has changed.
    [[nodiscard]] async::Task<Result<pods::NetworkMode>> mode_for(
        const kube::Pod& pod, const kube::Container& container,
        bool module_can_open_sockets) override;
    [[nodiscard]] async::Task<Result<void>> tear_down(const PodUid& pod) override;

    // Waits for the file work in progress. Before destruction.
    [[nodiscard]] async::Task<Result<void>> stop() { return file_work_.stop(); }

private:
    // Which container a port of the node was last given to; the ports of a pod go with it.
    struct Holder {
        PodUid pod;
        PodName pod_name;
        std::string container;
    };
    using Port = std::pair<Transport, std::uint16_t>;

    // Whether the pod has addresses of its own.
    [[nodiscard]] bool is_attached(const kube::Pod& pod) const {
        return settings_.attacher != nullptr && !pod.spec.hostNetwork &&
               settings_.attacher->serves(PodUid(pod.metadata.uid));
    }
    void complain(const kube::Pod& pod, const std::vector<FormedDns::Complaint>& complaints);
    [[nodiscard]] async::Task<Result<void>> check_port(const kube::Pod& pod,
                                                       const kube::Container& container,
                                                       const kube::ContainerPort& port);
    // The process that holds a port, as last seen, or as a look at /proc now says: one look at a
    // time, none soon after another.
    [[nodiscard]] async::Task<std::string> process_that_holds(Port port);

    NetworkSettings settings_;
    state::Paths paths_;
    async::BlockingPool& pool_;
    async::Lanes file_work_;  // by pod uid
    pods::EventSink& events_;
    std::map<Port, Holder> holders_;
    struct Seen {
        std::string process;
        SteadyTime at;
    };
    std::map<Port, Seen> seen_;
    async::Semaphore looking_{1};
    std::optional<SteadyTime> last_look_;
    // The complaints a pod was told of, so that each resync does not repeat them.
    std::map<PodUid, std::string> told_;
};

}  // namespace skiff::network
