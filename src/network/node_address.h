// Which address a node is reached at. Blocking, but never for long: nothing is sent.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace skiff::network {

// The node's addresses, the preferred family first, at most one of each: the source address that
// the kernel would use for the default route; for a family without one the first on the interface
// of the other's, and without any the first of an interface that is up. Never loopback or
// link-local. Fails with not_found when there is none.
[[nodiscard]] Result<std::vector<std::string>> detect_node_addresses();

// Whether `text` is an address that may be given as the node's: an IP address, neither loopback,
// unspecified, multicast nor link-local. Fails with Code::invalid, saying which.
[[nodiscard]] Result<void> check_node_address(const std::string& text);

}  // namespace skiff::network
