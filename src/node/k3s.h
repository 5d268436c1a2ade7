// How a node joins k3s and RKE2 as they are: not by CertificateSigningRequests but by their
// supervisor, with the cluster's join token and a password of the node's own. Reactor thread only.
//
//     K10<sha256 of the CA>::server:<password>      from the server's node-token file
//     K10<sha256 of the CA>::<id>.<secret>          a bootstrap token (`k3s token create`)
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "async/task.h"
#include "base/random.h"
#include "base/result.h"
#include "base/time.h"
#include "http/client.h"
#include "kube/client_api.h"
#include "node/bootstrap.h"
#include "node/join.h"
#include "node/settings.h"

namespace skiff::node {

struct K3sToken {
    std::string ca_hash;    // lower-case hexadecimal
    std::string password;   // either this,
    std::string bootstrap;  // or "id.secret"
    friend bool operator==(const K3sToken&, const K3sToken&) = default;
};
// Whether a join token is of this kind, well-formed or not.
[[nodiscard]] bool is_k3s_token(std::string_view token);
// Fails with invalid; the message does not show the token.
[[nodiscard]] Result<K3sToken> parse_k3s_token(std::string_view token);
// What a token pins of the PEM text that /cacerts gives: of one certificate the text as it is, of
// several the root of the first. Fails with invalid: no certificate.
[[nodiscard]] Result<std::string> k3s_ca_hash(std::string_view pem);

// What `skiff node join` found out, kept beside the bootstrap kubeconfig (0600).
struct K3sCluster {
    std::string supervisor;  // "https://host:6443"; RKE2: port 9345
    std::string program;     // "k3s" or "rke2": the paths are /v1-PROGRAM/…
    std::string api_server;  // "https://host:6443"
    std::string ca_pem;
    K3sToken token;
    friend bool operator==(const K3sCluster&, const K3sCluster&) = default;
    // "https://host:6443/v1-k3s/connect"
    [[nodiscard]] std::string url(std::string_view name) const {
        return supervisor + "/v1-" + program + "/" + std::string(name);
    }
};
[[nodiscard]] std::string format_k3s_cluster(const K3sCluster& cluster);
// Fails with corrupt.
[[nodiscard]] Result<K3sCluster> parse_k3s_cluster(std::string_view json);
[[nodiscard]] std::filesystem::path k3s_cluster_file(
    const std::filesystem::path& bootstrap_kubeconfig);
// What this node joined; nullopt when it is no k3s or RKE2. Fails when the file cannot be
// read, or others may read it.
[[nodiscard]] Result<std::optional<K3sCluster>> find_k3s_cluster(const NodeSettings& settings);

// join() for such a token: fetches the CA, which must be the one that the token pins, asks the
// supervisor where its API server is, and writes the file. Fails as join().
[[nodiscard]] async::Task<Result<void>> join_k3s(JoinRequest request);

// ensure_identity() for a node of `cluster`: key and certificate in cert_dir/k3s-client.pem, and
// with them the serving certificate and the authorities of the API server's own certificate
// (k3s-serving.pem, k3s-client-ca.crt), which serving.h looks for; writes the kubeconfig. Waits for
// a supervisor that is away. Fails with denied (another node has this name), unauthenticated (the
// token is not valid any more).
[[nodiscard]] async::Task<Result<void>> ensure_k3s_identity(NodeSettings settings,
                                                            K3sCluster cluster,
                                                            BootstrapPace pace = {});
// Renews these certificates before they end or when the node's addresses changed, for ever;
// keep_identity() makes `client` use the new one. Returns at once when that is another identity.
// Spawn it.
[[nodiscard]] async::Task<void> keep_k3s_certificates(NodeSettings settings,
                                                      const kube::ApiClient& client,
                                                      const Clock& clock, Random& random);

// The files of ensure_k3s_identity().
[[nodiscard]] std::filesystem::path k3s_client_file(const NodeSettings& settings);
[[nodiscard]] std::filesystem::path k3s_serving_file(const NodeSettings& settings);
[[nodiscard]] std::filesystem::path k3s_client_ca_file(const NodeSettings& settings);

}  // namespace skiff::node
