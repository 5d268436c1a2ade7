#include "images/credentials.h"

#include "base/fuzz.h"
#include "images/limits.h"

namespace skiff::images {

// The input: a byte that chooses the format, "registry/repository", a zero byte, the config.
SKIFF_FUZZ(images_credentials) {
    fuzz::Input input(bytes);
    const auto format =
        (input.byte() & 1) == 0 ? ConfigFormat::config_json : ConfigFormat::dockercfg;
    const std::string_view name = input.part();
    const auto entries = parse_docker_config(input.rest(), format, "ns/secret/uid");
    if (!entries) {
        fuzz::check_error(entries.error());
        return;
    }
    SKIFF_ASSERT(entries->size() <= kCredentialsMax);
    for (const CredentialEntry& entry : *entries) {
        SKIFF_ASSERT(entry.credential != Credential{});
        SKIFF_ASSERT(entry.credential.key().size() == 64);
        SKIFF_ASSERT(matches(entry.pattern, entry.pattern), entry.pattern);
    }
    const auto found = find_credentials(*entries, name);
    SKIFF_ASSERT(found.size() <= entries->size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        SKIFF_ASSERT(matches(found[i].pattern, name));
        SKIFF_ASSERT(i == 0 || found[i - 1].pattern.size() >= found[i].pattern.size());
    }
}

}  // namespace skiff::images
