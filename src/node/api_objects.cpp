#include "node/api_objects.h"

namespace skiff::node {

namespace {

async::Task<Result<pods::ServiceAccountToken>> as_port(async::Task<Result<kube::BoundToken>> get) {
    SKIFF_CO_TRY(auto token, co_await std::move(get));
    pods::ServiceAccountToken out;
    out.token = std::move(token.token);
    out.expires = token.expires;
    co_return out;
}

}  // namespace

ApiObjects::ApiObjects(async::Executor executor, kube::ApiClient& client, const Clock& clock,
                       Random& random)
    : clock_(clock),
      config_maps_(executor, client, clock, random),
      secrets_(executor, client, clock, random),
      tokens_(client, clock, random),
      services_(client, clock, random, kube::Selection(), {}),
      runtime_classes_(client, clock, random, kube::Selection(), {}),
      scope_(executor) {}

void ApiObjects::start() {
    scope_.spawn("watch services", services_.run());
    scope_.spawn("watch runtime classes", runtime_classes_.run());
}

async::Task<void> ApiObjects::stop() {
    co_await config_maps_.stop();
    co_await secrets_.stop();
    co_await scope_.stop();
}

void ApiObjects::nudge() {
    services_.nudge();
    runtime_classes_.nudge();
}

async::Task<Result<std::shared_ptr<const kube::ConfigMap>>> ApiObjects::config_map(
    const kube::Pod& pod, std::string name) {
    return config_maps_.get(pod.metadata.namespace_, std::move(name), pod.metadata.uid);
}

async::Task<Result<std::shared_ptr<const kube::Secret>>> ApiObjects::secret(const kube::Pod& pod,
                                                                            std::string name) {
    return secrets_.get(pod.metadata.namespace_, std::move(name), pod.metadata.uid);
}

async::Task<Result<pods::ServiceAccountToken>> ApiObjects::service_account_token(
    const kube::Pod& pod, std::string audience, std::int64_t expiration_seconds) {
    return as_port(tokens_.get(pod, std::move(audience), expiration_seconds));
}

std::optional<std::vector<std::shared_ptr<const kube::Service>>> ApiObjects::services() const {
    if (!services_.synced()) {
        return std::nullopt;
    }
    std::vector<std::shared_ptr<const kube::Service>> all;
    all.reserve(services_.store().size());
    for (const auto& [name, service] : services_.store()) {
        all.push_back(service);
    }
    return all;
}

async::Task<Result<std::string>> ApiObjects::runtime_handler(std::string runtime_class) {
    auto deadline = clock_.steady_now() +
                    std::chrono::duration_cast<SteadyTime::duration>(kube::kFirstReadTimeout);
    auto synced = co_await runtime_classes_.wait_synced(deadline);
    if (!synced) {
        co_return fail(std::move(synced.error()));
    }
    auto found = runtime_classes_.find("", runtime_class);
    if (found == nullptr) {
        co_return fail_because(Code::not_found, "NotFound", "RuntimeClass \"{}\" not found",
                               runtime_class);
    }
    co_return found->handler;
}

void ApiObjects::release(const PodUid& pod) {
    config_maps_.release(pod.str());
    secrets_.release(pod.str());
    tokens_.release(pod.str());
}

}  // namespace skiff::node
