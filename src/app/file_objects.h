// The pods::Objects of `skiff run`: ConfigMaps and Secrets of the manifest instead of the API
// server's.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "app/workload.h"
#include "pods/ports.h"

namespace skiff::app {

class FileObjects : public pods::Objects {
public:
    explicit FileObjects(const Workload& workload);

    [[nodiscard]] pods::Task<Result<std::shared_ptr<const kube::ConfigMap>>> config_map(
        const kube::Pod& pod, std::string name) override;
    [[nodiscard]] pods::Task<Result<std::shared_ptr<const kube::Secret>>> secret(
        const kube::Pod& pod, std::string name) override;
    // There is nobody to issue one: unsupported, naming the volume kind.
    [[nodiscard]] pods::Task<Result<pods::ServiceAccountToken>> service_account_token(
        const kube::Pod& pod, std::string audience, std::int64_t expiration_seconds) override;
    // The same for these.
    [[nodiscard]] pods::Task<Result<std::string>> trust_anchors(
        const kube::Pod& pod, const kube::ClusterTrustBundleProjection& source) override;
    [[nodiscard]] pods::Task<Result<pods::PodCredentials>> pod_certificate(
        const kube::Pod& pod, std::string volume, std::size_t source) override;
    [[nodiscard]] pods::Task<Result<std::shared_ptr<const kube::PersistentVolume>>> bound_volume(
        const kube::Pod& pod, std::string claim) override;
    [[nodiscard]] std::optional<std::vector<std::shared_ptr<const kube::Service>>> services()
        const override;
    // The class's own name: `wasmtime`, `pulley` and `wasmi` need no object here.
    [[nodiscard]] pods::Task<Result<std::string>> runtime_handler(
        std::string runtime_class) override;
    void release(const PodUid& pod) override;
    // A file's objects never change.
    void set_observer(std::function<void(const PodUid&)> /*observer*/) override {}

private:
    using Key = std::pair<std::string, std::string>;  // namespace, name
    std::map<Key, std::shared_ptr<const kube::ConfigMap>> config_maps_;
    std::map<Key, std::shared_ptr<const kube::Secret>> secrets_;
};

}  // namespace skiff::app
