// A CertificateSigningRequest from its making to the certificate (contract rows 2 to 4). Reactor
// thread only.
#pragma once

#include <string>
#include <vector>

#include "async/task.h"
#include "base/result.h"
#include "base/time.h"
#include "kube/client_api.h"
#include "node/certificates.h"

namespace skiff::node {

inline constexpr std::string_view kNodeGroup = "system:nodes";
// Who a node is to the API server.
[[nodiscard]] inline std::string node_user(const std::string& node_name) {
    return "system:node:" + node_name;
}

// Whether a server did not answer, and may later.
[[nodiscard]] inline bool is_away(const Error& error) {
    return error.code == Code::unavailable || error.code == Code::timeout;
}

// How often a server that does not answer is asked again, and a request that nobody has answered.
struct BootstrapPace {
    Duration first = std::chrono::milliseconds(500);  // doubled each time
    Duration longest = std::chrono::seconds(30);
    // So long /healthz is asked before a request is sent all the same (contract row 2).
    Duration healthz_max = std::chrono::minutes(1);
    Duration answer_longest = std::chrono::seconds(5);
    // How long a request may wait for its approval.
    Duration approval_max = std::chrono::hours(1);
    // How often a certificate on disk is looked at while it is good: the wall clock may jump, and
    // somebody else may have written it.
    Duration look_every = std::chrono::seconds(30);
};

// What is asked for.
struct CertificateWish {
    std::string signer;
    std::string usage;  // "client auth" or "server auth", beside "digital signature"
    RequestedSubject subject;
};

// The request for `key`: its name is the same at every try, so that a node that restarts while it
// waits does not ask again.
[[nodiscard]] Result<kube::CertificateSigningRequest> make_signing_request(
    const CertificateWish& wish, const std::string& key);

// Waits until the server is healthy, at most `pace.healthz_max`; whatever it answers, it is there.
[[nodiscard]] async::Task<Result<void>> wait_healthy(kube::ApiClient& client, const Clock& clock,
                                                     BootstrapPace pace);

// Hands the request in, for as long as the server is away, and waits for its certificate (PEM). A
// request of that name that is there already is taken for ours when it says the same. Fails with
// conflict (the one that is there is another's, or its certificate has ended: `key` is of no use
// any more), denied (refused: by whom and why), not_found (deleted), timeout (not approved within
// pace.approval_max: how to approve it), unauthenticated.
[[nodiscard]] async::Task<Result<std::string>> obtain_certificate(
    kube::ApiClient& client, kube::CertificateSigningRequest request, const Clock& clock,
    BootstrapPace pace);

}  // namespace skiff::node
