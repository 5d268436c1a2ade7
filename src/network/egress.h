// What pods may reach, in force: keeps the table of egress_policy.h in each pod's namespace, and
// its names' addresses fresh.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/lanes.h"
#include "async/scope.h"
#include "base/random.h"
#include "network/answer_book.h"
#include "network/egress_policy.h"
#include "network/name_lookup.h"
#include "pods/ports.h"

namespace skiff::network {

struct EgressSettings {
    // What the pod's annotations and the node's default allow.
    std::function<Result<Egress>(const kube::Pod&)> allowed_of;
    // Of the agent's; closed to pods at every address of the node.
    std::vector<std::uint16_t> node_ports;
};

// Reactor thread; what blocks is done in the pool, for one pod one piece at a time.
class EgressControl {
public:
    struct Parts {
        async::Executor executor;
        async::BlockingPool& pool;
        Random& random;
        pods::EventSink& events;
    };
    // All outlive this object.
    EgressControl(Parts parts, EgressSettings settings);

    // Where a pod is in the network.
    struct Place {
        std::filesystem::path name_space;  // a pinned one
        std::vector<std::string> addresses;
        DnsConfig dns;
        std::string hosts;  // the text of its hosts file
        // Of a new namespace: Attachment::egress_table.
        std::string table{};
    };
    // Puts the pod's policy into force, before any of its containers runs and again after a start
    // of the agent. Listed names are looked up first, for a few seconds at the most; those that
    // have no address then get theirs later, and an event says so. Fails with reason
    // FailedCreatePodSandBox when there is too much of it, or the kernel does not take it; that a
    // kernel has no nftables is a warning for a pod without a policy.
    // `pod` is looked at before this waits for anything.
    [[nodiscard]] async::Task<Result<void>> apply(const kube::Pod& pod, Place place);
    // The same where the pod's annotations now say something else; before each start of a
    // container. A pod that apply() does not know is fine.
    [[nodiscard]] async::Task<Result<void>> update(const kube::Pod& pod);
    // No more work for this pod, whose namespace goes; waits for the work in progress.
    [[nodiscard]] async::Task<Result<void>> forget(PodUid pod);

    // Ends the look-ups and waits for the work in progress; what is in force stays. Before
    // destruction.
    [[nodiscard]] async::Task<Result<void>> stop();

private:
    struct Watched;
    using WatchedPtr = std::shared_ptr<Watched>;

    [[nodiscard]] async::Task<Result<void>> put_into_force(WatchedPtr pod);
    [[nodiscard]] async::Task<Result<void>> look_up(WatchedPtr pod);
    [[nodiscard]] async::Task<Result<void>> look_up_first(WatchedPtr pod);
    [[nodiscard]] async::Task<void> keep_fresh(WatchedPtr pod);
    [[nodiscard]] async::Task<void> watch_node();
    void tell(Watched& pod, std::string_view reason, std::string message);

    Parts parts_;
    EgressSettings settings_;
    async::Lanes lanes_;  // by pod uid, and one of the node's addresses
    async::Scope background_;
    async::Semaphore rounds_;
    std::map<PodUid, WatchedPtr> pods_;
    bool watching_ = false;
};

// Puts into force in a namespace that no pod has yet what a pod without a policy is held to, so
// that such a pod need not wait for it; returns the script (Attachment::egress_table). Blocking,
// any thread of the node's namespace.
[[nodiscard]] Result<std::string> close_ahead(const std::filesystem::path& name_space,
                                              const std::vector<std::uint16_t>& node_ports);

}  // namespace skiff::network
