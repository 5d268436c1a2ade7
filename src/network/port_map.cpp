#include "network/port_map.h"

#include "base/text.h"

namespace skiff::network {

std::string_view to_string(Transport transport) {
    switch (transport) {
        case Transport::tcp:
            return "TCP";
        case Transport::udp:
            return "UDP";
        case Transport::sctp:
            return "SCTP";
    }
    return "";
}

std::optional<Transport> parse_transport(std::string_view text) {
    if (text.empty()) {
        return Transport::tcp;
    }
    for (const Transport transport : {Transport::tcp, Transport::udp, Transport::sctp}) {
        if (to_string(transport) == text) {
            return transport;
        }
    }
    return std::nullopt;
}

std::string format_as(const PortMap& map) {
    return fmt::format("{} {} {} {}", to_string(map.transport), map.node_port, map.pod_port,
                       map.node_address ? format_as(*map.node_address) : "*");
}

std::optional<PortMap> parse_port_map(std::string_view text) {
    const auto words = split(text, ' ');
    if (words.size() != 4 || words[0].empty()) {
        return std::nullopt;
    }
    auto transport = parse_transport(words[0]);
    auto node_port = parse_port(words[1]);
    auto pod_port = parse_port(words[2]);
    if (!transport || !node_port || !pod_port) {
        return std::nullopt;
    }
    PortMap map{*transport, *node_port, *pod_port, std::nullopt};
    if (words[3] != "*") {
        auto address = IpAddress::parse(words[3]);
        if (!address) {
            return std::nullopt;
        }
        map.node_address = *address;
    }
    return map;
}

// Whether both want the same port of the same address.
static bool collide(const PortMap& one, const PortMap& other) {
    const bool meet =
        !one.node_address || !other.node_address || one.node_address == other.node_address;
    return meet && one.transport == other.transport && one.node_port == other.node_port;
}

Result<void> check_ports_free(const std::vector<PortMap>& wanted, const std::vector<PortMap>& held,
                              const PodName& holder) {
    for (const PortMap& theirs : held) {
        for (const PortMap& ours : wanted) {
            if (collide(ours, theirs)) {
                return fail(Code::conflict, "port {}/{} of the node is taken by pod {}",
                            ours.node_port, to_string(ours.transport), holder);
            }
        }
    }
    return {};
}

static Result<void> add_ports(const kube::Container& container, std::vector<PortMap>& maps) {
    for (const kube::ContainerPort& port : container.ports) {
        if (port.hostPort == 0) {
            continue;
        }
        PortMap map;
        auto transport = parse_transport(port.protocol);
        if (!transport) {
            return fail(Code::invalid,
                        "container {}: protocol '{}' of hostPort {} is not TCP, UDP or SCTP",
                        container.name, bounded_utf8(port.protocol, 32), port.hostPort);
        }
        map.transport = *transport;
        for (const auto number : {port.hostPort, port.containerPort}) {
            if (number < 1 || number > 65535) {
                return fail(Code::invalid, "container {}: port {} is not in 1-65535",
                            container.name, number);
            }
        }
        map.node_port = static_cast<std::uint16_t>(port.hostPort);
        map.pod_port = static_cast<std::uint16_t>(port.containerPort);
        if (!port.hostIP.empty()) {
            auto address = IpAddress::parse(port.hostIP);
            if (!address) {
                return fail(std::move(address.error())
                                .context(fmt::format("container {}: hostIP of hostPort {}",
                                                     container.name, port.hostPort)));
            }
            if (!address->is_unspecified()) {
                map.node_address = *address;
            }
        }
        if (maps.size() >= kPortMapsMax) {
            return fail(Code::exhausted, "the pod has more than {} hostPorts", kPortMapsMax);
        }
        maps.push_back(map);
    }
    return {};
}

Result<std::vector<PortMap>> port_maps_of(const kube::Pod& pod) {
    std::vector<PortMap> maps;
    for (const kube::Container& container : pod.spec.containers) {
        SKIFF_CHECK(add_ports(container, maps));
    }
    for (const kube::Container& container : pod.spec.initContainers) {
        if (container.restartPolicy == "Always") {
            SKIFF_CHECK(add_ports(container, maps));
        }
    }
    return maps;
}

}  // namespace skiff::network
