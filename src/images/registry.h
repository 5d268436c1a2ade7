// The client side of the OCI distribution protocol: authentication, mirrors, retries. Reactor
// thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "http/client.h"
#include "images/challenge.h"
#include "images/credentials.h"
#include "images/reference.h"

namespace skiff::images {

// How to reach one host. Without one, a registry is reached by https, on a loopback address by
// plain HTTP.
struct RegistryHost {
    std::string host;  // "registry.example:5000", as references name it
    enum class Scheme { https, http } scheme = Scheme::https;
    http::Tls tls;
    // Asked first, in order, with the node's own credentials for them:
    // "mirror.example:5000/prefix". What they are reached by is said by an entry of their own.
    std::vector<std::string> mirrors;
};

struct RetryPolicy {
    int attempts_max = 5;
    Duration first = std::chrono::milliseconds(400);
    Duration longest = std::chrono::seconds(10);
    // A Retry-After beyond this is taken for this.
    Duration retry_after_max = std::chrono::seconds(30);
};

struct RegistrySettings {
    std::vector<RegistryHost> hosts;
    // The node's docker config: also tried for images of pods, after their own pull secrets.
    std::vector<CredentialEntry> node_credentials;
    RetryPolicy retry;
    // "" forbids proxies, nullopt takes them from the environment.
    std::optional<std::string> proxy;
    // Between two pieces of a response.
    Duration idle_timeout = std::chrono::seconds(30);
};

// A manifest or index as it came, its digest already checked against the reference.
struct FetchedDocument {
    std::string bytes;
    std::string content_type;
    Digest digest;
};

class Registry {
public:
    // Both must outlive the registry.
    Registry(http::Client& client, Random& random, RegistrySettings settings);
    Registry(const Registry&) = delete;
    Registry& operator=(const Registry&) = delete;

    [[nodiscard]] const RegistrySettings& settings() const { return settings_; }

    // Errors of all: not_found (no such image), unauthenticated (no or wrong credentials),
    // denied (403, or a redirect that would leak), unavailable (429, 5xx, no connection, after the
    // retries), timeout, corrupt (wrong digest), invalid.
    [[nodiscard]] async::Task<Result<FetchedDocument>> fetch_manifest(
        Reference reference, std::optional<Credential> credential);
    // Whether `credential` may read the manifest `digest` of `reference`'s repository.
    [[nodiscard]] async::Task<Result<void>> check_access(Reference reference, Digest digest,
                                                         std::optional<Credential> credential);
    // Whether `credential` may read that blob of `reference`'s repository.
    [[nodiscard]] async::Task<Result<void>> check_blob(Reference reference, Digest digest,
                                                       std::optional<Credential> credential);
    // The blob's bytes from `offset` on. `starts_at` of the answer is 0 where the registry does not
    // serve parts.
    struct BlobStream {
        std::unique_ptr<http::Stream> stream;
        std::uint64_t starts_at = 0;
    };
    [[nodiscard]] async::Task<Result<BlobStream>> open_blob(Reference reference, Digest digest,
                                                            std::uint64_t offset,
                                                            std::optional<Credential> credential);
    // How long to wait before try number `attempt` (from 1) after a failure.
    [[nodiscard]] Duration retry_delay(int attempt) const;

private:
    // Where a repository is asked for.
    struct Place {
        http::Url base;          // scheme, host, port, path prefix
        std::string repository;  // with the mirror's prefix
        http::Tls tls;
        std::optional<Credential> credential;
        std::string label;  // for messages: the host as people write it
    };
    struct Call {
        std::string method = "GET";
        std::string path;  // below /v2/<repository>/
        http::Headers headers;
        http::Version version = http::Version::kAutomatic;
        std::size_t window_bytes = 1U << 20;
        Duration total{};
        Place place;
    };
    // An Authorization value and how long it is good.
    struct Authorization {
        std::string value;
        SteadyTime expires;
    };
    struct TokenAnswer {
        std::string token;
        std::chrono::seconds lifetime{60};
    };
    using Opened = std::unique_ptr<http::Stream>;

    [[nodiscard]] async::Task<Result<void>> ask_origin(Reference reference, Call call,
                                                       std::optional<Credential> credential);
    [[nodiscard]] Result<std::vector<Place>> places(const Reference& reference,
                                                    const std::optional<Credential>& credential);
    [[nodiscard]] Result<Place> place_at(const std::string& host, const std::string& repository);
    [[nodiscard]] const RegistryHost* find_host(const std::string& host) const;
    // Any place, with retries: a response of status 200 or 206.
    [[nodiscard]] async::Task<Result<Opened>> call_any(std::vector<Place> places, Call call);
    [[nodiscard]] async::Task<Result<Opened>> call_with_retries(Call call);
    [[nodiscard]] async::Task<Result<Opened>> call_once(Call call, std::optional<Duration>* wait);
    [[nodiscard]] http::Request request_for(const Call& call, const std::string& authorization);
    [[nodiscard]] async::Task<Result<std::string>> authorize(Call call, http::Headers response);
    [[nodiscard]] async::Task<Result<TokenAnswer>> fetch_token(Place place, Challenge challenge);
    [[nodiscard]] async::Task<Result<Opened>> explain(Call call, Opened stream);
    [[nodiscard]] static std::string authorization_key(const Place& place);
    [[nodiscard]] std::string cached_authorization(const Place& place);
    void remember(const Place& place, std::string value, Duration lifetime);

    http::Client& client_;
    Random& random_;
    RegistrySettings settings_;
    // By origin, repository and credential: a token never serves another credential.
    std::map<std::string, Authorization> authorizations_;
};

}  // namespace skiff::images
