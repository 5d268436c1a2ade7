// What is said to a credential plugin and what it says: ExecCredential of
// client.authentication.k8s.io, v1 and v1beta1. Pure but for the CA file.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "kube/client_config.h"

namespace skiff::kube {

inline constexpr std::size_t kExecCredentialBytesMax = std::size_t{1} << 20;

// What a request proves who it comes from with. Empty fields are not used.
struct Credential {
    std::string token;
    std::string certificate_pem;
    std::string key_pem;
    std::optional<WallTime> expires;  // nullopt: when the server refuses it
    friend bool operator==(const Credential&, const Credential&) = default;
};

// The text of KUBERNETES_EXEC_INFO; `config` has a plugin. With provideClusterInfo it holds the
// cluster's CA, which is read from its file where the kubeconfig names one.
[[nodiscard]] std::string format_exec_info(const ClientConfig& config);

// A plugin's answer. Fails with Code::invalid: not an ExecCredential of that version, without a
// status, without any credential, a certificate without its key. No secret is in a message.
[[nodiscard]] Result<Credential> parse_exec_credential(std::string_view json,
                                                       std::string_view api_version);

}  // namespace skiff::kube
