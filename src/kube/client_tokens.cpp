#include "kube/client_tokens.h"

#include "base/log.h"

namespace skiff::kube {

namespace {

constexpr double kRenewAtShare = 0.8;
constexpr Duration kRenewAfter = std::chrono::hours(24);
constexpr Duration kRenewJitter = std::chrono::seconds(10);

}  // namespace

async::Task<Result<BoundToken>> TokenCache::get(const Pod& pod, std::string audience,
                                                std::int64_t expiration_seconds) {
    std::string account =
        pod.spec.serviceAccountName.empty() ? "default" : pod.spec.serviceAccountName;
    TokenRequest wanted;
    if (!audience.empty()) {
        wanted.spec.audiences.push_back(audience);
    }
    wanted.spec.expirationSeconds = expiration_seconds;
    BoundObjectReference& bound = wanted.spec.boundObjectRef.emplace();
    bound.apiVersion = "v1";
    bound.kind = "Pod";
    bound.name = pod.metadata.name;
    bound.uid = pod.metadata.uid;
    constexpr Resource kAccounts = {"v1", "serviceaccounts", ResourceScope::namespaced};
    ApiRequest request;
    request.method = "POST";
    request.path = resource_path(kAccounts, pod.metadata.namespace_, account, "token");
    request.body = to_json(wanted);
    Key key(pod.metadata.uid, std::move(account), std::move(audience), expiration_seconds);
    return fetch(std::move(request), std::move(key));
}

async::Task<Result<BoundToken>> TokenCache::fetch(ApiRequest request, Key key) {
    auto now = clock_.wall_now();
    auto kept = tokens_.find(key);
    if (kept != tokens_.end() && now < kept->second.renew) {
        co_return kept->second.token;
    }
    auto body = co_await client_.call(std::move(request));
    auto answer =
        body ? from_json<TokenRequest>(*body) : Result<TokenRequest>(fail(std::move(body.error())));
    if (answer && (answer->status.token.empty() || !answer->status.expirationTimestamp)) {
        answer = fail(Code::corrupt, "a token request was answered without a token");
    }
    kept = tokens_.find(key);
    if (!answer) {
        if (kept != tokens_.end() && now < kept->second.token.expires) {
            log::warn("token not renewed", log::kv("error", format_as(answer.error())));
            co_return kept->second.token;
        }
        co_return fail(std::move(answer.error()));
    }
    BoundToken token;
    token.token = answer->status.token;
    token.expires = answer->status.expirationTimestamp->at;
    auto life = std::min<Duration>(
        std::chrono::duration_cast<Duration>((token.expires - now) * kRenewAtShare), kRenewAfter);
    auto jitter = std::chrono::duration_cast<Duration>(kRenewJitter * random_.uniform());
    tokens_[std::move(key)] = Kept{token, now + life - jitter};
    co_return token;
}

void TokenCache::release(const std::string& pod_uid) {
    std::erase_if(tokens_, [&](const auto& entry) { return std::get<0>(entry.first) == pod_uid; });
}

}  // namespace skiff::kube
