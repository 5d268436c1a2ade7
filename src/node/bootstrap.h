// The node's client certificate: asked for with a bootstrap token, kept in one PEM file, renewed in
// time (contract rows 2 and 3). Reactor thread only.
#pragma once

#include "async/task.h"
#include "base/random.h"
#include "base/time.h"
#include "kube/client_api.h"
#include "node/settings.h"

namespace skiff::node {

// How long a request may wait for its approval.
inline constexpr Duration kApprovalTimeout = std::chrono::hours(1);

// How often a server that does not answer is asked again.
struct BootstrapPace {
    Duration first = std::chrono::milliseconds(500);  // doubled each time
    Duration longest = std::chrono::seconds(30);
    // So long /healthz is asked before a request is sent all the same (contract row 2).
    Duration healthz_max = std::chrono::minutes(1);
};

// Who the node is to the API server. Uses `settings.kubeconfig` as long as what it holds is valid
// for this node; else asks for a certificate with `settings.bootstrap_kubeconfig` (for as long as
// the server is away, then up to an hour for the approval), stores key and certificate in
// cert_dir/kubelet-client-current.pem, and writes `settings.kubeconfig` to use it. Fails with
// invalid, denied or not_found (no usable kubeconfig: the message says what to do), denied (request
// refused), unauthenticated (token expired: the message names its file and the remedy), timeout.
[[nodiscard]] async::Task<Result<kube::ClientConfig>> ensure_identity(NodeSettings settings,
                                                                      const Clock& clock,
                                                                      BootstrapPace pace = {});

// Renews the certificate at 70–90 % of its life, for ever, and makes `client` use the new one.
// Returns at once when the identity is not a certificate that Skiff renews. Spawn it.
[[nodiscard]] async::Task<void> keep_identity(NodeSettings settings, kube::ApiClient& client,
                                              const Clock& clock, Random& random);

}  // namespace skiff::node
