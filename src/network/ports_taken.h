// Whether a port of this network namespace is free, and who holds it if not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "network/port_map.h"

namespace skiff::network {

// Whether a server could listen there now. `address` is an IP address, empty for all. A port that
// only old connections still use (TIME_WAIT) is free. What cannot be tried (SCTP, too) counts as
// free: the guest's own bind will say what is wrong.
[[nodiscard]] bool is_port_free(Transport transport, const std::string& address,
                                std::uint16_t port);

// "nginx (pid 4711)" for the process that listens there, found by /proc; nullopt when it cannot be
// seen (another pid namespace, SCTP). Walks /proc: for error messages only.
[[nodiscard]] std::optional<std::string> find_port_holder(Transport transport, std::uint16_t port);

}  // namespace skiff::network
