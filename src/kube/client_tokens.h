// Service-account tokens bound to pods, made by the API server, kept until 80 % of their life.
// Reactor thread only.
#pragma once

#include <map>
#include <string>
#include <tuple>

#include "base/random.h"
#include "kube/client_api.h"

namespace skiff::kube {

struct BoundToken {
    std::string token;
    WallTime expires;
};

class TokenCache {
public:
    // All outlive the cache.
    TokenCache(ApiClient& client, const Clock& clock, Random& random)
        : client_(client), clock_(clock), random_(random) {}

    // A token of the pod's service account (contract row 31). A new one is asked for at 80 % of the
    // old one's life or after 24 hours; while that fails, the old one is given as long as it is
    // valid. `audience` may be empty: the API server's own.
    [[nodiscard]] async::Task<Result<BoundToken>> get(const Pod& pod, std::string audience,
                                                      std::int64_t expiration_seconds);
    // Forgets the pod's tokens.
    void release(const std::string& pod_uid);

private:
    // pod uid, service account, audience, seconds
    using Key = std::tuple<std::string, std::string, std::string, std::int64_t>;
    struct Kept {
        BoundToken token;
        WallTime renew;
    };
    [[nodiscard]] async::Task<Result<BoundToken>> fetch(ApiRequest request, Key key);

    ApiClient& client_;
    const Clock& clock_;
    Random& random_;
    std::map<Key, Kept> tokens_;
};

}  // namespace skiff::kube
