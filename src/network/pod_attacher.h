// What gives pods addresses of their own: the built-in network, or a plugin of the cluster's.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/task.h"
#include "base/result.h"
#include "base/types.h"
#include "kube/types.h"

namespace skiff::network {

// A pod's place in the network.
struct Attachment {
    std::filesystem::path name_space;    // a pinned network namespace
    std::vector<std::string> addresses;  // status.podIPs, the preferred one first
    // The end in the node's namespace of the pod's pair of interfaces; empty: not known.
    std::string node_link{};
    // The egress table (egress_policy.h) that the namespace came with, as the script that made it;
    // empty: not known. Of a new namespace only: nobody has changed it since.
    std::string egress_table{};
};

// Reactor thread; what blocks is done in the pool. For one pod one call at a time begins, and a
// call that was cancelled goes on: the next one of this pod comes after it.
class PodAttacher {
public:
    virtual ~PodAttacher() = default;
    // Gives the pod a namespace with its addresses, the same at every call until detach(), also
    // after the agent was killed; repairs what is missing of it. Fails with the reason that the
    // user sees (FailedCreatePodSandBox), also while ready() fails.
    [[nodiscard]] virtual async::Task<Result<Attachment>> attach(
        std::shared_ptr<const kube::Pod> pod) = 0;
    // Takes all of it away. A pod that has nothing is fine.
    [[nodiscard]] virtual async::Task<Result<void>> detach(PodUid pod) = 0;
    // Whether attach() is for this pod: every pod's, or only those that have something from before.
    [[nodiscard]] virtual bool serves(const PodUid& pod) const = 0;
    // What a pod has; nullopt for one that was not attached.
    [[nodiscard]] virtual std::optional<Attachment> find(const PodUid& pod) const = 0;
    // Pods that have something.
    [[nodiscard]] virtual std::vector<PodUid> list() const = 0;
    // Whether pods that come now get addresses; if not, a message for the node's Ready condition
    // that says what to do.
    [[nodiscard]] virtual Result<void> ready() const = 0;
    // Ends what it does in the background and waits for the work in progress; what pods have stays.
    // Before destruction.
    [[nodiscard]] virtual async::Task<Result<void>> stop() = 0;
};

}  // namespace skiff::network
