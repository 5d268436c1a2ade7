#include "kube/client_exec.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>

#include "base/text.h"
#include "kube/codec.h"

namespace skiff::kube {

namespace {

namespace json = boost::json;

constexpr std::size_t kCaBytesMax = std::size_t{1} << 20;
constexpr std::size_t kShownBytesMax = 100;

std::string ca_of(const ClientConfig& config) {
    if (!config.tls.ca_pem.empty() || config.tls.ca_file.empty()) {
        return config.tls.ca_pem;
    }
    std::ifstream file(config.tls.ca_file, std::ios::binary);
    std::string text(kCaBytesMax, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
    return text;
}

json::object cluster_of(const ClientConfig& config) {
    json::object cluster;
    cluster["server"] = config.server;
    if (config.tls.verify == http::Verify::kNothing) {
        cluster["insecure-skip-tls-verify"] = true;
    }
    if (std::string ca = ca_of(config); !ca.empty()) {
        cluster["certificate-authority-data"] = base64_encode(ca);
    }
    if (config.proxy && !config.proxy->empty()) {
        cluster["proxy-url"] = *config.proxy;
    }
    boost::system::error_code error;
    auto its = json::parse(config.exec->cluster_config, error);
    cluster["config"] = error ? json::value() : std::move(its);
    return cluster;
}

Result<std::string> text_of(const json::object& map, std::string_view key) {
    const json::value* value = map.if_contains(key);
    if (value == nullptr || value->is_null()) {
        return std::string();
    }
    const json::string* text = value->if_string();
    if (text == nullptr) {
        return fail(Code::invalid, "ExecCredential: {} is not a string", key);
    }
    return std::string(text->data(), text->size());
}

Result<const json::object*> status_of(const json::value& root, std::string_view api_version) {
    const json::object* map = root.if_object();
    if (map == nullptr) {
        return fail(Code::invalid, "ExecCredential: not a JSON object");
    }
    SKIFF_TRY(auto kind, text_of(*map, "kind"));
    if (kind != "ExecCredential") {
        return fail(Code::invalid, "kind \"{}\" instead of ExecCredential",
                    bounded_utf8(kind, kShownBytesMax));
    }
    SKIFF_TRY(auto version, text_of(*map, "apiVersion"));
    if (version != api_version) {
        return fail(Code::invalid, "ExecCredential: apiVersion \"{}\" instead of {}",
                    bounded_utf8(version, kShownBytesMax), api_version);
    }
    const json::value* status = map->if_contains("status");
    if (status == nullptr || !status->is_object()) {
        return fail(Code::invalid, "ExecCredential: no status");
    }
    return &status->get_object();
}

}  // namespace

std::string format_exec_info(const ClientConfig& config) {
    json::object spec;
    if (config.exec->cluster_facts == ExecPlugin::ClusterFacts::provided) {
        spec["cluster"] = cluster_of(config);
    }
    spec["interactive"] = false;
    json::object root;
    root["kind"] = "ExecCredential";
    root["apiVersion"] = config.exec->api_version;
    root["spec"] = std::move(spec);
    return json::serialize(root);
}

Result<Credential> parse_exec_credential(std::string_view text, std::string_view api_version) {
    if (text.size() > kExecCredentialBytesMax) {
        return fail(Code::invalid, "ExecCredential: larger than {} bytes", kExecCredentialBytesMax);
    }
    json::parse_options options;
    options.max_depth = kDepthMax;
    boost::system::error_code error;
    json::value root = json::parse(text, error, {}, options);
    if (error) {
        return fail(Code::invalid, "ExecCredential: not JSON: {}", error.message());
    }
    SKIFF_TRY(const json::object* status, status_of(root, api_version));
    Credential credential;
    SKIFF_TRY(credential.token, text_of(*status, "token"));
    SKIFF_TRY(credential.certificate_pem, text_of(*status, "clientCertificateData"));
    SKIFF_TRY(credential.key_pem, text_of(*status, "clientKeyData"));
    SKIFF_TRY(auto expires, text_of(*status, "expirationTimestamp"));
    if (!expires.empty()) {
        credential.expires = parse_rfc3339(expires);
        if (!credential.expires) {
            return fail(Code::invalid, "ExecCredential: expirationTimestamp \"{}\" is no time",
                        bounded_utf8(expires, kShownBytesMax));
        }
    }
    if (credential.certificate_pem.empty() != credential.key_pem.empty()) {
        return fail(Code::invalid,
                    "ExecCredential: clientCertificateData and clientKeyData come together");
    }
    if (credential.token.empty() && credential.certificate_pem.empty()) {
        return fail(Code::invalid, "ExecCredential: neither a token nor a client certificate");
    }
    if (credential.token.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos) {
        return fail(Code::invalid, "ExecCredential: the token has a line break");
    }
    return credential;
}

}  // namespace skiff::kube
