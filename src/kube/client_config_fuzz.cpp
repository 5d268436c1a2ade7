#include "kube/client_config.h"

#include "base/fuzz.h"
#include "http/url.h"

namespace skiff::kube {

static void check_config(const ClientConfig& config) {
    SKIFF_ASSERT(!config.server.ends_with('/'));
    SKIFF_ASSERT(http::parse_url(config.server).has_value());
    SKIFF_ASSERT(!config.namespace_.empty());
}

SKIFF_FUZZ(kube_client_config) {
    const auto first = parse_first_cluster(bytes);
    if (first) {
        check_config(*first);
    } else {
        fuzz::check_error(first.error());
    }
    const auto config = parse_kubeconfig(bytes, "/etc/skiff");
    if (!config) {
        fuzz::check_error(config.error());
        return;
    }
    check_config(*config);
    const auto again = parse_kubeconfig(format_kubeconfig(*config, "node"), "/");
    SKIFF_ASSERT(again.has_value(), again ? "" : again.error().message);
    SKIFF_ASSERT(again->server == config->server);
    SKIFF_ASSERT(again->token == config->token);
    SKIFF_ASSERT(again->token_file == config->token_file);
    SKIFF_ASSERT(again->namespace_ == config->namespace_);
    SKIFF_ASSERT(again->tls.ca_pem == config->tls.ca_pem);
    SKIFF_ASSERT(again->tls.client_key_pem == config->tls.client_key_pem);
    SKIFF_ASSERT(again->tls.verify == config->tls.verify);
}

}  // namespace skiff::kube
