#include "http/tls.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <cstring>
#include <ctime>

#include "base/handle.h"

namespace skiff::http {

namespace {

using BioPtr = Handle<BIO, BIO_free>;
using X509Ptr = Handle<X509, X509_free>;
using KeyPtr = Handle<EVP_PKEY, EVP_PKEY_free>;
using StoreContextPtr = Handle<X509_STORE_CTX, X509_STORE_CTX_free>;

constexpr std::size_t kPemBytesMax = 4U << 20;
// "http/1.1", the only protocol offered; length-prefixed as ALPN wants it.
constexpr unsigned char kAlpn[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

std::string last_ssl_error() {
    unsigned long code = ERR_get_error();
    ERR_clear_error();
    const char* text = code == 0 ? nullptr : ERR_reason_error_string(code);
    return text == nullptr ? "unknown error" : text;
}

Result<BioPtr> open_pem(const std::string& pem) {
    if (pem.size() > kPemBytesMax) {
        return fail(Code::invalid, "PEM of {} bytes is too long", pem.size());
    }
    return BioPtr(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

Result<std::vector<X509Ptr>> read_certificates(const std::string& pem) {
    SKIFF_TRY(BioPtr bio, open_pem(pem));
    ERR_clear_error();
    std::vector<X509Ptr> found;
    while (true) {
        X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
        if (!certificate) {
            break;
        }
        found.push_back(std::move(certificate));
    }
    unsigned long code = ERR_peek_last_error();
    bool at_end = ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
    if (found.empty() || (code != 0 && !at_end)) {
        return fail(Code::invalid, "certificate PEM: {}",
                    at_end ? std::string("no certificate found") : last_ssl_error());
    }
    ERR_clear_error();
    return found;
}

int accept_alpn(SSL* /*ssl*/, const unsigned char** out, unsigned char* out_length,
                const unsigned char* in, unsigned int in_length, void* /*unused*/) {
    unsigned char* chosen = nullptr;
    int found = SSL_select_next_proto(&chosen, out_length, kAlpn, sizeof(kAlpn), in, in_length);
    if (found != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

// Every certificate passes the handshake; judge_peer() decides what it is worth.
int pass_any(int /*ok*/, X509_STORE_CTX* /*context*/) {
    return 1;
}

std::string text_of(const ASN1_STRING* value) {
    unsigned char* utf8 = nullptr;
    int length = ASN1_STRING_to_UTF8(&utf8, value);
    if (length < 0) {
        ERR_clear_error();
        return {};
    }
    std::string text(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(length));
    OPENSSL_free(utf8);
    return text;
}

std::vector<std::string> subject_fields(const X509* certificate, int kind) {
    const X509_NAME* subject = X509_get_subject_name(certificate);
    std::vector<std::string> values;
    int at = -1;
    while ((at = X509_NAME_get_index_by_NID(subject, kind, at)) >= 0) {
        values.push_back(text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))));
    }
    return values;
}

WallTime expiry_of(const X509* certificate) {
    std::tm parts{};
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1) {
        return WallTime{};
    }
    return WallTime{std::chrono::seconds(::timegm(&parts))};
}

}  // namespace

Result<std::shared_ptr<const ServerTls>> ServerTls::create(const ServerTlsSettings& settings) {
    auto tls = std::shared_ptr<ServerTls>(new ServerTls());
    tls->context_ = SSL_CTX_new(TLS_server_method());
    if (tls->context_ == nullptr) {
        return fail(Code::internal, "TLS context: {}", last_ssl_error());
    }
    SSL_CTX_set_min_proto_version(tls->context_, TLS1_2_VERSION);
    SSL_CTX_set_options(tls->context_, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                           SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_num_tickets(tls->context_, 0);
    SSL_CTX_set_session_cache_mode(tls->context_, SSL_SESS_CACHE_OFF);
    // An idle connection then costs no record buffers.
    SSL_CTX_set_mode(tls->context_, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_cipher_list(tls->context_, "ECDHE+AESGCM:ECDHE+CHACHA20");
    SSL_CTX_set_alpn_select_cb(tls->context_, accept_alpn, nullptr);
    if (!settings.certificate_pem.empty()) {
        SKIFF_CHECK(tls->load_own(settings));
    }
    if (!settings.client_ca_pem.empty()) {
        SKIFF_CHECK(tls->load_client_ca(settings.client_ca_pem));
    }
    return tls;
}

Result<void> ServerTls::load_own(const ServerTlsSettings& settings) {
    SKIFF_TRY(auto chain, read_certificates(settings.certificate_pem));
    if (SSL_CTX_use_certificate(context_, chain.front().get()) != 1) {
        return fail(Code::invalid, "server certificate: {}", last_ssl_error());
    }
    for (std::size_t i = 1; i < chain.size(); ++i) {
        SSL_CTX_add1_chain_cert(context_, chain[i].get());
    }
    SKIFF_TRY(BioPtr bio, open_pem(settings.key_pem));
    KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
    if (!key) {
        return fail(Code::invalid, "server key: {}", last_ssl_error());
    }
    if (SSL_CTX_use_PrivateKey(context_, key.get()) != 1) {
        return fail(Code::invalid, "server key does not fit the certificate: {}", last_ssl_error());
    }
    return {};
}

Result<void> ServerTls::load_client_ca(const std::string& pem) {
    auto read = read_certificates(pem);
    if (!read) {
        return fail(std::move(read.error()).context("client CA"));
    }
    X509_STORE* store = SSL_CTX_get_cert_store(context_);
    for (const X509Ptr& certificate : *read) {
        X509_STORE_add_cert(store, certificate.get());
        SSL_CTX_add_client_CA(context_, certificate.get());
    }
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, pass_any);
    asks_for_certificate_ = true;
    return {};
}

ServerTls::~ServerTls() {
    SSL_CTX_free(context_);
}

ServerTls::Verdict ServerTls::judge_peer(SSL* connection, WallTime now) const {
    X509Ptr leaf(asks_for_certificate_ ? SSL_get1_peer_certificate(connection) : nullptr);
    if (!leaf) {
        return {};
    }
    StoreContextPtr check(X509_STORE_CTX_new());
    X509_STORE_CTX_init(check.get(), SSL_CTX_get_cert_store(context_), leaf.get(),
                        SSL_get_peer_cert_chain(connection));
    X509_STORE_CTX_set_default(check.get(), "ssl_client");
    auto seconds = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch();
    X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(check.get()),
                               static_cast<std::time_t>(seconds.count()));
    if (X509_verify_cert(check.get()) != 1) {
        int code = X509_STORE_CTX_get_error(check.get());
        ERR_clear_error();
        return Verdict{std::nullopt, X509_verify_cert_error_string(code)};
    }
    CertificateIdentity identity;
    auto names = subject_fields(leaf.get(), NID_commonName);
    if (names.size() != 1 || names.front().empty()) {
        return Verdict{std::nullopt, "the subject has not exactly one common name"};
    }
    identity.common_name = std::move(names.front());
    identity.organizations = subject_fields(leaf.get(), NID_organizationName);
    identity.expires = expiry_of(leaf.get());
    return Verdict{std::move(identity), {}};
}

}  // namespace skiff::http
