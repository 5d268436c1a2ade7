// A listening socket for somebody else to accept from.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "os/fd.h"

namespace skiff::os {

// A TCP socket bound to `port` (not 0) that listens, non-blocking. `address`: numeric; empty means
// all addresses, of IPv6 too where the kernel has it. Fails with Code::exists when another one has
// the port, Code::denied, or Code::invalid for what is no address. Called by a runner that serves,
// inside its network and before it gives up its powers.
[[nodiscard]] Result<Fd> listen_tcp(const std::string& address, std::uint16_t port);

}  // namespace skiff::os
