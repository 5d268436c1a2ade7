// Checks of the network: ports, addresses, names, time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/check.h"
#include "base/result.h"
#include "config/settings.h"

namespace skiff::app {

struct PortFacts {
    std::string field;  // "port"
    std::string address;
    std::uint16_t port = 0;
    bool is_free = true;
    std::string holder;  // "nginx (pid 4711)", empty when it cannot be seen
};

struct NetworkFacts {
    std::vector<PortFacts> ports;
    Result<std::vector<std::string>> addresses;  // of the node
    std::string resolver_file;
    Result<std::string> resolver;  // its text
    bool clock_is_synchronised = true;
    std::string host;                      // of the API server; empty: none, or an address
    Result<std::vector<std::string>> ips;  // of that host
};

// `host`: of the API server. Asks the machine's resolver: may block for seconds.
[[nodiscard]] NetworkFacts observe_network(const config::Settings& settings, std::string host);
[[nodiscard]] Findings judge_network(const NetworkFacts& facts);

}  // namespace skiff::app
