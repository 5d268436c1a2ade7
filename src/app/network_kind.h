// Who gives pods their addresses: the settings' podNetwork, settled for one run of the agent.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace skiff::app {

enum class NetworkKind { cni, routed, node };
[[nodiscard]] std::string_view to_string(NetworkKind kind);

struct NetworkKindFacts {
    // Whether the folder of network plugins holds a configuration, also a wrong one.
    bool has_cni_config = false;
    // What pods of agents before have.
    bool has_cni_pods = false;
    bool has_routed_pods = false;
};

struct NetworkChoice {
    NetworkKind kind = NetworkKind::node;
    std::string why;  // for the log
};

// `wanted` as config::resolve() lets it through. Pure.
[[nodiscard]] NetworkChoice choose_network(std::string_view wanted, const NetworkKindFacts& facts);

// Whether this process can give pods namespaces, addresses and rules of nftables; says what is
// missing and what to do. Tries it in a namespace that goes again. Blocking.
[[nodiscard]] Result<void> try_routed_network();

}  // namespace skiff::app
