// The cluster's network plugin (cni.h) as what gives pods their addresses.
//
// A pod's namespace is made and pinned here, at <namespaces>/cni-<uid>; the plugin puts an
// interface into it. What is attached is known by the plugin's cached results, which outlive a
// boot: leases of a plugin's address management do, too.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "async/lanes.h"
#include "async/scope.h"
#include "network/cni.h"
#include "network/cni_pod.h"
#include "network/pod_attacher.h"

namespace skiff::network {

struct CniAttacherSettings {
    CniSettings cni;
    std::string instance;              // eight hexadecimal digits: state::Instance::id()
    std::filesystem::path namespaces;  // folder of the pins; may hold others, too
    NetworkUse use = NetworkUse::shared;
    IpFamily preferred = IpFamily::v4;                 // of status.podIPs
    Duration call_time = std::chrono::minutes(2);      // for one pod's ADD or DEL
    Duration status_time = std::chrono::seconds(10);   // for STATUS and VERSION of all plugins
    Duration look_every = std::chrono::seconds(5);     // at configuration and programs
    Duration status_every = std::chrono::seconds(30);  // STATUS, while it is fine
    // The `dns` capability's value. Called in a thread of the pool; empty: not offered.
    std::function<DnsConfig(const kube::Pod&)> dns;
};

class CniAttacher final : public PodAttacher {
public:
    // `plugins` runs what is done for pods, and each of its threads may be held up by a plugin for
    // as long as call_time; STATUS runs in `pool`, at most status_time. All outlive this object.
    CniAttacher(async::Executor executor, CniAttacherSettings settings,
                async::BlockingPool& plugins, async::BlockingPool& pool);

    // Takes over what the agent before left to `pods`. What belongs to none of them is detached
    // later, in the background, again and again until the plugin has done it. Once, before anything
    // else.
    [[nodiscard]] async::Task<Result<void>> recover(std::vector<PodUid> pods);
    enum class Intake { open, closed };
    // Detaches what was left. With an open intake looks at configuration and plugins, now and from
    // now on, calls `changed` when ready() has changed, and waits for the first look, but not for
    // long; with a closed one no pod may come that is not attached.
    [[nodiscard]] async::Task<void> start(Intake intake, std::function<void()> changed);
    // The node's podCIDRs: the `ipRanges` capability of pods that come.
    void set_ranges(std::vector<std::string> ranges) { ranges_ = std::move(ranges); }

    // A pod that is attached keeps its addresses; whether the plugin still finds them in order
    // (CHECK) is asked in the background once for each agent, and said in the log: to repair them
    // would give the pod others. Fails with NetworkNotReady while ready() fails.
    [[nodiscard]] async::Task<Result<Attachment>> attach(
        std::shared_ptr<const kube::Pod> pod) override;
    [[nodiscard]] async::Task<Result<void>> detach(PodUid pod) override;
    [[nodiscard]] bool serves(const PodUid&) const override { return true; }
    [[nodiscard]] std::optional<Attachment> find(const PodUid& pod) const override;
    [[nodiscard]] std::vector<PodUid> list() const override;
    [[nodiscard]] Result<void> ready() const override { return state_; }
    // Kills the plugins that run; what they had begun is undone at the next start.
    [[nodiscard]] async::Task<Result<void>> stop() override;

private:
    using Network = std::shared_ptr<const CniNetwork>;
    struct Pod {
        PodName name;
        std::vector<PortMap> ports;
        std::optional<Attachment> attachment;
        bool is_adopted = false;  // from the agent before, and not looked at since
    };
    struct Look;

    [[nodiscard]] async::Task<void> watch();
    [[nodiscard]] async::Task<void> look();
    [[nodiscard]] async::Task<void> collect_garbage();
    [[nodiscard]] async::Task<void> drop_leftovers();
    [[nodiscard]] async::Task<void> check(PodUid uid);

    CniAttacherSettings settings_;
    async::BlockingPool& pool_;
    async::Lanes lanes_;  // by pod uid, and kLookLane
    async::Scope background_;
    async::Event look_now_;
    async::Event settled_;  // looked at least once, and garbage is collected, or is not to be
    std::function<void()> changed_;
    std::vector<std::string> ranges_;
    Network network_;
    std::string files_;  // what network_ was made of: names and times
    std::optional<SteadyTime> asked_at_;
    Result<void> state_;
    std::map<PodUid, Pod> pods_;
    std::set<PodUid> leftovers_;
};

// Detaches every pod of an instance, while no agent of it runs (`skiff node reset`). Blocking. Goes
// on after failures and returns the first of them.
[[nodiscard]] Result<void> remove_cni_network(const CniAttacherSettings& settings);

}  // namespace skiff::network
