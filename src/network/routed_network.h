// The built-in network: each pod has a wire (wire.h) to the node, which routes.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "async/lanes.h"
#include "async/scope.h"
#include "base/random.h"
#include "network/address_pool.h"
#include "network/firewall.h"
#include "network/pod_attacher.h"
#include "network/pod_record.h"
#include "network/wire.h"

namespace skiff::network {

struct RoutedSettings {
    WireSettings wire;
    std::filesystem::path records;  // folder of a record for each pod; dies with the boot
    std::filesystem::path quarantine;
    // Wires that are laid ahead, so that a pod need not wait for one.
    std::size_t prepared_max = 4;
    // Puts the egress table of most pods into force in a namespace that is laid ahead, and returns
    // its script; in the pool. Empty: nobody does. After a failure the pod comes without.
    std::function<Result<std::string>(const std::filesystem::path& name_space)> close_ahead;
    // The instance's table is put back after this long at the latest when somebody removed it, as a
    // restart of Debian's nftables.service does.
    Duration repair_every = std::chrono::minutes(1);
    // What ready() advises while no range is known.
    std::string remedy;
};

class RoutedNetwork final : public PodAttacher {
public:
    // All outlive this object.
    RoutedNetwork(async::Executor executor, RoutedSettings settings, async::BlockingPool& pool,
                  Random& random);

    // Takes over what the agent before left, and removes what belongs to none of `pods`: those of
    // which the node may have something. Once, before anything else. Goes on after failures to
    // remove something and returns the first of them.
    [[nodiscard]] async::Task<Result<void>> recover(std::vector<PodUid> pods);
    // From where pods get their addresses, one for each range, the preferred first. Pods that have
    // some keep them. Turns on forwarding and masquerading.
    [[nodiscard]] async::Task<Result<void>> set_ranges(std::vector<IpRange> ranges);
    [[nodiscard]] std::vector<IpRange> ranges() const;
    // From now on: where no pod will come.
    void lay_none_ahead() { settings_.prepared_max = 0; }
    // Beside the node's own ranges, where pods are known by their own addresses: those of other
    // nodes. Elsewhere they have the node's.
    [[nodiscard]] async::Task<Result<void>> set_direct(std::vector<IpRange> ranges);
    // The largest packet of pods, of those that are there and of those that come. The first
    // failure is returned; the pod's next attach() tries again.
    [[nodiscard]] async::Task<Result<void>> set_mtu(std::uint32_t mtu);

    [[nodiscard]] async::Task<Result<Attachment>> attach(
        std::shared_ptr<const kube::Pod> pod) override;
    [[nodiscard]] async::Task<Result<void>> detach(PodUid pod) override;
    [[nodiscard]] bool serves(const PodUid&) const override { return true; }
    [[nodiscard]] std::optional<Attachment> find(const PodUid& pod) const override;
    [[nodiscard]] std::vector<PodUid> list() const override;
    [[nodiscard]] Result<void> ready() const override;
    [[nodiscard]] async::Task<Result<void>> stop() override;

    // Wires that wait for a pod. For tests.
    [[nodiscard]] std::size_t prepared() const { return prepared_.size(); }
    // Resolves when as many as there should be wait, or one could not be laid. For tests.
    [[nodiscard]] async::Task<Result<void>> prepare() { return background_.join(); }

private:
    struct Found;
    struct Work;
    struct Laid;

    [[nodiscard]] Result<std::vector<IpAddress>> allocate();
    void release(const std::vector<IpAddress>& addresses);
    [[nodiscard]] Attachment attachment_of(const PodRecord& record) const;
    [[nodiscard]] std::uint32_t next_number();
    // The pod's record, made if it has none.
    [[nodiscard]] Result<std::shared_ptr<Work>> begin(const kube::Pod& pod);
    [[nodiscard]] async::Task<Result<void>> carry_out(PodUid uid, std::shared_ptr<Work> work);
    [[nodiscard]] async::Task<Result<void>> apply_firewall();
    [[nodiscard]] async::Task<void> keep_firewall();
    void refill();
    [[nodiscard]] async::Task<void> prepare_wires();

    RoutedSettings settings_;
    Random& random_;
    async::Lanes lanes_;  // by pod uid, and kFirewallLane, kPrepareLane
    async::Scope background_;
    async::Scope upkeep_;  // apart: background_ is joined
    std::vector<RangePool> pools_;
    std::vector<IpRange> direct_;
    std::optional<Error> problem_;  // why forwarding does not work
    std::map<PodUid, PodRecord> pods_;
    std::set<std::pair<PortMap, IpAddress>> led_;  // ports that the firewall leads to pods
    std::deque<std::shared_ptr<Laid>> prepared_;
    std::uint32_t last_number_ = 0;
    bool is_kept_ = false;  // keep_firewall() runs
    bool preparing_ = false;
    bool stopping_ = false;
};

// Removes every wire, rule and record of an instance, while no agent of it runs (`skiff node
// reset`). Blocking. Goes on after failures and returns the first of them.
[[nodiscard]] Result<void> remove_routed_network(const WireSettings& wire,
                                                 const std::filesystem::path& records);

}  // namespace skiff::network
