// How Registry answers a 401: Basic, Bearer with a token server, identity tokens.
#include <algorithm>

#include "base/text.h"
#include "images/json.h"
#include "images/limits.h"
#include "images/registry.h"

namespace skiff::images {

namespace {

constexpr auto kTokenTimeout = std::chrono::seconds(30);
// A token that ends within this time is not used any more.
constexpr auto kTokenMargin = std::chrono::seconds(10);
constexpr std::int64_t kTokenLifetimeMax = 3600;

std::string basic(const Credential& credential) {
    return "Basic " + base64_encode(credential.username + ":" + credential.password);
}

}  // namespace

std::string Registry::authorization_key(const Place& place) {
    return place.base.origin() + " " + place.repository + " " +
           (place.credential ? place.credential->key() : "");
}

std::string Registry::cached_authorization(const Place& place) {
    if (place.credential && !place.credential->registry_token.empty()) {
        return "Bearer " + place.credential->registry_token;
    }
    auto found = authorizations_.find(authorization_key(place));
    if (found == authorizations_.end() ||
        found->second.expires < std::chrono::steady_clock::now()) {
        return {};
    }
    return found->second.value;
}

void Registry::remember(const Place& place, std::string value, Duration lifetime) {
    auto now = std::chrono::steady_clock::now();
    if (authorizations_.size() >= kTokensCachedMax) {
        std::erase_if(authorizations_, [&](const auto& one) { return one.second.expires < now; });
    }
    if (authorizations_.size() >= kTokensCachedMax) {
        authorizations_.clear();
    }
    auto steady = std::chrono::duration_cast<SteadyTime::duration>(lifetime);
    authorizations_[authorization_key(place)] = Authorization{std::move(value), now + steady};
}

async::Task<Result<std::string>> Registry::authorize(Call call, http::Headers response) {
    const Place& place = call.place;
    std::vector<Challenge> challenges;
    for (const std::string& header : response.find_all("WWW-Authenticate")) {
        for (Challenge& challenge : parse_challenges(header)) {
            challenges.push_back(std::move(challenge));
        }
    }
    bool has_token = place.credential && !place.credential->registry_token.empty();
    for (const Challenge& challenge : challenges) {
        if (challenge.scheme == "bearer" && !has_token) {
            SKIFF_CO_TRY(TokenAnswer answer, co_await fetch_token(place, challenge));
            std::string value = "Bearer " + answer.token;
            remember(place, value, answer.lifetime - kTokenMargin);
            co_return std::move(value);
        }
    }
    for (const Challenge& challenge : challenges) {
        bool has_password = place.credential && !place.credential->username.empty();
        if (challenge.scheme == "basic" && has_password) {
            std::string value = basic(*place.credential);
            remember(place, value, std::chrono::hours(1));
            co_return std::move(value);
        }
    }
    co_return std::string();
}

async::Task<Result<Registry::TokenAnswer>> Registry::fetch_token(Place place, Challenge challenge) {
    auto realm = http::parse_url(challenge.parameters["realm"]);
    if (!realm) {
        co_return fail(Code::invalid, "{} names an unusable token server", place.label);
    }
    bool plain_registry = place.base.scheme == "http";
    if (realm->scheme == "http" && !(plain_registry && realm->origin() == place.base.origin())) {
        co_return fail(Code::denied, "{} names a token server without TLS, {}", place.label,
                       realm->authority());
    }
    bool trusted = realm_may_see_credentials(place.base, *realm);
    const Credential* credential = place.credential && trusted ? &*place.credential : nullptr;
    std::string scope = challenge.parameters["scope"];
    if (scope.empty()) {
        scope = "repository:" + place.repository + ":pull";
    }
    http::Request request;
    request.timeouts.total = kTokenTimeout;
    request.proxy = settings_.proxy;
    if (realm->host == place.base.host) {
        request.tls = place.tls;
    }
    request.body_bytes_max = kTokenBytesMax;
    std::string service = challenge.parameters["service"];
    if (credential != nullptr && !credential->identity_token.empty()) {
        request.method = "POST";
        request.headers.add("Content-Type", "application/x-www-form-urlencoded");
        request.body = http::format_query({{"grant_type", "refresh_token"},
                                           {"refresh_token", credential->identity_token},
                                           {"service", service},
                                           {"scope", scope},
                                           {"client_id", "skiff"}});
    } else {
        if (!service.empty()) {
            realm->add_query("service", service);
        }
        realm->add_query("scope", scope);
        if (credential != nullptr && !credential->username.empty()) {
            realm->add_query("account", credential->username);
            request.headers.add("Authorization", basic(*credential));
        }
    }
    request.url = realm->str();
    SKIFF_CO_TRY(http::Response response, co_await client_.fetch(std::move(request)));
    if (response.status == 429 || response.status >= 500) {
        co_return fail(Code::unavailable, "token server {} answered {}", realm->authority(),
                       response.status);
    }
    if (response.status != 200) {
        co_return fail(Code::unauthenticated, "token server {} of {} answered {}{}",
                       realm->authority(), place.label, response.status,
                       place.credential && !trusted
                           ? " (the credentials were kept from it: it is another host's)"
                           : "");
    }
    SKIFF_CO_TRY(auto object, parse_object(response.body));
    TokenAnswer answer;
    answer.token = string_in(object, "token");
    if (answer.token.empty()) {
        answer.token = string_in(object, "access_token");
    }
    if (answer.token.empty() || answer.token.find_first_of("\r\n") != std::string::npos) {
        co_return fail(Code::invalid, "token server {} gave no token", realm->authority());
    }
    std::int64_t lifetime = integer_in(object, "expires_in").value_or(60);
    answer.lifetime =
        std::chrono::seconds(std::clamp<std::int64_t>(lifetime, 60, kTokenLifetimeMax));
    co_return std::move(answer);
}

}  // namespace skiff::images
