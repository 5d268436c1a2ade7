// The TLS of port 10250: the serving certificate and the authorities of its callers, followed while
// the node runs (contract rows 4 and 46). Reactor thread only.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "async/task.h"
#include "base/result.h"
#include "base/time.h"
#include "http/tls.h"
#include "node/settings.h"

namespace skiff::node {

struct ServingCertificate {
    std::string certificate_pem;
    std::string key_pem;
};
// The node's own: cert_dir/kubelet.crt and kubelet.key, made (self-signed) when they are missing,
// do not fit one another, end within a month, or name other addresses than the node has now.
[[nodiscard]] Result<ServingCertificate> ensure_serving_certificate(const NodeSettings& settings,
                                                                    const Clock& clock);

// What the configuration names; empty paths: the node's own certificate, no client authorities.
struct ServingFiles {
    std::filesystem::path certificate;
    std::filesystem::path key;
    std::filesystem::path client_ca;
};

inline constexpr Duration kServingLookEvery = std::chrono::seconds(30);

class ServingTls {
public:
    // `clock` outlives it.
    ServingTls(NodeSettings settings, ServingFiles files, const Clock& clock)
        : settings_(std::move(settings)), files_(std::move(files)), clock_(clock) {}

    // The TLS to use from now on, nullptr when it is what the last call gave. Fails when a file
    // cannot be read or certificate and key do not fit one another, as in the midst of a rotation:
    // what was in use stays good, and the next call looks again.
    [[nodiscard]] Result<std::shared_ptr<const http::ServerTls>> refresh();

private:
    NodeSettings settings_;
    ServingFiles files_;
    const Clock& clock_;
    http::ServerTlsSettings last_;
};

// Calls refresh() every so often, for ever, and hands what is new to `use`. `tls` outlives the
// task. A failure is told once for as long as it stays the same.
[[nodiscard]] async::Task<void> keep_serving(
    ServingTls& tls, std::function<void(std::shared_ptr<const http::ServerTls>)> use,
    Duration every = kServingLookEvery);

}  // namespace skiff::node
