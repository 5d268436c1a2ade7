#include "node/claims.h"

#include <algorithm>

#include "kube/node_selector.h"

namespace skiff::node {

using async::Task;
using Volume = std::shared_ptr<const kube::PersistentVolume>;

namespace {

constexpr std::string_view kProtection = "kubernetes.io/pvc-protection";

// The claim as it is, before its volume is looked at. The words are the kubelet's.
Result<void> check_claim(const kube::PersistentVolumeClaim& claim) {
    const auto& finalizers = claim.metadata.finalizers;
    // With the finalizer some pod still holds it; without it nobody does, and nobody new may.
    if (claim.metadata.deletionTimestamp &&
        std::ranges::find(finalizers, kProtection) == finalizers.end()) {
        return fail(Code::denied, "PVC is being deleted");
    }
    if (claim.status.phase != "Bound") {
        return fail(Code::unavailable, "PVC is not bound");
    }
    if (claim.spec.volumeName.empty()) {
        return fail(Code::unavailable, "PVC has empty pvc.Spec.VolumeName");
    }
    if (claim.spec.volumeMode.value_or("Filesystem") != "Filesystem") {
        return fail(Code::unsupported,
                    "PVC has volumeMode {}, but the pod mounts it as a filesystem",
                    *claim.spec.volumeMode);
    }
    return {};
}

// An ephemeral volume's claim has a name that anybody may have taken before.
Result<void> check_owner(const kube::Pod& pod, const kube::PersistentVolumeClaim& claim) {
    const std::string& name = claim.metadata.name;
    bool ephemeral = std::ranges::any_of(pod.spec.volumes, [&](const kube::Volume& volume) {
        return volume.ephemeral && pod.metadata.name + "-" + volume.name == name;
    });
    bool owned =
        std::ranges::any_of(claim.metadata.ownerReferences, [&](const kube::OwnerReference& owner) {
            return owner.uid == pod.metadata.uid && owner.controller.value_or(false);
        });
    if (ephemeral && !owned) {
        return fail(Code::conflict, "PVC was not created for the pod (the pod is not its owner)");
    }
    return {};
}

Error about(std::string_view ns, std::string_view claim, Error error) {
    return std::move(error).context(fmt::format("error processing PVC {}/{}", ns, claim));
}

}  // namespace

Task<Result<Volume>> Claims::bound_volume(const kube::Pod& pod, std::string claim) {
    Key key(PodUid(pod.metadata.uid), claim);
    auto known = found_.find(key);
    if (known != found_.end()) {
        co_return known->second;
    }
    std::string ns = pod.metadata.namespace_;
    auto read_claim = co_await client_.get<kube::PersistentVolumeClaim>(ns, claim);
    if (!read_claim) {
        co_return fail(about(ns, claim, std::move(read_claim.error())));
    }
    auto fit = check_owner(pod, *read_claim);
    if (fit) {
        fit = check_claim(*read_claim);
    }
    if (!fit) {
        co_return fail(about(ns, claim, std::move(fit.error())));
    }
    auto volume = co_await read(ns, std::move(*read_claim));
    if (!volume) {
        co_return fail(about(ns, claim, std::move(volume.error())));
    }
    found_[std::move(key)] = *volume;
    co_return volume;
}

Task<Result<Volume>> Claims::read(std::string ns, kube::PersistentVolumeClaim claim) {
    std::string name = claim.spec.volumeName;
    SKIFF_CO_TRY(auto volume, co_await client_.get<kube::PersistentVolume>("", name));
    const auto& bound_to = volume.spec.claimRef;
    if (!bound_to) {
        co_return fail(Code::unavailable, "PV {} has no claimRef: it is not bound to the claim yet",
                       name);
    }
    if (bound_to->uid != claim.metadata.uid) {
        co_return fail(Code::conflict, "PV {} is bound to the claim {}/{} with uid {}, not to {}",
                       name, bound_to->namespace_, bound_to->name, bound_to->uid,
                       claim.metadata.uid);
    }
    if (volume.spec.nodeAffinity && volume.spec.nodeAffinity->required) {
        SKIFF_CO_TRY(auto node, co_await client_.get<kube::Node>("", node_name_));
        const auto& wanted = *volume.spec.nodeAffinity->required;
        if (!kube::selects(wanted, node_name_, node.metadata.labels)) {
            co_return fail(Code::conflict,
                           "PV {} has a node affinity that does not fit this node's labels", name);
        }
    }
    co_return std::make_shared<const kube::PersistentVolume>(std::move(volume));
}

void Claims::release(const PodUid& pod) {
    std::erase_if(found_, [&](const auto& entry) { return entry.first.first == pod; });
}

}  // namespace skiff::node
