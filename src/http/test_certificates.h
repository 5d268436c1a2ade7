// For tests of http and server: a certificate authority made on the spot.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <memory>
#include <string>
#include <vector>

namespace skiff::http {

struct TestCertificate {
    std::string certificate_pem;
    std::string key_pem;
};

// Issues P-256 certificates below one self-signed root.
class TestAuthority {
public:
    explicit TestAuthority(const std::string& name) {
        key_.reset(EVP_EC_gen("P-256"));
        root_.reset(X509_new());
        fill(root_.get(), name, {}, -3600, 86400);
        X509_set_issuer_name(root_.get(), X509_get_subject_name(root_.get()));
        X509_set_pubkey(root_.get(), key_.get());
        extend(root_.get(), NID_basic_constraints, "critical,CA:TRUE");
        extend(root_.get(), NID_key_usage, "critical,keyCertSign");
        X509_sign(root_.get(), key_.get(), EVP_sha256());
    }

    [[nodiscard]] std::string pem() const { return pem_of(root_.get()); }

    // `usage`: "serverAuth" or "clientAuth". The validity is relative to now, in seconds.
    [[nodiscard]] TestCertificate issue(const std::string& common_name,
                                        const std::vector<std::string>& organizations,
                                        const std::string& usage, long valid_until = 3600) const {
        KeyPtr key(EVP_EC_gen("P-256"));
        CertificatePtr leaf(X509_new());
        fill(leaf.get(), common_name, organizations, -7200, valid_until);
        X509_set_issuer_name(leaf.get(), X509_get_subject_name(root_.get()));
        X509_set_pubkey(leaf.get(), key.get());
        extend(leaf.get(), NID_ext_key_usage, usage);
        extend(leaf.get(), NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
        X509_sign(leaf.get(), key_.get(), EVP_sha256());
        return TestCertificate{pem_of(leaf.get()), pem_of(key.get())};
    }

    // What a certificate signing request (PEM) asks for, with its alternative names. Empty for what
    // is no request.
    [[nodiscard]] std::string sign(const std::string& request_pem, long valid_until) const {
        BIO* bio = BIO_new_mem_buf(request_pem.data(), static_cast<int>(request_pem.size()));
        X509_REQ* request = PEM_read_bio_X509_REQ(bio, nullptr, nullptr, nullptr);
        BIO_free(bio);
        if (request == nullptr) {
            return {};
        }
        CertificatePtr leaf(X509_new());
        fill(leaf.get(), {}, {}, -300, valid_until);
        X509_set_subject_name(leaf.get(), X509_REQ_get_subject_name(request));
        X509_set_issuer_name(leaf.get(), X509_get_subject_name(root_.get()));
        X509_set_pubkey(leaf.get(), X509_REQ_get0_pubkey(request));
        STACK_OF(X509_EXTENSION)* wanted = X509_REQ_get_extensions(request);
        for (int i = 0; i < sk_X509_EXTENSION_num(wanted); ++i) {
            X509_add_ext(leaf.get(), sk_X509_EXTENSION_value(wanted, i), -1);
        }
        sk_X509_EXTENSION_pop_free(wanted, X509_EXTENSION_free);
        X509_REQ_free(request);
        X509_sign(leaf.get(), key_.get(), EVP_sha256());
        return pem_of(leaf.get());
    }

private:
    struct Free {
        void operator()(X509* object) const { X509_free(object); }
        void operator()(EVP_PKEY* object) const { EVP_PKEY_free(object); }
    };
    using CertificatePtr = std::unique_ptr<X509, Free>;
    using KeyPtr = std::unique_ptr<EVP_PKEY, Free>;

    static void add_name(X509* certificate, const char* field, const std::string& value) {
        X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), field, MBSTRING_UTF8,
                                   reinterpret_cast<const unsigned char*>(value.c_str()), -1, -1,
                                   0);
    }
    static void fill(X509* certificate, const std::string& common_name,
                     const std::vector<std::string>& organizations, long from, long until) {
        static long serial = 1;
        X509_set_version(certificate, 2);
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
        X509_gmtime_adj(X509_getm_notBefore(certificate), from);
        X509_gmtime_adj(X509_getm_notAfter(certificate), until);
        for (const std::string& organization : organizations) {
            add_name(certificate, "O", organization);
        }
        if (!common_name.empty()) {
            add_name(certificate, "CN", common_name);
        }
    }
    static void extend(X509* certificate, int kind, const std::string& value) {
        X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str());
        X509_add_ext(certificate, extension, -1);
        X509_EXTENSION_free(extension);
    }
    static std::string drain(BIO* bio) {
        char* text = nullptr;
        long length = BIO_get_mem_data(bio, &text);
        std::string pem(text, static_cast<std::size_t>(length));
        BIO_free(bio);
        return pem;
    }
    static std::string pem_of(X509* certificate) {
        BIO* bio = BIO_new(BIO_s_mem());
        PEM_write_bio_X509(bio, certificate);
        return drain(bio);
    }
    static std::string pem_of(EVP_PKEY* key) {
        BIO* bio = BIO_new(BIO_s_mem());
        PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
        return drain(bio);
    }

    KeyPtr key_;
    CertificatePtr root_;
};

}  // namespace skiff::http
