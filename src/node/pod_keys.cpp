#include "node/pod_keys.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <map>

#include "base/digest.h"
#include "base/text.h"
#include "node/openssl.h"

namespace skiff::node {

namespace {

using openssl::Key;
using openssl::Memory;
using openssl::Request;
using openssl::text_of;

constexpr std::string_view kCertificate = "CERTIFICATE";
constexpr std::size_t kShownBytesMax = 64;

Result<Key> make_key(std::string_view type) {
    EVP_PKEY* made = nullptr;
    if (type == "RSA3072" || type == "RSA4096") {
        made = EVP_RSA_gen(type == "RSA3072" ? 3072U : 4096U);
    } else if (type == "ECDSAP256" || type == "ECDSAP384" || type == "ECDSAP521") {
        std::string curve = "P-" + std::string(type.substr(sizeof("ECDSAP") - 1));
        made = EVP_EC_gen(curve.c_str());
    } else if (type == "ED25519") {
        made = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
    } else {
        return fail(Code::invalid,
                    "keyType \"{}\" is none of RSA3072, RSA4096, ECDSAP256, ECDSAP384, ECDSAP521, "
                    "ED25519",
                    bounded_utf8(type, kShownBytesMax));
    }
    if (made == nullptr) {
        return fail(openssl::error_of("key not made"));
    }
    return Key(made);
}

// The certificates of a text, as DER.
std::vector<std::string> certificates_in(std::string_view pem) {
    std::vector<std::string> found;
    Memory memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    char* name = nullptr;
    char* header = nullptr;
    unsigned char* bytes = nullptr;
    long size = 0;
    while (PEM_read_bio(memory.get(), &name, &header, &bytes, &size) == 1) {
        if (name == kCertificate) {
            found.emplace_back(reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size));
        }
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(bytes);
    }
    ERR_clear_error();
    return found;
}

std::string to_pem(const std::string& der) {
    Memory memory(BIO_new(BIO_s_mem()));
    PEM_write_bio(memory.get(), kCertificate.data(), "",
                  reinterpret_cast<const unsigned char*>(der.data()),
                  static_cast<long>(der.size()));
    return text_of(memory);
}

}  // namespace

Result<KeyAndProof> make_key_and_proof(std::string_view type) {
    SKIFF_TRY(Key key, make_key(type));
    KeyAndProof made;
    Memory key_text(BIO_new(BIO_s_mem()));
    if (PEM_write_bio_PKCS8PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                      nullptr) != 1) {
        return fail(openssl::error_of("private key not written"));
    }
    made.key_pem = text_of(key_text);
    Request request(X509_REQ_new());
    // Ed25519 hashes by itself.
    const EVP_MD* hash =
        EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
    Memory request_bytes(BIO_new(BIO_s_mem()));
    bool done = X509_REQ_set_version(request.get(), 0) == 1 &&
                X509_REQ_set_pubkey(request.get(), key.get()) == 1 &&
                X509_REQ_sign(request.get(), key.get(), hash) > 0 &&
                i2d_X509_REQ_bio(request_bytes.get(), request.get()) == 1;
    if (!done) {
        return fail(openssl::error_of("certificate request not made"));
    }
    made.request_der = text_of(request_bytes);
    return made;
}

std::string clean_chain(std::string_view pem) {
    std::string text;
    for (const std::string& der : certificates_in(pem)) {
        text += to_pem(der);
    }
    return text;
}

std::string merge_bundles(const std::vector<std::string_view>& bundles, std::uint64_t seed) {
    std::map<std::string, std::string> ordered;  // by a hash that the seed changes
    for (std::string_view bundle : bundles) {
        for (std::string& der : certificates_in(bundle)) {
            ordered[sha256_hex(fmt::format("{}:{}", seed, der))] = std::move(der);
        }
    }
    std::string text;
    for (const auto& [hash, der] : ordered) {
        text += to_pem(der);
    }
    return text;
}

}  // namespace skiff::node
