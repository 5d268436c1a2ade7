// What a user pastes, what a supervisor answers, and what is kept of it.
#include "base/fuzz.h"
#include "http/url.h"
#include "node/k3s.h"
#include "node/tunnels.h"

namespace skiff::node {

SKIFF_FUZZ(node_k3s_files) {
    const auto token = parse_k3s_token(bytes);
    if (!token) {
        fuzz::check_error(token.error());
    } else {
        SKIFF_ASSERT(token->ca_hash.size() == 64);
        SKIFF_ASSERT(token->password.empty() != token->bootstrap.empty());
    }
    const auto cluster = parse_k3s_cluster(bytes);
    if (!cluster) {
        fuzz::check_error(cluster.error());
    } else {
        SKIFF_ASSERT(http::parse_url(cluster->url("connect")).has_value());
        SKIFF_ASSERT(*parse_k3s_cluster(format_k3s_cluster(*cluster)) == *cluster);
    }
    if (const auto hash = k3s_ca_hash(bytes); !hash) {
        fuzz::check_error(hash.error());
    }
    const auto servers = parse_server_list(bytes);
    if (!servers) {
        fuzz::check_error(servers.error());
        return;
    }
    SKIFF_ASSERT(servers->size() <= kTunnelServersMax);
    for (const std::string& server : *servers) {
        const auto endpoint = endpoint_at("https://10.0.0.1:9345/v1-rke2/connect", server);
        SKIFF_ASSERT(!endpoint || endpoint->ends_with(":9345/v1-rke2/connect"), server);
    }
}

}  // namespace skiff::node
