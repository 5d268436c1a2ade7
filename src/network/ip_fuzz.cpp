#include "network/ip.h"

#include "base/fuzz.h"
#include "network/port_map.h"

namespace skiff::network {

// Addresses, ranges and port maps, each read from the same text.
SKIFF_FUZZ(network_ip) {
    if (auto address = IpAddress::parse(bytes)) {
        SKIFF_ASSERT(IpAddress::parse(format_as(*address)) == *address);
    } else {
        fuzz::check_error(address.error());
    }
    if (auto range = IpRange::parse(bytes)) {
        SKIFF_ASSERT(IpRange::parse(format_as(*range)) == *range);
        SKIFF_ASSERT(range->contains(range->first));
    } else {
        fuzz::check_error(range.error());
    }
    if (auto map = parse_port_map(bytes)) {
        SKIFF_ASSERT(parse_port_map(format_as(*map)) == *map);
    }
}

}  // namespace skiff::network
