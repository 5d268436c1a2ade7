// WWW-Authenticate challenges, and who may see credentials because of one. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "http/url.h"

namespace skiff::images {

struct Challenge {
    std::string scheme;  // lower case: "basic", "bearer"
    std::map<std::string, std::string> parameters;
};

// Every challenge of a WWW-Authenticate value; what is malformed is skipped.
[[nodiscard]] std::vector<Challenge> parse_challenges(std::string_view header);

// Whether the token server `realm` that `registry` named may be given credentials that the user
// meant for the registry. It may when it is the registry's own host, or a host of the same owner as
// far as names show one (auth.docker.io for registry-1.docker.io); never in the clear, unless the
// registry itself is spoken to in the clear and is the same origin. A registry (or whoever sits in
// its place) that names any other realm gets an anonymous token request made there, nothing else.
[[nodiscard]] bool realm_may_see_credentials(const http::Url& registry, const http::Url& realm);

}  // namespace skiff::images
