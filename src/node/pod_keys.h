// Keys and proofs for certificates of pods, and what goes into their volumes of certificates, in
// PEM. Pure but for randomness; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace skiff::node {

struct KeyAndProof {
    std::string key_pem;      // PKCS#8
    std::string request_der;  // PKCS#10 without any name, signed by the key
};
// `type` as PodCertificateProjection.keyType has it: RSA3072, RSA4096, ECDSAP256, ECDSAP384,
// ECDSAP521, ED25519; another one is invalid. Blocking: RSA takes up to seconds.
[[nodiscard]] Result<KeyAndProof> make_key_and_proof(std::string_view type);

// The certificates of a chain, in order, without what stands between and in them beside.
[[nodiscard]] std::string clean_chain(std::string_view pem);

// The certificates of all bundles, each once. In an order that depends on `seed` alone: nobody may
// come to rely on one, and a file does not change while its contents do not (contract row 69).
[[nodiscard]] std::string merge_bundles(const std::vector<std::string_view>& bundles,
                                        std::uint64_t seed);

}  // namespace skiff::node
