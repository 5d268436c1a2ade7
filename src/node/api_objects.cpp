#include "node/api_objects.h"

#include "kube/label_selector.h"

namespace skiff::node {

namespace {

async::Task<Result<pods::ServiceAccountToken>> as_port(async::Task<Result<kube::BoundToken>> get) {
    SKIFF_CO_TRY(auto token, co_await std::move(get));
    pods::ServiceAccountToken out;
    out.token = std::move(token.token);
    out.expires = token.expires;
    co_return out;
}

// By name, or by signer and labels; without a selector a signer selects nothing, with an empty one
// everything of its own.
Result<bool> selects(const kube::ClusterTrustBundleProjection& wanted,
                     const kube::ClusterTrustBundle& bundle) {
    if (wanted.name) {
        return bundle.metadata.name == *wanted.name;
    }
    if (!wanted.signerName || !wanted.labelSelector ||
        bundle.spec.signerName != *wanted.signerName) {
        return false;
    }
    return kube::matches(*wanted.labelSelector, bundle.metadata.labels);
}

std::string none_of(const kube::ClusterTrustBundleProjection& wanted) {
    if (wanted.name) {
        return fmt::format("clustertrustbundle \"{}\" not found", *wanted.name);
    }
    return fmt::format(
        "no clustertrustbundle of the signer \"{}\" has the labels that are selected",
        wanted.signerName.value_or(""));
}

}  // namespace

ApiObjects::ApiObjects(const Parts& parts)
    : clock_(parts.clock),
      config_maps_(parts.executor, parts.client, parts.clock, parts.random),
      secrets_(parts.executor, parts.client, parts.clock, parts.random),
      tokens_(parts.client, parts.clock, parts.random),
      services_(parts.client, parts.clock, parts.random, kube::Selection(), {}),
      runtime_classes_(parts.client, parts.clock, parts.random, kube::Selection(), {}),
      bundles_(parts.client, parts.clock, parts.random, kube::Selection(),
               [this](const auto&) { tell_bundle_users(); }),
      bundle_seed_(parts.random.next()),
      certificates_({parts.executor, parts.client, parts.clock, parts.random, parts.pool,
                     parts.events, parts.node_name}),
      claims_(parts.client, parts.node_name),
      scope_(parts.executor) {}

void ApiObjects::start() {
    scope_.spawn("watch services", services_.run());
    scope_.spawn("watch runtime classes", runtime_classes_.run());
}

async::Task<void> ApiObjects::stop() {
    co_await config_maps_.stop();
    co_await secrets_.stop();
    co_await certificates_.stop();
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

async::Task<Result<void>> ApiObjects::read_bundles() {
    if (bundles_watched_ == Watching::no) {
        bundles_watched_ = Watching::yes;
        scope_.spawn("watch cluster trust bundles", bundles_.run());
    }
    auto deadline = clock_.steady_now() +
                    std::chrono::duration_cast<SteadyTime::duration>(kube::kFirstReadTimeout);
    auto synced = co_await bundles_.wait_synced(deadline);
    if (!synced && synced.error().code == Code::timeout && bundles_.last_error()) {
        co_return fail(Error(*bundles_.last_error()).context("list ClusterTrustBundles"));
    }
    co_return synced;
}

void ApiObjects::tell_bundle_users() {
    if (!observer_ || !bundles_.synced()) {
        return;
    }
    for (const PodUid& pod : bundle_users_) {
        observer_(pod);
    }
}

async::Task<Result<std::string>> ApiObjects::trust_anchors(
    const kube::Pod& pod, const kube::ClusterTrustBundleProjection& source) {
    kube::ClusterTrustBundleProjection wanted = source;
    bundle_users_.insert(PodUid(pod.metadata.uid));
    SKIFF_CO_CHECK(co_await read_bundles());
    std::vector<std::string_view> bundles;
    for (const auto& [name, bundle] : bundles_.store()) {
        SKIFF_CO_TRY(bool selected, selects(wanted, *bundle));
        if (selected) {
            bundles.push_back(bundle->spec.trustBundle);
        }
    }
    if (bundles.empty() && !wanted.optional.value_or(false)) {
        co_return fail_because(Code::not_found, "NotFound", "{}", none_of(wanted));
    }
    co_return merge_bundles(bundles, bundle_seed_);
}

async::Task<Result<pods::PodCredentials>> ApiObjects::pod_certificate(const kube::Pod& pod,
                                                                      std::string volume,
                                                                      std::size_t source) {
    return certificates_.get(pod, std::move(volume), source);
}

async::Task<Result<std::shared_ptr<const kube::PersistentVolume>>> ApiObjects::bound_volume(
    const kube::Pod& pod, std::string claim) {
    return claims_.bound_volume(pod, std::move(claim));
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

void ApiObjects::set_observer(std::function<void(const PodUid&)> observer) {
    observer_ = observer;
    certificates_.set_observer(observer);
    auto changed = [observer = std::move(observer)](const std::string& holder) {
        if (observer) {
            observer(PodUid(holder));
        }
    };
    config_maps_.set_observer(changed);
    secrets_.set_observer(changed);
}

void ApiObjects::release(const PodUid& pod) {
    config_maps_.release(pod.str());
    secrets_.release(pod.str());
    tokens_.release(pod.str());
    certificates_.release(pod);
    claims_.release(pod);
    bundle_users_.erase(pod);
}

}  // namespace skiff::node
