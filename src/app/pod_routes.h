// The way to the pods of other nodes: watches the cluster's Nodes, keeps the kernel's routes in
// step with them, and says of this node what the others need (flannel's annotations). Reactor
// thread.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "async/event.h"
#include "async/lanes.h"
#include "async/scope.h"
#include "base/random.h"
#include "config/settings.h"
#include "kube/client_reflector.h"
#include "kube/node_outline.h"
#include "network/peer_routes.h"
#include "network/routed_network.h"
#include "state/instance.h"

namespace skiff::app {

class PodRoutes {
public:
    struct Parts {
        async::Executor executor;
        kube::ApiClient& client;
        const Clock& clock;
        Random& random;
        async::BlockingPool& pool;
        network::RoutedNetwork& network;
    };
    struct Told {
        // Of a Warning event about the node.
        std::function<void(std::string_view reason, const std::string& message)> event;
        // problem() has changed.
        std::function<void()> changed;
    };
    // All parts outlive this object.
    PodRoutes(Parts parts, const config::Settings& settings, const state::Instance& instance,
              const std::vector<std::string>& node_ips, Told told);

    // Until the Nodes were listed once, what the agent before left in the kernel stays as it is.
    void start();
    // The own Node, at every change of it.
    void see_own_node(const kube::Node& node);
    // The ranges of the node's pods have changed.
    void wake() { wake_.set(); }
    // Why no pod of another node is reached; nullopt while all is well.
    [[nodiscard]] const std::optional<std::string>& problem() const { return problem_; }
    // Ends; the kernel goes on as it is.
    [[nodiscard]] async::Task<void> stop();

private:
    struct Work;

    void on_node(const kube::Change<kube::NodeOutline>& change);
    [[nodiscard]] network::RouteBackend backend(const network::NodeOutlines& nodes) const;
    [[nodiscard]] network::LocalNode self() const;
    [[nodiscard]] async::Task<void> run();
    [[nodiscard]] async::Task<void> wake_when_listed();
    [[nodiscard]] async::Task<void> look();
    [[nodiscard]] async::Task<void> apply(std::shared_ptr<Work> work);
    [[nodiscard]] async::Task<Result<void>> publish(network::LocalNode self,
                                                    network::RouteBackend backend);
    void tell_if_forbidden();
    void tell_left_out(std::vector<network::PeerComplaint> left_out);
    void set_problem(std::optional<std::string> problem);

    Parts parts_;
    const config::Settings& settings_;
    std::string instance_;
    std::vector<network::IpAddress> addresses_;
    Told told_;
    kube::Reflector<kube::NodeOutline> nodes_;
    std::map<std::string, std::size_t> fingerprints_;  // of Nodes by name: what has changed
    std::optional<std::map<std::string, std::string>> own_annotations_;
    std::set<network::PeerComplaint> left_out_;  // those that the log has already
    std::optional<std::string> problem_;
    bool unpublished_ = false;  // the own Node lacks what others need
    std::string logged_backend_;
    enum class Forbidden { no, told } forbidden_ = Forbidden::no;
    async::Event wake_;
    async::Lanes lanes_;
    async::Scope scope_;
};

}  // namespace skiff::app
