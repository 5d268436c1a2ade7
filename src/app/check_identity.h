// Checks of the node's credentials: files, certificates, tokens.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "app/check.h"
#include "base/result.h"
#include "base/time.h"
#include "config/settings.h"
#include "kube/client_config.h"
#include "node/certificates.h"

namespace skiff::app {

struct SecretFile {
    std::filesystem::path path;
    unsigned mode = 0600;
};

struct IdentityFacts {
    std::string node_name;
    WallTime now;
    std::filesystem::path kubeconfig;
    std::filesystem::path bootstrap_kubeconfig;
    Result<kube::ClientConfig> client;     // not_found: no such file
    Result<kube::ClientConfig> bootstrap;  // the same
    // The client certificate that `client` names; nullopt: it names none.
    std::optional<Result<node::CertificateFacts>> certificate;
    std::vector<SecretFile> secrets;  // those that are there
};

[[nodiscard]] IdentityFacts observe_identity(const config::Settings& settings, WallTime now);
[[nodiscard]] Findings judge_identity(const IdentityFacts& facts);

}  // namespace skiff::app
