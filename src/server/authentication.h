// Who sends a request: by client certificate, by bearer token, or nobody (contract row 46).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "async/task.h"
#include "base/result.h"
#include "base/time.h"
#include "http/server.h"
#include "server/bounded_cache.h"
#include "server/reviews.h"

namespace skiff::server {

struct User {
    std::string name;
    std::string uid;
    std::vector<std::string> groups;
    std::map<std::string, std::vector<std::string>> extra;
    friend bool operator==(const User&, const User&) = default;
};

enum class Anonymous { refused, allowed };

class Authenticator {
public:
    // `reviews` may be null: then tokens identify nobody. A token that identifies somebody is not
    // asked about again for `known_for`. All outlive this object.
    Authenticator(const Clock& clock, Reviews* reviews, Anonymous anonymous, Duration known_for);
    // Fails with unauthenticated, also when the API server cannot be asked about a token.
    [[nodiscard]] async::Task<Result<User>> authenticate(const http::ServerRequest& request);

private:
    [[nodiscard]] async::Task<Result<User>> by_token(std::string token);

    const Clock& clock_;
    Reviews* reviews_;
    Anonymous anonymous_;
    Duration known_for_;
    // Keyed by a digest, so that memory holds no usable token. nullopt: nobody.
    BoundedCache<std::optional<User>> tokens_;
};

}  // namespace skiff::server
