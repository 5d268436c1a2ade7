// Addresses for pods: the built-in network of a node, and from which range. Reactor thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/lanes.h"
#include "async/scope.h"
#include "base/random.h"
#include "config/settings.h"
#include "network/routed_network.h"
#include "runtime/runtime.h"
#include "state/instance.h"

namespace skiff::app {

// Where the network's namespaces, interfaces and rules of an instance are.
[[nodiscard]] network::WireSettings wire_settings(const state::Instance& instance,
                                                  const std::vector<std::string>& node_ips);

class PodNetwork {
public:
    enum class Company { cluster, alone };
    struct Parts {
        async::Executor executor;
        async::BlockingPool& pool;
        Random& random;
        const state::Instance& instance;
    };
    // All outlive this object. `alone`: where the settings name no range, pods have a private one.
    PodNetwork(Parts parts, const config::Settings& settings,
               const std::vector<std::string>& node_ips, Company company);

    // Takes over what the agent before left to `pods`, and begins with the range that was known
    // last. Fails for a podCIDR that is none; what a pod left and cannot be removed is a warning.
    [[nodiscard]] async::Task<Result<void>> open(std::vector<PodUid> pods);
    // What the cluster says (Node.spec.podCIDRs); empty: nothing yet. Kept for the next start,
    // which may have to do without the cluster. `changed` is called when it holds.
    void tell_ranges(const std::vector<std::string>& texts, std::function<void()> changed);

    [[nodiscard]] network::RoutedNetwork& attacher() { return network_; }
    // Ends with the background work; pods keep what they have.
    [[nodiscard]] async::Task<void> stop();

private:
    [[nodiscard]] async::Task<void> take_ranges(std::vector<network::IpRange> ranges,
                                                std::function<void()> changed);

    const state::Instance& instance_;
    std::vector<std::string> given_;  // by the settings, or the private range
    network::RoutedNetwork network_;
    async::Lanes files_;
    async::Scope scope_;
    std::vector<std::string> told_;  // the last that the cluster said
};

}  // namespace skiff::app
