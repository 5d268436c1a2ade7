#include "app/network_kind.h"

#include <unistd.h>

#include "network/namespaces.h"
#include "network/nftables.h"

namespace skiff::app {

std::string_view to_string(NetworkKind kind) {
    switch (kind) {
        case NetworkKind::cni:
            return "cni";
        case NetworkKind::routed:
            return "routed";
        case NetworkKind::node:
            return "node";
    }
    return "";
}

NetworkChoice choose_network(std::string_view wanted, const NetworkKindFacts& facts) {
    for (const NetworkKind kind : {NetworkKind::cni, NetworkKind::routed, NetworkKind::node}) {
        if (wanted == to_string(kind)) {
            return {kind, "podNetwork says so"};
        }
    }
    if (facts.has_routed_pods != facts.has_cni_pods) {
        return {facts.has_cni_pods ? NetworkKind::cni : NetworkKind::routed,
                "the pods that live have it"};
    }
    if (facts.has_cni_config) {
        return {NetworkKind::cni, "there is a configuration in cniConfDir"};
    }
    return {NetworkKind::routed,
            "there is no configuration in cniConfDir; set podNetwork to cni if one is to come"};
}

Result<void> try_routed_network() {
    if (::geteuid() != 0) {
        return fail(Code::denied, "only root can give pods networks of their own");
    }
    if (::access("/proc/sys/net/ipv4/ip_forward", W_OK) != 0) {
        return fail(Code::denied,
                    "/proc/sys/net is read-only, so the machine cannot be told to route; mount it "
                    "writable, or set podNetwork to node");
    }
    auto tried = network::in_new_namespace([]() -> Result<void> {
        return network::run_nft(
            "table inet skiff-try {\n"
            "  chain leaving {\n"
            "    type nat hook postrouting priority srcnat; policy accept;\n"
            "    ip saddr 192.0.2.0/24 masquerade\n"
            "  }\n"
            "}\n");
    });
    if (!tried) {
        return fail(std::move(tried.error())
                        .context("a network for pods cannot be made here (it needs CAP_SYS_ADMIN, "
                                 "CAP_NET_ADMIN and a kernel with nf_tables, nft_chain_nat and "
                                 "nft_masq; else set podNetwork to node)"));
    }
    return {};
}

}  // namespace skiff::app
