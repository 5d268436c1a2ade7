// What a caller may do: the kubelet API's routes as subresources of the node, asked of the API
// server (contract §3).
#pragma once

#include <string>
#include <vector>

#include "async/task.h"
#include "base/result.h"
#include "base/time.h"
#include "server/authentication.h"
#include "server/bounded_cache.h"
#include "server/request_target.h"
#include "server/reviews.h"

namespace skiff::server {

// The question for one request; any of the subresources is enough.
struct Attributes {
    std::string verb;  // get, create, update, patch, delete; empty for another method
    std::vector<std::string> subresources;
    friend bool operator==(const Attributes&, const Attributes&) = default;
};
[[nodiscard]] Attributes attributes_of(std::string_view method, const RequestTarget& target);

enum class AuthorizationMode { webhook, always_allow };

// How long the API server's answers are kept.
struct AnswerLifetimes {
    Duration allowed = std::chrono::minutes(5);
    Duration refused = std::chrono::seconds(30);
};

class Authorizer {
public:
    // `reviews` may be null: then webhook mode refuses everybody. All outlive this object.
    Authorizer(const Clock& clock, Reviews* reviews, std::string node_name, AuthorizationMode mode,
               AnswerLifetimes lifetimes);
    // Fails with denied, or with internal when the API server could not be asked; the message is
    // the text that the caller gets. Never allows because something failed.
    [[nodiscard]] async::Task<Result<void>> authorize(User user, Attributes attributes);

private:
    [[nodiscard]] async::Task<Result<bool>> ask(const User& user, std::string verb,
                                                std::string subresource);

    const Clock& clock_;
    Reviews* reviews_;
    std::string node_name_;
    AuthorizationMode mode_;
    AnswerLifetimes lifetimes_;
    BoundedCache<bool> answers_;
};

}  // namespace skiff::server
