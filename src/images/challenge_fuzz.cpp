#include "images/challenge.h"

#include "base/fuzz.h"
#include "base/text.h"
#include "images/limits.h"

namespace skiff::images {

// Credentials go in the clear only to where they are sent in the clear anyway, and to no other
// host without an owner in common.
static void check_realm(const http::Url& registry, const http::Url& realm) {
    if (!realm_may_see_credentials(registry, realm)) {
        return;
    }
    SKIFF_ASSERT(realm.scheme == "https" || registry.origin() == realm.origin());
    if (registry.host != realm.host) {
        const std::size_t dot = realm.host.find('.');
        SKIFF_ASSERT(dot != std::string::npos);
        SKIFF_ASSERT(registry.host.substr(registry.host.rfind('.')) ==
                     realm.host.substr(realm.host.rfind('.')));
        SKIFF_ASSERT(!realm.host.ends_with('.'));
    }
}

// The input: the registry's URL, a zero byte, the header.
SKIFF_FUZZ(images_challenge) {
    fuzz::Input input(bytes);
    const auto registry = http::parse_url(input.part());
    const auto challenges = parse_challenges(input.rest());
    SKIFF_ASSERT(challenges.size() <= kChallengesMax);
    for (const Challenge& challenge : challenges) {
        SKIFF_ASSERT(!challenge.scheme.empty() && to_lower(challenge.scheme) == challenge.scheme);
        for (const auto& [name, value] : challenge.parameters) {
            SKIFF_ASSERT(!name.empty() && to_lower(name) == name);
        }
        const auto named = challenge.parameters.find("realm");
        if (registry && named != challenge.parameters.end()) {
            if (const auto realm = http::parse_url(named->second)) {
                check_realm(*registry, *realm);
            }
        }
    }
}

}  // namespace skiff::images
