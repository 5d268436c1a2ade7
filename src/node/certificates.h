// Keys, certificate requests and certificates, in PEM. Pure but for randomness; any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace skiff::node {

// A new ECDSA P-256 key.
[[nodiscard]] Result<std::string> generate_key();

// A request to be certified as `common_name` of `organization`, signed by the key.
[[nodiscard]] Result<std::string> make_certificate_request(const std::string& key_pem,
                                                           std::string_view common_name,
                                                           std::string_view organization);

// The name under which the CSR for this key and purpose is known to the API server: the same for
// every retry, so that a node that restarts while it waits does not ask again (contract row 2).
[[nodiscard]] Result<std::string> certificate_request_name(const std::string& key_pem,
                                                           std::string_view common_name,
                                                           std::string_view organization,
                                                           std::span<const std::string> usages);

struct CertificateFacts {
    std::string common_name;
    std::vector<std::string> organizations;
    WallTime not_before;
    WallTime not_after;
    std::vector<std::string> dns_names;  // the subject's alternative names
    std::vector<std::string> ips;        // as format_ip() writes them
};
// The first certificate of the text.
[[nodiscard]] Result<CertificateFacts> read_certificate(std::string_view pem);
// Whether the key is that of the first certificate.
[[nodiscard]] bool key_fits(const std::string& certificate_pem, const std::string& key_pem);

// An IP address in its one shortest form; nullopt if it is none.
[[nodiscard]] std::optional<std::string> format_ip(const std::string& text);

struct SelfSigned {
    std::string certificate_pem;
    std::string key_pem;
};
// A serving certificate for one year with these DNS names and IP addresses.
[[nodiscard]] Result<SelfSigned> make_self_signed(std::string_view common_name,
                                                  const std::vector<std::string>& dns_names,
                                                  const std::vector<std::string>& ips,
                                                  WallTime now);

// "sha256:<hex>" of the public key of every certificate in the text: what kubeadm prints and
// `--ca-cert-hash` pins.
[[nodiscard]] Result<std::vector<std::string>> public_key_hashes(std::string_view pem);

// HMAC-SHA256, base64url without padding: the signature of a JWS with alg HS256.
[[nodiscard]] std::string hmac_sha256_base64url(std::string_view key, std::string_view text);
[[nodiscard]] std::string base64url(std::string_view bytes);

}  // namespace skiff::node
