// The port pods::Objects over the API server.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "async/scope.h"
#include "kube/client_object_cache.h"
#include "kube/client_tokens.h"
#include "pods/ports.h"

namespace skiff::node {

class ApiObjects final : public pods::Objects {
public:
    // All outlive it.
    ApiObjects(async::Executor executor, kube::ApiClient& client, const Clock& clock,
               Random& random);

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
    [[nodiscard]] std::optional<std::vector<std::shared_ptr<const kube::Service>>> services()
        const override;
    [[nodiscard]] async::Task<Result<std::string>> runtime_handler(
        std::string runtime_class) override;
    void release(const PodUid& pod) override;

private:
    const Clock& clock_;
    kube::ObjectCache<kube::ConfigMap> config_maps_;
    kube::ObjectCache<kube::Secret> secrets_;
    kube::TokenCache tokens_;
    kube::Reflector<kube::Service> services_;
    kube::Reflector<kube::RuntimeClass> runtime_classes_;
    async::Scope scope_;
};

}  // namespace skiff::node
