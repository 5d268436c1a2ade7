#include "volumes/kinds.h"

namespace skiff::volumes {

namespace {

constexpr std::int64_t kTokenSecondsDefault = 3600;

// One projected volume of a pod; lives in the frame of projected_payload().
struct Projection {
    pods::Objects& objects;
    const kube::Pod& pod;
    const pods::PodFacts& facts;
    const kube::Volume& volume;
    std::string field;
};

std::uint32_t private_mode(const kube::Pod& pod, const kube::ProjectedVolumeSource& source) {
    bool group_known = pod.spec.securityContext && pod.spec.securityContext->fsGroup;
    return common_user(pod) || group_known ? 0600 : file_mode(std::nullopt, source.defaultMode);
}

// A file that only the pod's own user, or its group, may read where one is known.
PayloadFile private_file(const Projection& projection, std::string content) {
    PayloadFile file;
    file.content = std::move(content);
    file.mode = private_mode(projection.pod, *projection.volume.projected);
    file.uid = common_user(projection.pod);
    return file;
}

async::Task<Result<Payload>> token_payload(const Projection& projection,
                                           const kube::ServiceAccountTokenProjection& source) {
    SKIFF_CO_CHECK(check_payload_path(source.path));
    std::int64_t seconds = source.expirationSeconds.value_or(kTokenSecondsDefault);
    auto token =
        co_await projection.objects.service_account_token(projection.pod, source.audience, seconds);
    if (!token) {
        co_return fail(std::move(token.error()));
    }
    Payload payload;
    payload[source.path] = private_file(projection, std::move(token->token));
    co_return payload;
}

async::Task<Result<Payload>> trust_payload(const Projection& projection,
                                           const kube::ClusterTrustBundleProjection& source) {
    SKIFF_CO_CHECK(check_payload_path(source.path));
    if (!source.name && !source.signerName) {
        co_return fail(Code::invalid, "clusterTrustBundle has neither name nor signerName");
    }
    auto anchors = co_await projection.objects.trust_anchors(projection.pod, source);
    if (!anchors) {
        co_return fail(std::move(anchors.error()));
    }
    Payload payload;
    payload[source.path] = private_file(projection, std::move(*anchors));
    co_return payload;
}

async::Task<Result<Payload>> certificate_payload(const Projection& projection,
                                                 const kube::PodCertificateProjection& source,
                                                 std::size_t index) {
    for (const std::string* path :
         {&source.credentialBundlePath, &source.keyPath, &source.certificateChainPath}) {
        if (!path->empty()) {
            SKIFF_CO_CHECK(check_payload_path(*path));
        }
    }
    std::string volume = projection.volume.name;
    auto made =
        co_await projection.objects.pod_certificate(projection.pod, std::move(volume), index);
    if (!made) {
        co_return fail(std::move(made.error()));
    }
    Payload payload;
    auto add = [&](const std::string& path, std::string content) {
        if (!path.empty()) {
            payload[path] = private_file(projection, std::move(content));
        }
    };
    add(source.credentialBundlePath, made->key_pem + made->chain_pem);
    add(source.keyPath, made->key_pem);
    add(source.certificateChainPath, made->chain_pem);
    co_return payload;
}

void merge(Payload& into, Payload from) {
    for (auto& [path, file] : from) {
        into[path] = std::move(file);
    }
}

async::Task<Result<Payload>> part_payload(const Projection& projection, std::size_t index) {
    const kube::ProjectedVolumeSource& whole = *projection.volume.projected;
    const kube::VolumeProjection& part = whole.sources[index];
    if (part.configMap) {
        kube::ConfigMapVolumeSource as_volume;
        as_volume.name = part.configMap->name;
        as_volume.items = part.configMap->items;
        as_volume.optional = part.configMap->optional;
        as_volume.defaultMode = whole.defaultMode;
        co_return co_await config_map_payload(projection.objects, projection.pod, as_volume);
    }
    if (part.secret) {
        kube::SecretVolumeSource as_volume;
        as_volume.secretName = part.secret->name;
        as_volume.items = part.secret->items;
        as_volume.optional = part.secret->optional;
        as_volume.defaultMode = whole.defaultMode;
        co_return co_await secret_payload(projection.objects, projection.pod, as_volume);
    }
    if (part.downwardAPI) {
        kube::DownwardAPIVolumeSource as_volume;
        as_volume.items = part.downwardAPI->items;
        as_volume.defaultMode = whole.defaultMode;
        co_return downward_api_payload(projection.pod, projection.facts, as_volume);
    }
    if (part.serviceAccountToken) {
        co_return co_await token_payload(projection, *part.serviceAccountToken);
    }
    if (part.clusterTrustBundle) {
        co_return co_await trust_payload(projection, *part.clusterTrustBundle);
    }
    if (part.podCertificate) {
        co_return co_await certificate_payload(projection, *part.podCertificate, index);
    }
    co_return fail(Code::unsupported, "{}.sources[{}] has no source that this node knows",
                   projection.field, index);
}

}  // namespace

std::optional<std::uint32_t> common_user(const kube::Pod& pod) {
    std::optional<std::int64_t> pod_user;
    if (pod.spec.securityContext) {
        pod_user = pod.spec.securityContext->runAsUser;
    }
    std::optional<std::int64_t> common;
    auto agrees = [&](const std::optional<kube::SecurityContext>& context) {
        auto user = context && context->runAsUser ? context->runAsUser : pod_user;
        if (!user || (common && *common != *user)) {
            return false;
        }
        common = user;
        return true;
    };
    for (const auto& container : pod.spec.initContainers) {
        if (!agrees(container.securityContext)) {
            return std::nullopt;
        }
    }
    for (const auto& container : pod.spec.containers) {
        if (!agrees(container.securityContext)) {
            return std::nullopt;
        }
    }
    if (!common) {
        return std::nullopt;
    }
    return static_cast<std::uint32_t>(*common);
}

async::Task<Result<Payload>> projected_payload(pods::Objects& objects, const kube::Pod& pod,
                                               const pods::PodFacts& facts,
                                               std::size_t volume_index) {
    const kube::Volume& volume = pod.spec.volumes[volume_index];
    Projection projection{objects, pod, facts, volume,
                          fmt::format("spec.volumes[{}].projected", volume_index)};
    Payload payload;
    for (std::size_t i = 0; i < volume.projected->sources.size(); ++i) {
        auto part = co_await part_payload(projection, i);
        if (!part) {
            co_return fail(std::move(part.error()));
        }
        merge(payload, std::move(*part));
    }
    co_return payload;
}

}  // namespace skiff::volumes
