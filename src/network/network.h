// The Network port while pods have no addresses of their own: a pod has the node's, and a container
// either shares the node's namespace or has an empty one.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "async/lanes.h"
#include "network/dns.h"
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
};

// Reactor thread; files are written in the pool, for one pod one piece at a time: a tear_down()
// that follows a cancelled set_up() waits for what that one began.
class NodeNetwork final : public pods::Network {
public:
    // All outlive this object.
    NodeNetwork(async::Executor executor, NetworkSettings settings, const state::Paths& paths,
                async::BlockingPool& pool, pods::EventSink& events);

    // Writes the pod's hosts and resolv.conf (again only if they changed).
    [[nodiscard]] async::Task<Result<pods::PodNetwork>> set_up(const kube::Pod& pod) override;
    [[nodiscard]] Result<pods::NetworkMode> mode_for(const kube::Pod& pod,
                                                     const kube::Container& container,
                                                     bool module_can_open_sockets) override;
    [[nodiscard]] async::Task<Result<void>> tear_down(const PodUid& pod) override;

    // Waits for the file work in progress. Before destruction.
    [[nodiscard]] async::Task<void> stop() { return file_work_.stop(); }

private:
    // Which container a port of the node was last given to; the ports of a pod go with it.
    struct Holder {
        PodUid pod;
        PodName pod_name;
        std::string container;
    };
    using Port = std::pair<Protocol, std::uint16_t>;

    void complain(const kube::Pod& pod, const std::vector<FormedDns::Complaint>& complaints);
    [[nodiscard]] Result<void> check_port(const kube::Pod& pod, const kube::Container& container,
                                          const kube::ContainerPort& port) const;

    NetworkSettings settings_;
    state::Paths paths_;
    async::Lanes file_work_;  // by pod uid
    pods::EventSink& events_;
    std::map<Port, Holder> holders_;
    // The complaints a pod was told of, so that each resync does not repeat them.
    std::map<PodUid, std::string> told_;
};

}  // namespace skiff::network
