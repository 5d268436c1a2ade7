// How fast packets go over an interface: what the kernel's traffic control is told. Only writes
// messages.
#pragma once

#include <cstdint>

#include "network/netlink.h"

namespace skiff::network {

// What leaves by the interface, in bits a second: it waits its turn (htb). First removes what an
// earlier call put in.
void shape_outgoing(NetlinkBatch& batch, std::uint32_t link, std::uint64_t bits_per_second);

}  // namespace skiff::network
