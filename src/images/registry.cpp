#include "images/registry.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "images/json.h"
#include "images/limits.h"
#include "images/oci.h"

namespace skiff::images {

namespace {

constexpr std::string_view kAcceptManifest =
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json";
constexpr auto kManifestTimeout = std::chrono::seconds(60);

bool is_loopback(std::string_view authority) {
    std::string_view host = authority.substr(0, authority.find_last_of(":]"));
    bool address = authority.find_first_not_of("0123456789.:") == std::string_view::npos;
    return host == "localhost" || authority == "localhost" || authority.starts_with("[::1]") ||
           (address && host.starts_with("127."));
}

// Whether the same call may succeed in a while.
bool is_passing(const Error& error) {
    return error.code == Code::unavailable || error.code == Code::timeout;
}

}  // namespace

Registry::Registry(http::Client& client, Random& random, RegistrySettings settings)
    : client_(client), random_(random), settings_(std::move(settings)) {}

const RegistryHost* Registry::find_host(const std::string& host) const {
    for (const RegistryHost& entry : settings_.hosts) {
        if (entry.host == host) {
            return &entry;
        }
    }
    return nullptr;
}

Result<Registry::Place> Registry::place_at(const std::string& host, const std::string& repository) {
    std::string reach = host == "docker.io" ? "registry-1.docker.io" : host;
    const RegistryHost* entry = find_host(host);
    bool plain = entry != nullptr ? entry->scheme == RegistryHost::Scheme::http : is_loopback(host);
    Place place;
    SKIFF_TRY(place.base, http::parse_url((plain ? "http://" : "https://") + reach + "/"));
    place.repository = repository;
    place.label = host;
    if (entry != nullptr) {
        place.tls = entry->tls;
    }
    return place;
}

Result<std::vector<Registry::Place>> Registry::places(const Reference& reference,
                                                      const std::optional<Credential>& credential) {
    std::vector<Place> out;
    const RegistryHost* entry = find_host(reference.registry);
    for (const std::string& mirror :
         entry != nullptr ? entry->mirrors : std::vector<std::string>()) {
        auto slash = mirror.find('/');
        std::string repository = slash == std::string::npos
                                     ? reference.repository
                                     : mirror.substr(slash + 1) + "/" + reference.repository;
        SKIFF_TRY(Place place, place_at(mirror.substr(0, slash), repository));
        auto own = find_credentials(settings_.node_credentials,
                                    mirror.substr(0, slash) + "/" + repository);
        if (!own.empty()) {
            place.credential = own.front().credential;
        }
        out.push_back(std::move(place));
    }
    SKIFF_TRY(Place origin, place_at(reference.registry, reference.repository));
    origin.credential = credential;
    out.push_back(std::move(origin));
    return out;
}

Duration Registry::retry_delay(int attempt) const {
    Duration delay = settings_.retry.first;
    for (int i = 1; i < attempt && delay < settings_.retry.longest; ++i) {
        delay *= 2;
    }
    delay = std::min(delay, settings_.retry.longest);
    // A node that comes back with many others does not come at the same moment.
    return std::chrono::duration_cast<Duration>(delay * (0.75 + random_.uniform() / 2));
}

async::Task<Result<FetchedDocument>> Registry::fetch_manifest(
    Reference reference, std::optional<Credential> credential) {
    SKIFF_CO_TRY(auto candidates, places(reference, credential));
    Call call;
    call.path = "manifests/" + reference.manifest_key();
    call.headers.add("Accept", std::string(kAcceptManifest));
    call.total = kManifestTimeout;
    SKIFF_CO_TRY(Opened stream, co_await call_any(std::move(candidates), std::move(call)));
    auto body = co_await stream->read_all(kManifestBytesMax);
    if (!body) {
        co_return fail(std::move(body.error()));
    }
    Hasher hasher(reference.digest ? reference.digest->algorithm() : "sha256");
    hasher.update(*body);
    Digest digest = hasher.finish();
    std::string claimed = stream->headers().find("Docker-Content-Digest").value_or("");
    if (reference.digest && digest != *reference.digest) {
        co_return fail(Code::corrupt, "the registry sent a manifest with digest {} for {}", digest,
                       reference.str());
    }
    if (claimed.starts_with("sha256:") && digest.algorithm() == "sha256" &&
        claimed != digest.str()) {
        co_return fail(Code::corrupt, "the registry announced manifest {} and sent {}",
                       bounded_utf8(claimed, 80), digest);
    }
    co_return FetchedDocument{std::move(*body), stream->headers().find("Content-Type").value_or(""),
                              std::move(digest)};
}

async::Task<Result<void>> Registry::ask_origin(Reference reference, Call call,
                                               std::optional<Credential> credential) {
    SKIFF_CO_TRY(auto candidates, places(reference, credential));
    // A mirror knows nothing of the origin's access rules.
    candidates.erase(candidates.begin(), candidates.end() - 1);
    call.method = "HEAD";
    call.headers.add("Accept", std::string(kAcceptManifest) + ", */*");
    call.total = kManifestTimeout;
    SKIFF_CO_TRY(Opened stream, co_await call_any(std::move(candidates), std::move(call)));
    co_return Result<void>{};
}

async::Task<Result<void>> Registry::check_access(Reference reference, Digest digest,
                                                 std::optional<Credential> credential) {
    Call call;
    call.path = "manifests/" + digest.str();
    co_return co_await ask_origin(std::move(reference), std::move(call), std::move(credential));
}

async::Task<Result<void>> Registry::check_blob(Reference reference, Digest digest,
                                               std::optional<Credential> credential) {
    Call call;
    call.path = "blobs/" + digest.str();
    co_return co_await ask_origin(std::move(reference), std::move(call), std::move(credential));
}

async::Task<Result<Registry::BlobStream>> Registry::open_blob(
    Reference reference, Digest digest, std::uint64_t offset,
    std::optional<Credential> credential) {
    SKIFF_CO_TRY(auto candidates, places(reference, credential));
    Call call;
    call.path = "blobs/" + digest.str();
    // One connection for each blob: nothing that is not read holds up the others.
    call.version = http::Version::kHttp1;
    call.window_bytes = kBlobWindowBytes;
    // Downloads looks after its pace.
    call.total = kBlobTimeMax;
    if (offset > 0) {
        call.headers.add("Range", fmt::format("bytes={}-", offset));
    }
    BlobStream out;
    SKIFF_CO_TRY(out.stream, co_await call_any(std::move(candidates), std::move(call)));
    if (out.stream->status() == 206) {
        std::string range = out.stream->headers().find("Content-Range").value_or("");
        if (!range.starts_with(fmt::format("bytes {}-", offset))) {
            co_return fail(Code::unavailable,
                           "the registry sent another part ({:?}) than asked for",
                           bounded_utf8(range, 80));
        }
        out.starts_at = offset;
    }
    co_return std::move(out);
}

async::Task<Result<Registry::Opened>> Registry::call_any(std::vector<Place> candidates, Call call) {
    for (std::size_t i = 0; i + 1 < candidates.size(); ++i) {
        call.place = candidates[i];
        std::optional<Duration> wait;
        auto stream = co_await call_once(call, &wait);
        if (stream || stream.error().code == Code::cancelled) {
            co_return std::move(stream);
        }
        log::debug("mirror passed over", log::kv("mirror", call.place.label),
                   log::kv("path", call.path), log::kv("why", stream.error().message));
    }
    call.place = candidates.back();
    co_return co_await call_with_retries(std::move(call));
}

async::Task<Result<Registry::Opened>> Registry::call_with_retries(Call call) {
    for (int attempt = 1;; ++attempt) {
        std::optional<Duration> wait;
        auto stream = co_await call_once(call, &wait);
        bool again = !stream && is_passing(stream.error());
        if (!again || attempt >= settings_.retry.attempts_max) {
            co_return std::move(stream);
        }
        Duration delay = wait.value_or(retry_delay(attempt));
        SKIFF_CO_CHECK(co_await async::sleep_for(std::min(delay, settings_.retry.retry_after_max)));
    }
}

http::Request Registry::request_for(const Call& call, const std::string& authorization) {
    http::Request request;
    request.method = call.method;
    http::Url url = call.place.base;
    url.path = "/v2/" + call.place.repository + "/" + call.path;
    request.url = url.str();
    request.headers = call.headers;
    if (!authorization.empty()) {
        request.headers.add("Authorization", authorization);
    }
    request.tls = call.place.tls;
    request.version = call.version;
    request.window_bytes = call.window_bytes;
    request.redirects_max = kRedirectsMax;
    request.proxy = settings_.proxy;
    request.timeouts.total = call.total;
    request.timeouts.idle = settings_.idle_timeout;
    return request;
}

async::Task<Result<Registry::Opened>> Registry::call_once(Call call,
                                                          std::optional<Duration>* wait) {
    std::string authorization = cached_authorization(call.place);
    for (int round = 0;; ++round) {
        http::Request request = request_for(call, authorization);
        SKIFF_CO_TRY(Opened stream, co_await client_.open(std::move(request)));
        int status = stream->status();
        if (status == 200 || status == 206) {
            co_return std::move(stream);
        }
        if (status == 401 && round == 0) {
            authorizations_.erase(authorization_key(call.place));
            SKIFF_CO_TRY(std::string fresh, co_await authorize(call, stream->headers()));
            if (!fresh.empty()) {
                authorization = std::move(fresh);
                continue;
            }
        }
        if (auto seconds = parse_uint(stream->headers().find("Retry-After").value_or(""))) {
            *wait = std::chrono::seconds(std::min<std::uint64_t>(*seconds, 3600));
        }
        co_return co_await explain(std::move(call), std::move(stream));
    }
}

async::Task<Result<Registry::Opened>> Registry::explain(Call call, Opened stream) {
    int status = stream->status();
    // {"errors":[{"code":…,"message":…}]}, in the registry's words.
    std::string words;
    auto body = co_await stream->read_all(kErrorBodyBytesMax);
    auto object = body ? parse_object(*body) : fail(Code::invalid, "no body");
    if (object) {
        const auto* errors = array_in(*object, "errors");
        if (errors != nullptr && !errors->empty() && errors->front().is_object()) {
            words = string_in(errors->front().get_object(), "message");
        }
    }
    words = words.empty() ? "" : ": " + bounded_utf8(words, kErrorTextBytesMax);
    const Place& place = call.place;
    if (status == 404) {
        constexpr std::string_view kManifests = "manifests/";
        if (call.path.starts_with(kManifests)) {
            std::string key = call.path.substr(kManifests.size());
            char mark = key.find(':') == std::string::npos ? ':' : '@';
            co_return fail(Code::not_found, "{}/{}{}{}: not found{}", place.label, place.repository,
                           mark, key, words);
        }
        co_return fail(Code::not_found, "{}/{}: {}: not found{}", place.label, place.repository,
                       call.path, words);
    }
    if (status == 401 && !place.credential) {
        co_return fail(Code::unauthenticated,
                       "{} asks for credentials for {:?} and none were given (does the repository "
                       "exist, does the pod name the right imagePullSecrets?){}",
                       place.label, place.repository, words);
    }
    if (status == 401) {
        co_return fail(Code::unauthenticated, "{} refuses the credentials given for {:?}{}",
                       place.label, place.repository, words);
    }
    if (status == 403) {
        co_return fail(Code::denied, "{} denies access to {:?}{}", place.label, place.repository,
                       words);
    }
    bool passing = status == 429 || status == 408 || status >= 500;
    co_return fail(passing ? Code::unavailable : Code::invalid, "{} answered {} for {} of {:?}{}",
                   place.label, status, call.path, place.repository, words);
}

}  // namespace skiff::images
