#include "volumes/kinds.h"

namespace skiff::volumes {

namespace {

constexpr std::int64_t kTokenSecondsDefault = 3600;

std::uint32_t token_mode(const kube::Pod& pod, const kube::ProjectedVolumeSource& source) {
    bool group_known = pod.spec.securityContext && pod.spec.securityContext->fsGroup;
    return common_user(pod) || group_known ? 0600 : file_mode(std::nullopt, source.defaultMode);
}

async::Task<Result<PayloadFile>> token_file(pods::Objects& objects, const kube::Pod& pod,
                                            const kube::ServiceAccountTokenProjection& projection,
                                            std::uint32_t mode) {
    std::int64_t seconds = projection.expirationSeconds.value_or(kTokenSecondsDefault);
    auto token = co_await objects.service_account_token(pod, projection.audience, seconds);
    if (!token) {
        co_return fail(std::move(token.error()));
    }
    PayloadFile file;
    file.content = std::move(token->token);
    file.mode = mode;
    file.uid = common_user(pod);
    co_return file;
}

void merge(Payload& into, Payload from) {
    for (auto& [path, file] : from) {
        into[path] = std::move(file);
    }
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
                                               const kube::ProjectedVolumeSource& source,
                                               std::string field) {
    Payload payload;
    for (std::size_t i = 0; i < source.sources.size(); ++i) {
        const kube::VolumeProjection& part = source.sources[i];
        if (part.configMap) {
            kube::ConfigMapVolumeSource as_volume;
            as_volume.name = part.configMap->name;
            as_volume.items = part.configMap->items;
            as_volume.optional = part.configMap->optional;
            as_volume.defaultMode = source.defaultMode;
            SKIFF_CO_TRY(Payload files, co_await config_map_payload(objects, pod, as_volume));
            merge(payload, std::move(files));
        } else if (part.secret) {
            kube::SecretVolumeSource as_volume;
            as_volume.secretName = part.secret->name;
            as_volume.items = part.secret->items;
            as_volume.optional = part.secret->optional;
            as_volume.defaultMode = source.defaultMode;
            SKIFF_CO_TRY(Payload files, co_await secret_payload(objects, pod, as_volume));
            merge(payload, std::move(files));
        } else if (part.downwardAPI) {
            kube::DownwardAPIVolumeSource as_volume;
            as_volume.items = part.downwardAPI->items;
            as_volume.defaultMode = source.defaultMode;
            SKIFF_CO_TRY(Payload files, downward_api_payload(pod, facts, as_volume));
            merge(payload, std::move(files));
        } else if (part.serviceAccountToken) {
            const auto& projection = *part.serviceAccountToken;
            SKIFF_CO_CHECK(check_payload_path(projection.path));
            std::uint32_t mode = token_mode(pod, source);
            SKIFF_CO_TRY(PayloadFile file, co_await token_file(objects, pod, projection, mode));
            payload[projection.path] = std::move(file);
        } else {
            std::string_view kind = part.clusterTrustBundle ? "clusterTrustBundle"
                                    : part.podCertificate   ? "podCertificate"
                                                            : "";
            co_return fail(Code::unsupported, "{}.projected.sources[{}].{} is not supported", field,
                           i, kind);
        }
    }
    co_return payload;
}

}  // namespace skiff::volumes
