// The volumes that claims of pods are bound to (contract row 61). They are read by name, for the
// node authorizer allows no watch. Reactor thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/types.h"
#include "kube/client_api.h"

namespace skiff::node {

class Claims {
public:
    // The client outlives it.
    Claims(kube::ApiClient& client, std::string node_name)
        : client_(client), node_name_(std::move(node_name)) {}

    // As pods::Objects::bound_volume(). An ephemeral volume's claim must belong to the pod.
    [[nodiscard]] async::Task<Result<std::shared_ptr<const kube::PersistentVolume>>> bound_volume(
        const kube::Pod& pod, std::string claim);
    // Forgets what the pod was given.
    void release(const PodUid& pod);

private:
    [[nodiscard]] async::Task<Result<std::shared_ptr<const kube::PersistentVolume>>> read(
        std::string ns, kube::PersistentVolumeClaim claim);

    kube::ApiClient& client_;
    std::string node_name_;
    using Key = std::pair<PodUid, std::string>;
    std::map<Key, std::shared_ptr<const kube::PersistentVolume>> found_;
};

}  // namespace skiff::node
