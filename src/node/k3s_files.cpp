// k3s.h: tokens, hashes and files. Nothing here asks anybody.
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <boost/json.hpp>
#include <memory>
#include <vector>

#include "base/digest.h"
#include "base/text.h"
#include "http/url.h"
#include "node/k3s.h"
#include "node/openssl.h"
#include "node/private_files.h"
#include "os/file.h"

namespace skiff::node {

namespace {

constexpr std::string_view kTokenPrefix = "K10";
constexpr std::size_t kTokenBytesMax = 4096;
constexpr Bytes kClusterFileBytesMax = 1_MiB;

using Certificate = Handle<X509, X509_free>;
using Store = Handle<X509_STORE, X509_STORE_free>;
using StoreContext = Handle<X509_STORE_CTX, X509_STORE_CTX_free>;

bool is_hash(std::string_view text) {
    return text.size() == 64 && std::ranges::all_of(text, [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
           });
}

std::vector<Certificate> certificates_in(std::string_view pem) {
    openssl::Memory memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    std::vector<Certificate> found;
    while (true) {
        Certificate next(PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr));
        if (next == nullptr) {
            break;
        }
        found.push_back(std::move(next));
    }
    ERR_clear_error();
    return found;
}

std::string der_of(X509* certificate) {
    unsigned char* bytes = nullptr;
    const int size = i2d_X509(certificate, &bytes);
    if (size < 0) {
        return {};
    }
    std::string der(reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size));
    OPENSSL_free(bytes);
    return der;
}

// The end of the chain from the first certificate over the others; empty where there is none.
std::string root_of(const std::vector<Certificate>& bundle) {
    Store store(X509_STORE_new());
    STACK_OF(X509)* between = sk_X509_new_null();
    for (std::size_t i = 1; i < bundle.size(); ++i) {
        X509* certificate = bundle[i].get();
        const auto* issuer = X509_get0_authority_key_id(certificate);
        const auto* own = X509_get0_subject_key_id(certificate);
        const bool is_root =
            issuer == nullptr || (own != nullptr && ASN1_OCTET_STRING_cmp(issuer, own) == 0);
        if (is_root) {
            X509_STORE_add_cert(store.get(), certificate);
        } else {
            sk_X509_push(between, certificate);
        }
    }
    StoreContext context(X509_STORE_CTX_new());
    std::string der;
    if (X509_STORE_CTX_init(context.get(), store.get(), bundle.front().get(), between) == 1 &&
        X509_verify_cert(context.get()) == 1) {
        STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(context.get());
        der = der_of(sk_X509_value(chain, sk_X509_num(chain) - 1));
    }
    context.reset();
    sk_X509_free(between);
    ERR_clear_error();
    return der;
}

}  // namespace

bool is_k3s_token(std::string_view token) {
    return token.starts_with(kTokenPrefix) && token.find("::") != std::string_view::npos;
}

Result<K3sToken> parse_k3s_token(std::string_view token) {
    const auto refuse = [](std::string_view what) {
        // The token is a secret: not shown.
        return fail(Code::invalid,
                    "{}: it must be the whole of the server's node-token file "
                    "(/var/lib/rancher/k3s/server/node-token), K10HASH::USER:PASSWORD",
                    what);
    };
    if (!is_k3s_token(token) || token.size() > kTokenBytesMax ||
        std::ranges::any_of(token, [](char c) { return c <= ' ' || c > '~'; })) {
        return refuse("the token has not the form of a k3s token");
    }
    token.remove_prefix(kTokenPrefix.size());
    const auto colons = token.find("::");
    K3sToken parsed;
    parsed.ca_hash = to_lower(token.substr(0, colons));
    if (!is_hash(parsed.ca_hash)) {
        return refuse("the token does not hold the SHA-256 hash of the cluster's CA");
    }
    const std::string_view credentials = token.substr(colons + 2);
    if (is_bootstrap_token(credentials)) {
        parsed.bootstrap = credentials;
        return parsed;
    }
    const auto colon = credentials.find(':');
    if (colon == std::string_view::npos || colon + 1 == credentials.size()) {
        return refuse("the token holds no password");
    }
    parsed.password = credentials.substr(colon + 1);
    return parsed;
}

Result<std::string> k3s_ca_hash(std::string_view pem) {
    const auto bundle = certificates_in(pem);
    if (bundle.empty()) {
        return fail(Code::invalid, "no certificate in the PEM text");
    }
    const std::string root = bundle.size() > 1 ? root_of(bundle) : std::string();
    return sha256_hex(root.empty() ? pem : std::string_view(root));
}

std::string format_k3s_cluster(const K3sCluster& cluster) {
    boost::json::object object;
    object["supervisor"] = cluster.supervisor;
    object["program"] = cluster.program;
    object["apiServer"] = cluster.api_server;
    object["ca"] = cluster.ca_pem;
    object["caHash"] = cluster.token.ca_hash;
    object["password"] = cluster.token.password;
    object["bootstrapToken"] = cluster.token.bootstrap;
    return boost::json::serialize(object) + "\n";
}

Result<K3sCluster> parse_k3s_cluster(std::string_view json) {
    boost::system::error_code error;
    const auto parsed = boost::json::parse(json, error);
    const auto* object = error ? nullptr : parsed.if_object();
    if (object == nullptr) {
        return fail(Code::corrupt, "not a JSON object");
    }
    const auto text = [&](std::string_view field) {
        const auto* value = object->if_contains(field);
        const auto* found = value == nullptr ? nullptr : value->if_string();
        return found == nullptr ? std::string() : std::string(found->c_str(), found->size());
    };
    K3sCluster cluster;
    cluster.supervisor = text("supervisor");
    cluster.program = text("program");
    cluster.api_server = text("apiServer");
    cluster.ca_pem = text("ca");
    cluster.token = {text("caHash"), text("password"), text("bootstrapToken")};
    const bool plain = !cluster.program.empty() && std::ranges::all_of(cluster.program, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    });
    if (!http::parse_url(cluster.supervisor) || !http::parse_url(cluster.api_server) || !plain ||
        cluster.ca_pem.empty() ||
        (cluster.token.password.empty() && cluster.token.bootstrap.empty())) {
        return fail(Code::corrupt, "a field is missing or not usable");
    }
    return cluster;
}

Result<std::optional<K3sCluster>> find_k3s_cluster(const NodeSettings& settings) {
    const auto file = k3s_cluster_file(settings.bootstrap_kubeconfig);
    SKIFF_CHECK(check_private(file));
    auto text = os::read_file(file, kClusterFileBytesMax);
    if (!text && text.error().code == Code::not_found) {
        return std::optional<K3sCluster>();
    }
    if (!text) {
        return fail(std::move(text.error()));
    }
    auto cluster = parse_k3s_cluster(*text);
    if (!cluster) {
        return fail(std::move(cluster.error()).context(file.string()));
    }
    return std::optional<K3sCluster>(std::move(*cluster));
}

std::filesystem::path k3s_client_file(const NodeSettings& settings) {
    return settings.cert_dir / "k3s-client.pem";
}
std::filesystem::path k3s_serving_file(const NodeSettings& settings) {
    return settings.cert_dir / "k3s-serving.pem";
}
std::filesystem::path k3s_client_ca_file(const NodeSettings& settings) {
    return settings.cert_dir / "k3s-client-ca.crt";
}
std::filesystem::path k3s_cluster_file(const std::filesystem::path& bootstrap_kubeconfig) {
    std::filesystem::path file = bootstrap_kubeconfig;
    file += ".k3s";
    return file;
}

}  // namespace skiff::node
