// What the kernel does with pods' packets on their way: the node's own address for what leaves it,
// ports of the node that lead to pods. Pure: makes the text, nftables.h gives it to the kernel.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "network/ip.h"
#include "network/port_map.h"

namespace skiff::network {

struct Firewall {
    std::string instance;  // as WireSettings::instance
    // Where pods of this node have their addresses.
    std::vector<IpRange> pods;
    // Beside these, where pods' own addresses are known: the pods of other nodes.
    std::vector<IpRange> direct;
    struct Ports {
        std::vector<IpAddress> addresses;  // of the pod
        std::vector<PortMap> maps;
    };
    std::vector<Ports> ports;
};

// The name of the instance's one table.
[[nodiscard]] std::string table_name(std::string_view instance);

// A script for nft that replaces the table in one step.
[[nodiscard]] std::string format_table(const Firewall& firewall);
// One that removes it; that there is none is fine.
[[nodiscard]] std::string format_table_removal(std::string_view instance);

}  // namespace skiff::network
