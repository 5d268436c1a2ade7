#include "node/join.h"

#include "base/text.h"
#include "kube/client_api.h"
#include "node/certificates.h"
#include "node/k3s.h"
#include "os/file.h"

namespace skiff::node {

namespace {

constexpr std::size_t kTokenIdBytes = 6;
constexpr std::size_t kTokenSecretBytes = 16;

struct TokenParts {
    std::string id;
    std::string secret;
};

Result<TokenParts> split_token(std::string_view token) {
    if (!is_bootstrap_token(token)) {
        // The token is a secret: not shown.
        return fail(Code::invalid,
                    "the token has not the form of a bootstrap token (6 and 16 characters, "
                    "a-z and 0-9, joined by a dot)");
    }
    return TokenParts{std::string(token.substr(0, kTokenIdBytes)),
                      std::string(token.substr(kTokenIdBytes + 1))};
}

using ClusterInfo = kube::ConfigMap;

std::string entry(const ClusterInfo& info, const std::string& key) {
    auto found = info.data.find(key);
    return found == info.data.end() ? std::string() : found->second;
}

async::Task<Result<ClusterInfo>> fetch_cluster_info(kube::ClientConfig config, const Clock& clock) {
    auto executor = co_await async::current_executor();
    kube::ApiClient client(executor, clock, std::move(config));
    auto info = co_await client.get<kube::ConfigMap>("kube-public", "cluster-info");
    if (!info) {
        co_return fail(std::move(info.error()).context("cluster-info"));
    }
    co_return std::move(*info);
}

// The kubeconfig inside cluster-info: server and CA, no user.
Result<kube::ClientConfig> read_cluster(const ClusterInfo& info) {
    std::string text = entry(info, "kubeconfig");
    if (text.empty()) {
        return fail(Code::invalid, "cluster-info holds no kubeconfig");
    }
    auto config = kube::parse_first_cluster(text);
    if (!config) {
        return fail(std::move(config.error()).context("cluster-info"));
    }
    if (config->tls.ca_pem.empty()) {
        return fail(Code::invalid, "cluster-info holds no certificate authority");
    }
    return config;
}

Result<void> check_pinned(const std::string& ca_pem, const std::vector<std::string>& pinned) {
    SKIFF_TRY(auto hashes, public_key_hashes(ca_pem));
    for (const std::string& hash : hashes) {
        bool found = std::any_of(pinned.begin(), pinned.end(), [&](const std::string& wanted) {
            return to_lower(wanted) == hash;
        });
        if (found) {
            return {};
        }
    }
    return fail(Code::denied,
                "the cluster's CA has public key {}, which is none of those given with "
                "--ca-cert-hash: either the hash is of another cluster, or somebody answers in "
                "the server's place",
                hashes.front());
}

}  // namespace

bool is_signed_by_token(std::string_view content, std::string_view jws,
                        std::string_view token_secret) {
    auto first = jws.find('.');
    auto second = first == std::string_view::npos ? first : jws.find('.', first + 1);
    if (second == std::string_view::npos || second != first + 1) {
        return false;
    }
    std::string_view header = jws.substr(0, first);
    auto decoded = base64_decode(header);
    if (!decoded || decoded->find("\"HS256\"") == std::string::npos) {
        return false;
    }
    std::string input = fmt::format("{}.{}", header, base64url(content));
    return hmac_sha256_base64url(token_secret, input) == jws.substr(second + 1);
}

bool is_bootstrap_token(std::string_view token) {
    auto plain = [](std::string_view part) {
        return std::ranges::all_of(
            part, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
    };
    return token.size() == kTokenIdBytes + 1 + kTokenSecretBytes && token[kTokenIdBytes] == '.' &&
           plain(token.substr(0, kTokenIdBytes)) && plain(token.substr(kTokenIdBytes + 1));
}

Result<std::string> server_url(std::string_view server) {
    if (server.starts_with("http://")) {
        return fail(Code::invalid, "the API server speaks https, not http: {}", server);
    }
    std::string url(server);
    if (!url.starts_with("https://")) {
        url = "https://" + url;
    }
    while (url.ends_with('/')) {
        url.pop_back();
    }
    SKIFF_TRY(auto parsed, http::parse_url(url));
    bool has_port = parsed.port != 443 || url.ends_with(":443");
    return has_port ? url : url + ":6443";
}

async::Task<Result<void>> join(JoinRequest request, const Clock& clock) {
    if (is_k3s_token(request.token)) {
        co_return co_await join_k3s(std::move(request));
    }
    SKIFF_CO_TRY(auto token, split_token(request.token));
    SKIFF_CO_TRY(auto server, server_url(request.server));
    if (request.ca_cert_hashes.empty()) {
        co_return fail(Code::invalid, "--ca-cert-hash is needed to know the right cluster");
    }
    kube::ClientConfig config;
    config.server = server;
    config.tls.verify = http::Verify::kNothing;
    auto untrusted = fetch_cluster_info(config, clock);
    SKIFF_CO_TRY(auto info, co_await std::move(untrusted));
    SKIFF_CO_TRY(auto cluster, read_cluster(info));
    SKIFF_CO_CHECK(check_pinned(cluster.tls.ca_pem, request.ca_cert_hashes));
    std::string jws = entry(info, "jws-kubeconfig-" + token.id);
    if (!is_signed_by_token(entry(info, "kubeconfig"), jws, token.secret)) {
        co_return fail(Code::invalid,
                       "the cluster does not know this token: it is mistyped, expired or deleted "
                       "(make a new one with `kubeadm token create`)");
    }
    config.tls = cluster.tls;
    auto trusted = fetch_cluster_info(config, clock);
    SKIFF_CO_TRY(auto again, co_await std::move(trusted));
    if (entry(again, "kubeconfig") != entry(info, "kubeconfig")) {
        co_return fail(Code::denied, "cluster-info differs over a trusted connection");
    }
    cluster.token = request.token;
    auto folder = request.bootstrap_kubeconfig.parent_path();
    SKIFF_CO_CHECK(os::make_folders(folder, 0755));
    co_return os::write_file_atomic(request.bootstrap_kubeconfig,
                                    kube::format_kubeconfig(cluster, "bootstrap"), 0600,
                                    os::Durability::power);
}

}  // namespace skiff::node
