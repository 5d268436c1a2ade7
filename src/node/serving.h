// The TLS of port 10250: the serving certificate and the authorities of its callers, followed while
// the node runs (contract rows 4 and 46). Reactor thread only.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "async/event.h"
#include "async/task.h"
#include "base/result.h"
#include "base/time.h"
#include "http/tls.h"
#include "node/certificates.h"
#include "node/settings.h"

namespace skiff::node {

struct ServingCertificate {
    std::string certificate_pem;
    std::string key_pem;
};
// The names that the certificate of the node has beside its addresses.
[[nodiscard]] std::vector<std::string> serving_names(const NodeSettings& settings);
// Whether a certificate is for exactly these names and the node's addresses.
[[nodiscard]] bool names_the_node(const CertificateFacts& facts, const NodeSettings& settings);

// The node's own: cert_dir/kubelet.crt and kubelet.key, made (self-signed) when they are missing,
// do not fit one another, end within a month, or name other addresses than the node has now.
[[nodiscard]] Result<ServingCertificate> ensure_serving_certificate(const NodeSettings& settings,
                                                                    const Clock& clock);

// Where the certificate of port 10250 comes from.
enum class ServingSource {
    local,    // the files that the configuration names, else the node's own
    cluster,  // signed by the cluster (serverTLSBootstrap): cert_dir/kubelet-server-current.pem
};

// What the configuration names; empty paths: the node's own certificate, no client authorities.
struct ServingFiles {
    std::filesystem::path certificate;
    std::filesystem::path key;
    std::filesystem::path client_ca;
    ServingSource source = ServingSource::local;
};

inline constexpr Duration kServingLookEvery = std::chrono::seconds(30);

class ServingTls {
public:
    // `clock` outlives it.
    ServingTls(NodeSettings settings, ServingFiles files, const Clock& clock)
        : settings_(std::move(settings)), files_(std::move(files)), clock_(clock) {}

    // The TLS to use from now on, nullptr when it is what the last call gave. Fails when a file
    // cannot be read, a key can be read by others, or certificate and key do not fit one another,
    // as in the midst of a rotation: what was in use stays good, and the next call looks again.
    // While the cluster has signed no certificate, or it has ended, handshakes are refused.
    [[nodiscard]] Result<std::shared_ptr<const http::ServerTls>> refresh();

    // keep_serving() looks at once.
    void poke() { poked_.set(); }
    // Resolves when poked, or after `every`; false when cancelled.
    [[nodiscard]] async::Task<bool> wait(Duration every);

private:
    [[nodiscard]] Result<void> read_own(http::ServerTlsSettings& now);
    [[nodiscard]] Result<void> read_clusters(http::ServerTlsSettings& now);

    NodeSettings settings_;
    ServingFiles files_;
    const Clock& clock_;
    std::optional<http::ServerTlsSettings> last_;
    async::Event poked_;
};

// Calls refresh() every so often and when poked, for ever, and hands what is new to `use`. `tls`
// outlives the task. A failure is told once for as long as it stays the same.
[[nodiscard]] async::Task<void> keep_serving(
    ServingTls& tls, std::function<void(std::shared_ptr<const http::ServerTls>)> use,
    Duration every = kServingLookEvery);

}  // namespace skiff::node
