#include "network/cni_pod.h"

#include <algorithm>

#include "base/text.h"
#include "network/bandwidth.h"

namespace skiff::network {

CniKey cni_key_of(std::string_view instance, const PodUid& uid) {
    return {fmt::format("{}-{}", instance, uid.str()), "eth0"};
}

std::optional<PodUid> pod_of(std::string_view instance, const CniKey& key) {
    const std::string prefix = fmt::format("{}-", instance);
    if (!key.container_id.starts_with(prefix) || key.container_id.size() == prefix.size()) {
        return std::nullopt;
    }
    return PodUid(key.container_id.substr(prefix.size()));
}

Result<CniAttachment> make_cni_attachment(const kube::Pod& pod, const std::vector<PortMap>& ports) {
    CniAttachment attachment;
    attachment.pod = {pod.metadata.namespace_, pod.metadata.name};
    attachment.pod_uid = PodUid(pod.metadata.uid);
    attachment.pod_annotations = pod.metadata.annotations;
    SKIFF_TRY(const PodBandwidth rates, parse_bandwidth(pod));
    if (rates != PodBandwidth()) {
        CniBandwidth& bandwidth = attachment.bandwidth.emplace();
        bandwidth.ingress_rate = rates.to_pod;
        bandwidth.egress_rate = rates.from_pod;
    }
    for (const PortMap& port : ports) {
        CniPortMapping mapping;
        mapping.host_port = port.node_port;
        mapping.container_port = port.pod_port;
        mapping.protocol = to_lower(to_string(port.transport));
        mapping.host_ip = port.node_address ? format_as(*port.node_address) : "";
        attachment.port_mappings.push_back(std::move(mapping));
    }
    return attachment;
}

Result<std::vector<std::string>> pod_addresses(const CniResult& result, std::string_view interface,
                                               IpFamily preferred) {
    std::optional<IpAddress> first;
    std::optional<IpAddress> second;
    for (const std::string& text : result.addresses_of(interface)) {
        SKIFF_TRY(const IpAddress address, IpAddress::parse(text));
        auto& place = address.family == preferred ? first : second;
        if (!place) {
            place = address;
        }
    }
    std::vector<std::string> addresses;
    for (const auto& address : {first, second}) {
        if (address) {
            addresses.push_back(format_as(*address));
        }
    }
    if (addresses.empty()) {
        return fail(Code::corrupt, "the network plugin gave {} no address", interface);
    }
    return addresses;
}

}  // namespace skiff::network
