// The server's side of TLS: its certificate, and who a client certificate says its holder is.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"

struct ssl_ctx_st;
struct ssl_st;

namespace skiff::http {

// The subject of a verified client certificate: Kubernetes' user name and groups.
struct CertificateIdentity {
    std::string common_name;
    std::vector<std::string> organizations;
    WallTime expires;
};

struct ServerTlsSettings {
    std::string certificate_pem;  // the server's own, leaf first; empty: every handshake is refused
    std::string key_pem;
    // Clients may show a certificate signed by one of these; empty: none is asked for.
    std::string client_ca_pem;
};

// An immutable TLS configuration (TLS 1.2 and 1.3, HTTP/1.1 only, no resumption: a session never
// outlives what its certificate says).
class ServerTls {
public:
    // Fails with Code::invalid: PEM that cannot be read, a key that does not fit.
    [[nodiscard]] static Result<std::shared_ptr<const ServerTls>> create(
        const ServerTlsSettings& settings);
    ~ServerTls();
    ServerTls(const ServerTls&) = delete;
    ServerTls& operator=(const ServerTls&) = delete;

    // What the client showed. A certificate that does not verify is no failure of the handshake: it
    // identifies nobody, and the request gets a 401 that tells the user so.
    struct Verdict {
        std::optional<CertificateIdentity> identity;
        std::string problem;  // empty when no certificate was shown, or it is good
    };
    [[nodiscard]] Verdict judge_peer(ssl_st* connection, WallTime now) const;
    // Private to connections.
    [[nodiscard]] ssl_ctx_st* context() const { return context_; }

private:
    ServerTls() = default;
    Result<void> load_own(const ServerTlsSettings& settings);
    Result<void> load_client_ca(const std::string& pem);

    ssl_ctx_st* context_ = nullptr;
    bool asks_for_certificate_ = false;
};

}  // namespace skiff::http
