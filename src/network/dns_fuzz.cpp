#include "network/dns.h"

#include "base/fuzz.h"
#include "kube/codec.h"
#include "network/name_lookup.h"

namespace skiff::network {

static void check_formed(const FormedDns& formed) {
    SKIFF_ASSERT(formed.config.nameservers.size() <= 3);
    SKIFF_ASSERT(formed.config.searches.size() <= 32);
    std::size_t bytes = 0;
    for (const std::string& search : formed.config.searches) {
        bytes += search.size() + 1;
    }
    SKIFF_ASSERT(bytes <= 2049);
    for (const auto& complaint : formed.complaints) {
        SKIFF_ASSERT(!complaint.reason.empty() && !complaint.message.empty());
    }
}

// The input: resolv.conf, a zero byte, a pod.
SKIFF_FUZZ(network_dns) {
    fuzz::Input input(bytes);
    const DnsConfig node = parse_resolv_conf(input.part());
    const std::string text = format_resolv_conf(node);
    SKIFF_ASSERT(format_resolv_conf(parse_resolv_conf(text)).size() <= text.size());
    const Resolving resolving = resolving_of(node);
    SKIFF_ASSERT(resolving.servers.size() <= 3 && resolving.ndots <= 15);
    SKIFF_ASSERT(resolving.attempts >= 1 && resolving.attempts <= 5);
    SKIFF_ASSERT(resolving.timeout.count() >= 1 && resolving.timeout.count() <= 30);
    SKIFF_ASSERT(full_names("db", resolving).size() == node.searches.size() + 1);
    SKIFF_ASSERT(find_in_hosts(text, "db").size() <= kDnsAddressesMax);
    const ClusterDns cluster{{"10.96.0.10"}, "cluster.local"};
    if (const auto pod = kube::from_json<kube::Pod>(input.rest())) {
        check_formed(form_dns(*pod, node, cluster));
        SKIFF_ASSERT(pod->spec.hostnameOverride || pod->spec.setHostnameAsFQDN ||
                     pod_hostname(*pod, "node", cluster).size() <= 63);
        SKIFF_ASSERT(!hosts_text(*pod, {"10.0.0.1"}, "127.0.0.1\tlocalhost\n", cluster).empty());
    }
}

}  // namespace skiff::network
