#include "app/file_objects.h"

namespace skiff::app {

static std::string namespace_of(const kube::ObjectMeta& metadata) {
    return metadata.namespace_.empty() ? "default" : metadata.namespace_;
}

FileObjects::FileObjects(const Workload& workload) {
    for (const auto& object : workload.config_maps) {
        config_maps_[{namespace_of(object->metadata), object->metadata.name}] = object;
    }
    for (const auto& object : workload.secrets) {
        secrets_[{namespace_of(object->metadata), object->metadata.name}] = object;
    }
}

pods::Task<Result<std::shared_ptr<const kube::ConfigMap>>> FileObjects::config_map(
    const kube::Pod& pod, std::string name) {
    auto found = config_maps_.find({namespace_of(pod.metadata), name});
    if (found == config_maps_.end()) {
        co_return fail(Code::not_found, "configmap \"{}\" not found in the file", name);
    }
    co_return found->second;
}

pods::Task<Result<std::shared_ptr<const kube::Secret>>> FileObjects::secret(const kube::Pod& pod,
                                                                            std::string name) {
    auto found = secrets_.find({namespace_of(pod.metadata), name});
    if (found == secrets_.end()) {
        co_return fail(Code::not_found, "secret \"{}\" not found in the file", name);
    }
    co_return found->second;
}

pods::Task<Result<pods::ServiceAccountToken>> FileObjects::service_account_token(const kube::Pod&,
                                                                                 std::string,
                                                                                 std::int64_t) {
    co_return fail(Code::unsupported, "serviceAccountToken needs a cluster");
}

pods::Task<Result<std::string>> FileObjects::trust_anchors(
    const kube::Pod&, const kube::ClusterTrustBundleProjection&) {
    co_return fail(Code::unsupported, "clusterTrustBundle needs a cluster");
}

pods::Task<Result<pods::PodCredentials>> FileObjects::pod_certificate(const kube::Pod&, std::string,
                                                                      std::size_t) {
    co_return fail(Code::unsupported, "podCertificate needs a cluster");
}

pods::Task<Result<std::shared_ptr<const kube::PersistentVolume>>> FileObjects::bound_volume(
    const kube::Pod&, std::string) {
    co_return fail(Code::unsupported, "persistentVolumeClaim needs a cluster");
}

std::optional<std::vector<std::shared_ptr<const kube::Service>>> FileObjects::services() const {
    return std::vector<std::shared_ptr<const kube::Service>>{};
}

pods::Task<Result<std::string>> FileObjects::runtime_handler(std::string runtime_class) {
    co_return runtime_class;
}

void FileObjects::release(const PodUid&) {}

}  // namespace skiff::app
