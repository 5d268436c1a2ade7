// What the server asks the API server about callers: who holds this token, and may they do that.
#pragma once

#include <string>

#include "async/event.h"
#include "async/task.h"
#include "base/result.h"
#include "kube/client_api.h"
#include "kube/types.h"

namespace skiff::server {

class Reviews {
public:
    virtual ~Reviews() = default;
    // Both fail when the API server cannot be asked; a "no" is an answer.
    [[nodiscard]] virtual async::Task<Result<kube::TokenReviewStatus>> review_token(
        std::string token) = 0;
    [[nodiscard]] virtual async::Task<Result<kube::SubjectAccessReviewStatus>> review_access(
        kube::SubjectAccessReviewSpec spec) = 0;
};

// Over the node's own credentials. Strangers can cause reviews, so these do not draw on the budget
// of requests that statuses live on, and only a few are on their way at once.
class KubeReviews final : public Reviews {
public:
    // `client` outlives this object.
    explicit KubeReviews(kube::ApiClient& client);
    [[nodiscard]] async::Task<Result<kube::TokenReviewStatus>> review_token(
        std::string token) override;
    [[nodiscard]] async::Task<Result<kube::SubjectAccessReviewStatus>> review_access(
        kube::SubjectAccessReviewSpec spec) override;

private:
    kube::ApiClient& client_;
    async::Semaphore turns_;
};

}  // namespace skiff::server
