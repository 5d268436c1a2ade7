// Registry credentials: docker config files and pull secrets, and which of them an image may use.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace skiff::images {

// One way to log in to one registry. Never logged; format_as is deliberately absent.
struct Credential {
    std::string username;
    std::string password;
    std::string identity_token;  // an OAuth2 refresh token, instead of a password
    std::string registry_token;  // a bearer token to be sent as it is

    // The same for equal credentials: for keys in memory.
    [[nodiscard]] std::string key() const;
    friend bool operator==(const Credential&, const Credential&) = default;
};

// A credential and where it may go.
struct CredentialEntry {
    // "registry.example:5000/team", "*.example.com": what the docker config names.
    std::string pattern;
    Credential credential;
    // "namespace/name/uid" of the pull secret that it came from, empty for the node's own.
    std::string source;
};

enum class ConfigFormat {
    config_json,  // config.json and kubernetes.io/dockerconfigjson: {"auths": {…}}
    dockercfg,    // kubernetes.io/dockercfg: the map alone
};

// Entries of a docker config. Those without a usable credential are left out; credential helpers
// are not run. Fails with invalid (not JSON, too long).
[[nodiscard]] Result<std::vector<CredentialEntry>> parse_docker_config(std::string_view json,
                                                                       ConfigFormat format,
                                                                       std::string source);

// The credential helpers that a config.json names (credsStore, credHelpers), each once as
// "docker-credential-NAME": Skiff runs none of them, and their owner should know. Empty for text
// that is no config.
[[nodiscard]] std::vector<std::string> named_helpers(std::string_view json);

// Whether an entry for `pattern` may be used for `name` ("registry/repository"), by the kubelet's
// rules: host parts match as globs one by one, ports must be equal, a path matches as a prefix of
// whole components.
[[nodiscard]] bool matches(std::string_view pattern, std::string_view name);

// The entries that may be used for `name`, the longest pattern first, each credential once.
[[nodiscard]] std::vector<CredentialEntry> find_credentials(
    const std::vector<CredentialEntry>& entries, std::string_view name);

}  // namespace skiff::images
