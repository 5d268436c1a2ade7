// Where the objects of each type live in the API: group, version, plural, scope.
#pragma once

#include <string_view>

#include "kube/types.h"

namespace skiff::kube {

enum class ResourceScope { namespaced, cluster };

struct Resource {
    std::string_view group_version;  // "v1", "coordination.k8s.io/v1"
    std::string_view plural;
    ResourceScope scope = ResourceScope::namespaced;
};

template <typename T>
inline constexpr Resource kResource = {};

template <>
inline constexpr Resource kResource<Pod> = {"v1", "pods", ResourceScope::namespaced};
template <>
inline constexpr Resource kResource<Node> = {"v1", "nodes", ResourceScope::cluster};
template <>
inline constexpr Resource kResource<ConfigMap> = {"v1", "configmaps", ResourceScope::namespaced};
template <>
inline constexpr Resource kResource<Secret> = {"v1", "secrets", ResourceScope::namespaced};
template <>
inline constexpr Resource kResource<Service> = {"v1", "services", ResourceScope::namespaced};
template <>
inline constexpr Resource kResource<PersistentVolumeClaim> = {"v1", "persistentvolumeclaims",
                                                              ResourceScope::namespaced};
template <>
inline constexpr Resource kResource<PersistentVolume> = {"v1", "persistentvolumes",
                                                         ResourceScope::cluster};
template <>
inline constexpr Resource kResource<Event> = {"v1", "events", ResourceScope::namespaced};
template <>
inline constexpr Resource kResource<Lease> = {"coordination.k8s.io/v1", "leases",
                                              ResourceScope::namespaced};
template <>
inline constexpr Resource kResource<RuntimeClass> = {"node.k8s.io/v1", "runtimeclasses",
                                                     ResourceScope::cluster};
template <>
inline constexpr Resource kResource<CertificateSigningRequest> = {
    "certificates.k8s.io/v1", "certificatesigningrequests", ResourceScope::cluster};
template <>
inline constexpr Resource kResource<ClusterTrustBundle> = {
    "certificates.k8s.io/v1", "clustertrustbundles", ResourceScope::cluster};
template <>
inline constexpr Resource kResource<PodCertificateRequest> = {
    "certificates.k8s.io/v1", "podcertificaterequests", ResourceScope::namespaced};
template <>
inline constexpr Resource kResource<ServiceAccount> = {"v1", "serviceaccounts",
                                                       ResourceScope::namespaced};
template <>
inline constexpr Resource kResource<TokenReview> = {"authentication.k8s.io/v1", "tokenreviews",
                                                    ResourceScope::cluster};
template <>
inline constexpr Resource kResource<SubjectAccessReview> = {
    "authorization.k8s.io/v1", "subjectaccessreviews", ResourceScope::cluster};
template <>
inline constexpr Resource kResource<Deployment> = {"apps/v1", "deployments",
                                                   ResourceScope::namespaced};
template <>
inline constexpr Resource kResource<Job> = {"batch/v1", "jobs", ResourceScope::namespaced};
template <>
inline constexpr Resource kResource<CronJob> = {"batch/v1", "cronjobs", ResourceScope::namespaced};

}  // namespace skiff::kube
