// The port pods::Objects over the API server.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "async/scope.h"
#include "kube/client_object_cache.h"
#include "kube/client_tokens.h"
#include "node/claims.h"
#include "node/pod_certificates.h"
#include "pods/ports.h"

namespace skiff::node {

class ApiObjects final : public pods::Objects {
public:
    // All outlive it.
    struct Parts {
        async::Executor executor;
        kube::ApiClient& client;
        const Clock& clock;
        Random& random;
        async::BlockingPool& pool;
        pods::EventSink& events;
        std::string node_name;
    };
    explicit ApiObjects(const Parts& parts);

    // Begins to watch Services and RuntimeClasses.
    void start();
    // Ends all watches; call before destruction.
    [[nodiscard]] async::Task<void> stop();
    // The server is there again: watches that wait try at once.
    void nudge();

    [[nodiscard]] async::Task<Result<std::shared_ptr<const kube::ConfigMap>>> config_map(
        const kube::Pod& pod, std::string name) override;
    [[nodiscard]] async::Task<Result<std::shared_ptr<const kube::Secret>>> secret(
        const kube::Pod& pod, std::string name) override;
    [[nodiscard]] async::Task<Result<pods::ServiceAccountToken>> service_account_token(
        const kube::Pod& pod, std::string audience, std::int64_t expiration_seconds) override;
    [[nodiscard]] async::Task<Result<std::string>> trust_anchors(
        const kube::Pod& pod, const kube::ClusterTrustBundleProjection& source) override;
    [[nodiscard]] async::Task<Result<pods::PodCredentials>> pod_certificate(
        const kube::Pod& pod, std::string volume, std::size_t source) override;
    [[nodiscard]] async::Task<Result<std::shared_ptr<const kube::PersistentVolume>>> bound_volume(
        const kube::Pod& pod, std::string claim) override;
    [[nodiscard]] std::optional<std::vector<std::shared_ptr<const kube::Service>>> services()
        const override;
    [[nodiscard]] async::Task<Result<std::string>> runtime_handler(
        std::string runtime_class) override;
    void release(const PodUid& pod) override;
    void set_observer(std::function<void(const PodUid&)> observer) override;

private:
    // Why nothing can be said of ClusterTrustBundles yet; ok once they were listed.
    [[nodiscard]] async::Task<Result<void>> read_bundles();
    void tell_bundle_users();

    const Clock& clock_;
    kube::ObjectCache<kube::ConfigMap> config_maps_;
    kube::ObjectCache<kube::Secret> secrets_;
    kube::TokenCache tokens_;
    kube::Reflector<kube::Service> services_;
    kube::Reflector<kube::RuntimeClass> runtime_classes_;
    // Watched from the first pod on that asks for one.
    kube::Reflector<kube::ClusterTrustBundle> bundles_;
    enum class Watching { no, yes } bundles_watched_ = Watching::no;
    std::set<PodUid> bundle_users_;
    std::uint64_t bundle_seed_;
    PodCertificates certificates_;
    Claims claims_;
    std::function<void(const PodUid&)> observer_;
    async::Scope scope_;
};

}  // namespace skiff::node
