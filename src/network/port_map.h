// Ports of the node that lead to pods (containerPort.hostPort, contract row 53).
#pragma once

#include <fmt/format.h>

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "kube/types.h"
#include "network/ip.h"

namespace skiff::network {

enum class Transport : std::uint8_t { tcp, udp, sctp };
// As Kubernetes writes it: "TCP".
[[nodiscard]] std::string_view to_string(Transport transport);
// "" is TCP; nullopt for what Kubernetes does not know.
[[nodiscard]] std::optional<Transport> parse_transport(std::string_view text);

struct PortMap {
    Transport transport = Transport::tcp;
    std::uint16_t node_port = 0;
    std::uint16_t pod_port = 0;
    // The node's address that it is for; nullopt for all.
    std::optional<IpAddress> node_address;
    friend auto operator<=>(const PortMap&, const PortMap&) = default;
};
// "TCP 80 8080 192.0.2.1" or "TCP 80 8080 *": for records.
[[nodiscard]] std::string format_as(const PortMap& map);
[[nodiscard]] std::optional<PortMap> parse_port_map(std::string_view text);

// Fails with Code::conflict, naming port and holder, where `holder` has one of the ports that are
// wanted. Of what no scheduler keeps apart: pods of files.
[[nodiscard]] Result<void> check_ports_free(const std::vector<PortMap>& wanted,
                                            const std::vector<PortMap>& held,
                                            const PodName& holder);

// The most that one pod may ask for.
inline constexpr std::size_t kPortMapsMax = 1024;

// The hostPorts of a pod's containers and sidecars; those of other init containers lead nowhere, as
// with a kubelet. Fails with Code::invalid for an address, a protocol or a port that is none (a pod
// of a file: the API server has seen the others), exhausted for more than kPortMapsMax.
[[nodiscard]] Result<std::vector<PortMap>> port_maps_of(const kube::Pod& pod);

}  // namespace skiff::network

template <>
struct fmt::formatter<skiff::network::PortMap> : fmt::formatter<std::string> {
    auto format(const skiff::network::PortMap& value, fmt::format_context& context) const {
        return fmt::formatter<std::string>::format(skiff::network::format_as(value), context);
    }
};
