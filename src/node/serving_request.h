// The certificate of port 10250 where the cluster signs it: `serverTLSBootstrap`, signer
// kubernetes.io/kubelet-serving (contract row 4). Reactor thread only.
#pragma once

#include <functional>

#include "async/task.h"
#include "base/random.h"
#include "kube/client_api.h"
#include "node/certificate_requests.h"
#include "node/identity_record.h"
#include "node/settings.h"

namespace skiff::node {

// What keep_serving_certificate() works with; all outlives it.
struct ServingRequestParts {
    kube::ApiClient& client;
    const Clock& clock;
    Random& random;
    CertificateRecord& record;
    std::function<void()> stored;  // called when there is another certificate
};

// For ever: has cert_dir/kubelet-server-current.pem signed for the node's names and addresses when
// there is none, when it names others, and at 70–90 % of its life. Nobody in a cluster approves
// such a request by itself, so it may wait for days; the certificate in use stays meanwhile. Spawn
// it.
[[nodiscard]] async::Task<void> keep_serving_certificate(NodeSettings settings,
                                                         ServingRequestParts parts,
                                                         BootstrapPace pace = {});

}  // namespace skiff::node
