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

// Whom a certificate is to be for.
struct RequestedSubject {
    std::string common_name;
    std::string organization;
    std::vector<std::string> dns_names;  // the subject's alternative names
    std::vector<std::string> ips;
};
// A request to be certified as `subject`, signed by the key. Fails with Code::invalid for what is
// no DNS name or IP address.
[[nodiscard]] Result<std::string> make_certificate_request(const std::string& key_pem,
                                                           const RequestedSubject& subject);
// Whether two requests are by the same key for the same subject and alternative names.
[[nodiscard]] bool is_same_request(const std::string& one_pem, const std::string& other_pem);
// RSA keys also encipher keys: a usage that the others do not have (contract row 2).
[[nodiscard]] bool is_rsa_key(const std::string& key_pem);

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

// When a certificate that came at `obtained` is replaced: at `fraction` (0.7 to 0.9) of the time
// from then to its end. The signer dates certificates back by minutes, so a short one would have
// most of its life behind it when it comes.
[[nodiscard]] WallTime renewal_time(const CertificateFacts& facts, WallTime obtained,
                                    double fraction);

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
