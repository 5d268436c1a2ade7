#include "node/certificates.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "base/digest.h"
#include "base/handle.h"
#include "base/text.h"
#include "node/openssl.h"

namespace skiff::node {

namespace {

using openssl::Key;
using openssl::Memory;
using openssl::Request;
using openssl::text_of;
using Certificate = Handle<X509, X509_free>;
using Extension = Handle<X509_EXTENSION, X509_EXTENSION_free>;

constexpr std::int64_t kServingDays = 365;

void free_extensions(X509_EXTENSIONS* list) {
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
}

Memory memory_of(std::string_view text) {
    return Memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

Result<Key> read_key(const std::string& pem) {
    Memory memory = memory_of(pem);
    Key key(PEM_read_bio_PrivateKey(memory.get(), nullptr, nullptr, nullptr));
    if (key == nullptr) {
        return fail(openssl::error_of("private key unreadable"));
    }
    return key;
}

Result<std::string> write_key(EVP_PKEY* key) {
    Memory memory(BIO_new(BIO_s_mem()));
    if (PEM_write_bio_PrivateKey(memory.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
        return fail(openssl::error_of("private key not written"));
    }
    return text_of(memory);
}

Certificate first_certificate(std::string_view pem) {
    Memory memory = memory_of(pem);
    Certificate certificate(PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr));
    ERR_clear_error();
    return certificate;
}

Result<void> set_name(X509_NAME* name, std::string_view common_name,
                      std::string_view organization) {
    auto add = [name](const char* field, std::string_view value) {
        return value.empty() ||
               X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                          reinterpret_cast<const unsigned char*>(value.data()),
                                          static_cast<int>(value.size()), -1, 0) == 1;
    };
    if (!add("O", organization) || !add("CN", common_name)) {
        return fail(openssl::error_of("subject name"));
    }
    return {};
}

std::vector<std::string> name_entries(const X509_NAME* name, int nid) {
    std::vector<std::string> values;
    for (int at = -1;;) {
        at = X509_NAME_get_index_by_NID(name, nid, at);
        if (at < 0) {
            return values;
        }
        ASN1_STRING* entry = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
        unsigned char* text = nullptr;
        int size = ASN1_STRING_to_UTF8(&text, entry);
        if (size >= 0) {
            values.emplace_back(reinterpret_cast<char*>(text), static_cast<std::size_t>(size));
            OPENSSL_free(text);
        }
    }
}

Result<WallTime> read_time(const ASN1_TIME* time) {
    std::tm parts{};
    if (ASN1_TIME_to_tm(time, &parts) != 1) {
        return fail(openssl::error_of("certificate time"));
    }
    return WallTime(std::chrono::seconds(timegm(&parts)));
}

std::string public_key_der(EVP_PKEY* key) {
    unsigned char* bytes = nullptr;
    int size = i2d_PUBKEY(key, &bytes);
    if (size <= 0) {
        return {};
    }
    std::string der(reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size));
    OPENSSL_free(bytes);
    return der;
}

std::string ip_of(const unsigned char* bytes, int size) {
    char text[INET6_ADDRSTRLEN] = {};
    int family = size == 4 ? AF_INET : AF_INET6;
    bool known = size == 4 || size == 16;
    return known && inet_ntop(family, bytes, text, sizeof text) != nullptr ? text : "";
}

void read_alternative_names(const X509* certificate, CertificateFacts& facts) {
    Handle<GENERAL_NAMES, GENERAL_NAMES_free> names(static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
    for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
        const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
        if (name->type == GEN_DNS) {
            const ASN1_IA5STRING* text = name->d.dNSName;
            facts.dns_names.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                                         static_cast<std::size_t>(ASN1_STRING_length(text)));
        } else if (name->type == GEN_IPADD) {
            const ASN1_OCTET_STRING* bytes = name->d.iPAddress;
            facts.ips.push_back(ip_of(ASN1_STRING_get0_data(bytes), ASN1_STRING_length(bytes)));
        }
    }
}

// "DNS:a,IP:10.0.0.1"
Result<std::string> alternative_names_of(const std::vector<std::string>& dns_names,
                                         const std::vector<std::string>& ips) {
    std::string text;
    for (const std::string& name : dns_names) {
        // The names are the node's own; a comma would end an entry.
        if (name.find_first_of(",:= ") != std::string::npos) {
            return fail(Code::invalid, "\"{}\" is not a DNS name", name);
        }
        text += (text.empty() ? "DNS:" : ",DNS:") + name;
    }
    for (const std::string& ip : ips) {
        if (!format_ip(ip)) {
            return fail(Code::invalid, "\"{}\" is not an IP address", ip);
        }
        text += (text.empty() ? "IP:" : ",IP:") + ip;
    }
    return text;
}

Result<void> request_names(X509_REQ* request, const std::string& alternative_names) {
    if (alternative_names.empty()) {
        return {};
    }
    Handle<X509_EXTENSIONS, free_extensions> list(sk_X509_EXTENSION_new_null());
    X509_EXTENSION* names =
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, alternative_names.c_str());
    if (names == nullptr || sk_X509_EXTENSION_push(list.get(), names) == 0) {
        X509_EXTENSION_free(names);
        return fail(openssl::error_of("alternative names " + alternative_names));
    }
    if (X509_REQ_add_extensions(request, list.get()) != 1) {
        return fail(openssl::error_of("alternative names " + alternative_names));
    }
    return {};
}

Request read_request(const std::string& pem) {
    Memory memory = memory_of(pem);
    Request request(PEM_read_bio_X509_REQ(memory.get(), nullptr, nullptr, nullptr));
    ERR_clear_error();
    return request;
}

// The DER of the request's extensions, which are its alternative names.
std::string extensions_der(X509_REQ* request) {
    Handle<X509_EXTENSIONS, free_extensions> list(X509_REQ_get_extensions(request));
    unsigned char* bytes = nullptr;
    int size = list == nullptr ? 0 : i2d_X509_EXTENSIONS(list.get(), &bytes);
    std::string der(reinterpret_cast<char*>(bytes), static_cast<std::size_t>(std::max(size, 0)));
    OPENSSL_free(bytes);
    return der;
}

Result<void> add_extension(X509* certificate, int nid, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
    Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
    if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1) {
        return fail(openssl::error_of("certificate extension " + value));
    }
    return {};
}

bool set_random_serial(X509* certificate) {
    std::uint64_t serial = 0;
    return RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1 &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1) == 1;
}

Result<void> fill_serving(X509* certificate, EVP_PKEY* key, std::string_view common_name,
                          const std::string& alternative_names, WallTime now) {
    auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
    // An hour back, for peers whose clock is behind.
    std::time_t from = static_cast<std::time_t>(seconds - 3600);
    std::time_t until = static_cast<std::time_t>(seconds + kServingDays * 24 * 3600);
    X509_NAME* name = X509_get_subject_name(certificate);
    SKIFF_CHECK(set_name(name, common_name, {}));
    bool done = X509_set_version(certificate, 2) == 1 && set_random_serial(certificate) &&
                X509_set_issuer_name(certificate, name) == 1 &&
                ASN1_TIME_set(X509_getm_notBefore(certificate), from) != nullptr &&
                ASN1_TIME_set(X509_getm_notAfter(certificate), until) != nullptr &&
                X509_set_pubkey(certificate, key) == 1;
    if (!done) {
        return fail(openssl::error_of("self-signed certificate"));
    }
    SKIFF_CHECK(add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE"));
    SKIFF_CHECK(add_extension(certificate, NID_key_usage,
                              "critical,digitalSignature,keyEncipherment,keyCertSign"));
    SKIFF_CHECK(add_extension(certificate, NID_ext_key_usage, "serverAuth"));
    SKIFF_CHECK(add_extension(certificate, NID_subject_alt_name, alternative_names));
    if (X509_sign(certificate, key, EVP_sha256()) == 0) {
        return fail(openssl::error_of("self-signed certificate not signed"));
    }
    return {};
}

}  // namespace

Result<std::string> generate_key() {
    Key key(EVP_EC_gen("P-256"));
    if (key == nullptr) {
        return fail(openssl::error_of("key not made"));
    }
    return write_key(key.get());
}

Result<std::string> make_certificate_request(const std::string& key_pem,
                                             const RequestedSubject& subject) {
    SKIFF_TRY(auto key, read_key(key_pem));
    SKIFF_TRY(auto names, alternative_names_of(subject.dns_names, subject.ips));
    Request request(X509_REQ_new());
    SKIFF_CHECK(set_name(X509_REQ_get_subject_name(request.get()), subject.common_name,
                         subject.organization));
    SKIFF_CHECK(request_names(request.get(), names));
    Memory memory(BIO_new(BIO_s_mem()));
    bool done = X509_REQ_set_version(request.get(), 0) == 1 &&
                X509_REQ_set_pubkey(request.get(), key.get()) == 1 &&
                X509_REQ_sign(request.get(), key.get(), EVP_sha256()) > 0 &&
                PEM_write_bio_X509_REQ(memory.get(), request.get()) == 1;
    if (!done) {
        return fail(openssl::error_of("certificate request not made"));
    }
    return text_of(memory);
}

bool is_same_request(const std::string& one_pem, const std::string& other_pem) {
    Request one = read_request(one_pem);
    Request other = read_request(other_pem);
    if (one == nullptr || other == nullptr) {
        return false;
    }
    bool same_key = public_key_der(X509_REQ_get0_pubkey(one.get())) ==
                    public_key_der(X509_REQ_get0_pubkey(other.get()));
    bool same_name = X509_NAME_cmp(X509_REQ_get_subject_name(one.get()),
                                   X509_REQ_get_subject_name(other.get())) == 0;
    return same_key && same_name && extensions_der(one.get()) == extensions_der(other.get());
}

bool is_rsa_key(const std::string& key_pem) {
    auto key = read_key(key_pem);
    return key && EVP_PKEY_get_base_id(key->get()) == EVP_PKEY_RSA;
}

Result<std::string> certificate_request_name(const std::string& key_pem,
                                             std::string_view common_name,
                                             std::string_view organization,
                                             std::span<const std::string> usages) {
    SKIFF_TRY(auto key, read_key(key_pem));
    std::string text;
    auto add = [&text](std::string_view part) { text += base64url(part) + "|"; };
    add(public_key_der(key.get()));
    add(common_name);
    add(organization);
    for (const std::string& usage : usages) {
        add(usage);
    }
    return "node-csr-" + base64url(hash_of(text, HashKind::sha512_256));
}

Result<CertificateFacts> read_certificate(std::string_view pem) {
    Certificate certificate = first_certificate(pem);
    if (certificate == nullptr) {
        return fail(Code::invalid, "no certificate in the PEM text");
    }
    CertificateFacts facts;
    const X509_NAME* name = X509_get_subject_name(certificate.get());
    auto common_names = name_entries(name, NID_commonName);
    facts.common_name = common_names.empty() ? std::string() : common_names.front();
    facts.organizations = name_entries(name, NID_organizationName);
    SKIFF_TRY(facts.not_before, read_time(X509_get0_notBefore(certificate.get())));
    SKIFF_TRY(facts.not_after, read_time(X509_get0_notAfter(certificate.get())));
    read_alternative_names(certificate.get(), facts);
    return facts;
}

WallTime renewal_time(const CertificateFacts& facts, WallTime obtained, double fraction) {
    WallTime begin = std::clamp(obtained, facts.not_before, facts.not_after);
    auto life = facts.not_after - begin;
    return begin + std::chrono::duration_cast<Duration>(life * fraction);
}

bool key_fits(const std::string& certificate_pem, const std::string& key_pem) {
    Certificate certificate = first_certificate(certificate_pem);
    auto key = read_key(key_pem);
    bool fits =
        certificate != nullptr && key && X509_check_private_key(certificate.get(), key->get()) == 1;
    ERR_clear_error();
    return fits;
}

std::optional<std::string> format_ip(const std::string& text) {
    unsigned char bytes[16];
    if (inet_pton(AF_INET, text.c_str(), bytes) == 1) {
        return ip_of(bytes, 4);
    }
    if (inet_pton(AF_INET6, text.c_str(), bytes) == 1) {
        return ip_of(bytes, 16);
    }
    return std::nullopt;
}

Result<SelfSigned> make_self_signed(std::string_view common_name,
                                    const std::vector<std::string>& dns_names,
                                    const std::vector<std::string>& ips, WallTime now) {
    SKIFF_TRY(auto alternative_names, alternative_names_of(dns_names, ips));
    SelfSigned made;
    SKIFF_TRY(made.key_pem, generate_key());
    SKIFF_TRY(auto key, read_key(made.key_pem));
    Certificate certificate(X509_new());
    SKIFF_CHECK(fill_serving(certificate.get(), key.get(), common_name, alternative_names, now));
    Memory memory(BIO_new(BIO_s_mem()));
    if (PEM_write_bio_X509(memory.get(), certificate.get()) != 1) {
        return fail(openssl::error_of("certificate not written"));
    }
    made.certificate_pem = text_of(memory);
    return made;
}

Result<std::vector<std::string>> public_key_hashes(std::string_view pem) {
    std::vector<std::string> hashes;
    Memory memory = memory_of(pem);
    while (true) {
        Certificate certificate(PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr));
        if (certificate == nullptr) {
            break;
        }
        std::string der = public_key_der(X509_get0_pubkey(certificate.get()));
        hashes.push_back("sha256:" + sha256_hex(der));
    }
    ERR_clear_error();
    if (hashes.empty()) {
        return fail(Code::invalid, "no certificate in the PEM text");
    }
    return hashes;
}

std::string base64url(std::string_view bytes) {
    std::string text = base64_encode(bytes);
    while (text.ends_with('=')) {
        text.pop_back();
    }
    std::replace(text.begin(), text.end(), '+', '-');
    std::replace(text.begin(), text.end(), '/', '_');
    return text;
}

std::string hmac_sha256_base64url(std::string_view key, std::string_view text) {
    return base64url(hmac_sha256(key, text));
}

}  // namespace skiff::node
