// What is known of the node's certificates while it runs, for /metrics and whoever asks. Values,
// written by the tasks that keep the certificates. Reactor thread only.
#pragma once

#include <cstdint>
#include <optional>

#include "base/time.h"

namespace skiff::node {

struct CertificateRecord {
    std::optional<WallTime> expires;  // of the certificate in use; nullopt: there is none
    std::uint64_t renewals = 0;       // certificates obtained while the agent runs
    std::uint64_t failures = 0;       // attempts to obtain one that failed
    Duration replaced_after{};        // how old the certificate was that the last renewal replaced

    // Seconds until the certificate ends, negative afterwards; nullopt if there is none.
    [[nodiscard]] std::optional<double> seconds_left(WallTime now) const {
        if (!expires) {
            return std::nullopt;
        }
        return std::chrono::duration<double>(*expires - now).count();
    }
};

struct IdentityRecord {
    CertificateRecord client;   // to the API server
    CertificateRecord serving;  // of port 10250, where the cluster signs it (serverTLSBootstrap)
};

}  // namespace skiff::node
