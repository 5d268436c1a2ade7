// `skiff node join`: from an address, a bootstrap token and a pinned CA key to a bootstrap
// kubeconfig, as kubeadm does it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "async/task.h"
#include "base/result.h"
#include "base/time.h"

namespace skiff::node {

struct JoinRequest {
    std::string server;                       // "https://host:port", "host:port" or "host"
    std::string token;                        // "abcdef.0123456789abcdef", or one of k3s (k3s.h)
    std::vector<std::string> ca_cert_hashes;  // "sha256:<hex>"; one must match (not for k3s)
    std::filesystem::path bootstrap_kubeconfig;
};

// Reads the public cluster-info without trusting the server, checks that the CA in it has a pinned
// key and that the text is signed with our token, reads it again over a connection that this CA
// vouches for, and writes the bootstrap kubeconfig (0600). Fails with invalid (arguments, token not
// known to the cluster), denied (the CA is not the pinned one), unavailable, timeout.
[[nodiscard]] async::Task<Result<void>> join(JoinRequest request, const Clock& clock);

// Whether it has the form "abcdef.0123456789abcdef".
[[nodiscard]] bool is_bootstrap_token(std::string_view token);

// "https://host:port" of JoinRequest::server; 6443 where no port is named. Fails with invalid.
[[nodiscard]] Result<std::string> server_url(std::string_view server);

// The signature of `content` under the bootstrap token, as the cluster's signer makes it: a
// detached JWS. Returns whether `jws` is that.
[[nodiscard]] bool is_signed_by_token(std::string_view content, std::string_view jws,
                                      std::string_view token_secret);

}  // namespace skiff::node
