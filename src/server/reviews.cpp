#include "server/reviews.h"

namespace skiff::server {

namespace {

constexpr std::size_t kAtOnceMax = 8;
constexpr Duration kTurnTimeout = std::chrono::seconds(10);

SteadyTime turn_deadline() {
    return std::chrono::steady_clock::now() +
           std::chrono::duration_cast<SteadyTime::duration>(kTurnTimeout);
}

}  // namespace

KubeReviews::KubeReviews(kube::ApiClient& client) : client_(client), turns_(kAtOnceMax) {}

async::Task<Result<kube::TokenReviewStatus>> KubeReviews::review_token(std::string token) {
    SKIFF_CO_TRY(auto turn, co_await turns_.acquire(turn_deadline()));
    kube::TokenReview review;
    review.spec.token = std::move(token);
    SKIFF_CO_TRY(auto answer, co_await client_.create(review, kube::Throttle::exempt));
    co_return std::move(answer.status);
}

async::Task<Result<kube::SubjectAccessReviewStatus>> KubeReviews::review_access(
    kube::SubjectAccessReviewSpec spec) {
    SKIFF_CO_TRY(auto turn, co_await turns_.acquire(turn_deadline()));
    kube::SubjectAccessReview review;
    review.spec = std::move(spec);
    SKIFF_CO_TRY(auto answer, co_await client_.create(review, kube::Throttle::exempt));
    co_return std::move(answer.status);
}

}  // namespace skiff::server
