#include "server/authentication.h"

#include "base/digest.h"
#include "base/log.h"
#include "base/text.h"

namespace skiff::server {

namespace {

// A token that is refused now may be good in a moment (clocks, lagging caches).
constexpr Duration kUnknownFor = std::chrono::seconds(10);
constexpr std::size_t kTokensMax = 1024;
constexpr std::string_view kAuthenticatedGroup = "system:authenticated";

std::optional<std::string> bearer_token(const http::Headers& headers) {
    auto field = headers.find("Authorization");
    if (!field) {
        return std::nullopt;
    }
    std::string_view text = trim(*field);
    constexpr std::string_view kScheme = "bearer ";
    if (text.size() <= kScheme.size() || to_lower(text.substr(0, kScheme.size())) != kScheme) {
        return std::nullopt;
    }
    std::string_view token = trim(text.substr(kScheme.size()));
    if (token.empty() || token.find(' ') != std::string_view::npos) {
        return std::nullopt;
    }
    return std::string(token);
}

User with_group(User user) {
    auto& groups = user.groups;
    if (std::find(groups.begin(), groups.end(), kAuthenticatedGroup) == groups.end()) {
        groups.emplace_back(kAuthenticatedGroup);
    }
    return user;
}

SteadyTime later(const Clock& clock, Duration by) {
    return clock.steady_now() + std::chrono::duration_cast<SteadyTime::duration>(by);
}

}  // namespace

Authenticator::Authenticator(const Clock& clock, Reviews* reviews, Anonymous anonymous,
                             Duration known_for)
    : clock_(clock),
      reviews_(reviews),
      anonymous_(anonymous),
      known_for_(known_for),
      tokens_(kTokensMax) {}

async::Task<Result<User>> Authenticator::authenticate(const http::ServerRequest& request) {
    if (request.peer.certificate) {
        User user;
        user.name = request.peer.certificate->common_name;
        user.groups = request.peer.certificate->organizations;
        co_return with_group(std::move(user));
    }
    if (auto token = bearer_token(request.headers)) {
        co_return co_await by_token(std::move(*token));
    }
    // Whoever shows credentials that do not count is not anonymous.
    bool shows_something =
        request.headers.contains("Authorization") || !request.peer.certificate_problem.empty();
    if (anonymous_ == Anonymous::allowed && !shows_something) {
        User user;
        user.name = "system:anonymous";
        user.groups = {"system:unauthenticated"};
        co_return user;
    }
    co_return fail(Code::unauthenticated, "no valid credentials");
}

async::Task<Result<User>> Authenticator::by_token(std::string token) {
    std::string key = hash_of(token);
    if (const auto* known = tokens_.find(key, clock_.steady_now())) {
        if (!*known) {
            co_return fail(Code::unauthenticated, "token refused");
        }
        co_return **known;
    }
    if (reviews_ == nullptr) {
        co_return fail(Code::unauthenticated, "tokens are not accepted");
    }
    auto review = co_await reviews_->review_token(std::move(token));
    if (!review) {
        log::warn("token review failed", log::kv("error", review.error().message));
        co_return fail(Code::unauthenticated, "token could not be reviewed");
    }
    if (!review->authenticated || review->user.username.empty()) {
        tokens_.put(key, std::nullopt, later(clock_, std::min(kUnknownFor, known_for_)));
        co_return fail(Code::unauthenticated, "token refused");
    }
    User user;
    user.name = std::move(review->user.username);
    user.uid = std::move(review->user.uid);
    user.groups = std::move(review->user.groups);
    user.extra = std::move(review->user.extra);
    user = with_group(std::move(user));
    tokens_.put(key, user, later(clock_, known_for_));
    co_return user;
}

}  // namespace skiff::server
