// The node's client certificate: asked for with a bootstrap token, kept in one PEM file, renewed in
// time, asked for anew when it has ended (contract rows 2 and 3). Reactor thread only.
#pragma once

#include "async/task.h"
#include "base/random.h"
#include "base/time.h"
#include "kube/client_api.h"
#include "node/certificate_requests.h"
#include "node/identity_record.h"
#include "node/settings.h"

namespace skiff::node {

// Who the node is to the API server. Uses `settings.kubeconfig` as long as what it holds is valid
// for this node; else asks for a certificate with `settings.bootstrap_kubeconfig` (for as long as
// the server is away, then up to an hour for the approval), stores key and certificate in
// cert_dir/kubelet-client-current.pem, and writes `settings.kubeconfig` to use it. Fails with
// invalid, denied or not_found (no usable kubeconfig: the message says what to do), denied (request
// refused; a file with a secret that others may read), unauthenticated (token expired: the message
// names its file and the remedy), timeout.
[[nodiscard]] async::Task<Result<kube::ClientConfig>> ensure_identity(NodeSettings settings,
                                                                      const Clock& clock,
                                                                      BootstrapPace pace = {});

// What keep_identity() works with; all outlives it.
struct IdentityParts {
    kube::ApiClient& client;
    const Clock& clock;
    Random& random;
    CertificateRecord& record;
};

// For ever: renews the certificate at 70–90 % of its life and makes `client` use the new one; when
// it has ended all the same, or the server has not known it for a minute (its authorities are
// others), asks for another with the bootstrap kubeconfig. A certificate that somebody else keeps
// in files, or that is not to be rotated, is followed: what is new there is used within a minute.
// Returns at once when the identity is no certificate in files. Spawn it.
[[nodiscard]] async::Task<void> keep_identity(NodeSettings settings, IdentityParts parts,
                                              BootstrapPace pace = {});

}  // namespace skiff::node
