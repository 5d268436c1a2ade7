// Addresses for pods: who gives them (network_kind.h), and from which range. Reactor thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "app/network_kind.h"
#include "async/lanes.h"
#include "async/scope.h"
#include "base/random.h"
#include "config/settings.h"
#include "network/cni_attacher.h"
#include "network/routed_network.h"
#include "runtime/runtime.h"
#include "state/instance.h"

namespace skiff::app {

// Where the network's namespaces, interfaces and rules of an instance are.
[[nodiscard]] network::WireSettings wire_settings(const state::Instance& instance,
                                                  const std::vector<std::string>& node_ips);

// The ports of agents that pods do not reach: this one's, and that of a kubelet beside it.
[[nodiscard]] std::vector<std::uint16_t> agent_ports(const config::Settings& settings);

// Removes whatever pods of an instance have in the network, of any kind, while no agent of it runs
// (`skiff node reset`): first what plugins gave, which is recorded in
// root-dir; `remove_wires` after the pods' processes. Blocking; the first failure is returned.
[[nodiscard]] Result<void> detach_plugins(const state::Instance& instance,
                                          const config::Settings& settings);
[[nodiscard]] Result<void> remove_wires(const state::Instance& instance);

// Passes each pod to the attacher that it has its place from, and those that come to the one that
// is chosen. So the choice may change from one start of the agent to the next: pods that live keep
// what they have (also those that have the node's network), and what ended ones left goes.
class PodNetwork final : public network::PodAttacher {
public:
    enum class Company { cluster, alone };
    struct Parts {
        async::Reactor& reactor;
        async::BlockingPool& pool;
        Random& random;
        const state::Instance& instance;
    };
    // All outlive this object. `alone`: where the settings name no range, pods have a private one.
    PodNetwork(Parts parts, const config::Settings& settings,
               const std::vector<std::string>& node_ips, Company company);

    // What the agent before left, and to whom.
    struct Before {
        std::vector<PodUid> pods;  // of which the node may have something
        std::set<PodUid> started;  // those of them that have containers
    };
    // Takes over, chooses, and begins with the range that was known last. Fails for a podCIDR that
    // is none; what a pod left and cannot be removed is a warning.
    [[nodiscard]] async::Task<Result<void>> open(Before before);
    // Called when ready() has changed. One observer; it outlives this object, or is replaced by an
    // empty one.
    void set_observer(std::function<void()> changed) { changed_ = std::move(changed); }
    // What the cluster says (Node.spec.podCIDRs); empty: nothing yet. Kept for the next start,
    // which may have to do without the cluster. The observer is called when it holds.
    void tell_ranges(const std::vector<std::string>& texts);

    [[nodiscard]] NetworkKind kind() const { return kind_; }
    [[nodiscard]] network::RoutedNetwork& routed() { return routed_; }

    [[nodiscard]] async::Task<Result<network::Attachment>> attach(
        std::shared_ptr<const kube::Pod> pod) override;
    [[nodiscard]] async::Task<Result<void>> detach(PodUid pod) override;
    [[nodiscard]] bool serves(const PodUid& pod) const override;
    [[nodiscard]] std::optional<network::Attachment> find(const PodUid& pod) const override;
    [[nodiscard]] std::vector<PodUid> list() const override;
    [[nodiscard]] Result<void> ready() const override;
    // Ends with the background work; pods keep what they have.
    [[nodiscard]] async::Task<Result<void>> stop() override;

private:
    [[nodiscard]] async::Task<void> recover_wires(std::vector<PodUid> pods);
    [[nodiscard]] async::Task<void> choose();
    [[nodiscard]] async::Task<void> open_routed(std::vector<network::IpRange> ranges);
    // The last that the cluster said, else those of the settings; none: nobody knows.
    [[nodiscard]] std::vector<network::IpRange> known_ranges() const;
    [[nodiscard]] async::Task<void> take_ranges(std::vector<network::IpRange> ranges);
    // Whether a pod of the other kind has one of the addresses: both kinds give those of one range,
    // and neither knows of the other.
    [[nodiscard]] bool is_anothers(const PodUid& uid,
                                   const std::vector<std::string>& addresses) const;
    void changed() const;

    const state::Instance& instance_;
    const std::string wanted_;  // podNetwork
    const std::filesystem::path cni_folder_;
    std::vector<std::string> given_;  // by the settings, or the private range
    async::BlockingPool plugins_;     // its threads may be held up
    network::RoutedNetwork routed_;
    network::CniAttacher cni_;
    NetworkKind kind_ = NetworkKind::node;
    bool had_wires_ = false;     // an agent of this boot had a built-in network
    std::set<PodUid> in_nodes_;  // pods that began with the node's network
    async::Lanes files_;
    async::Scope scope_;
    std::function<void()> changed_;
    std::vector<std::string> told_;  // the last that the cluster said
};

}  // namespace skiff::app
