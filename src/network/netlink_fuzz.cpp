#include <vector>

#include "base/fuzz.h"
#include "network/rtnetlink.h"
#include "network/rtnetlink_peers.h"

namespace skiff::network {

// What the kernel answers: links, routes, acknowledgements with explanations.
SKIFF_FUZZ(network_netlink) {
    // As it is received: aligned.
    std::vector<std::uint64_t> words((bytes.size() + 7) / 8);
    std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(words.data()));
    const std::string_view datagram(reinterpret_cast<const char*>(words.data()), bytes.size());
    std::size_t total = 0;
    for (const NetlinkAnswer& answer : parse_answers(datagram)) {
        total += sizeof(nlmsghdr) + answer.payload.size();
        if (auto said = parse_acknowledgement(answer)) {
            SKIFF_ASSERT(said->error >= 0 && said->error < 4096);
            SKIFF_ASSERT(said->explanation.size() <= 256);
        }
        if (auto link = parse_link(answer)) {
            SKIFF_ASSERT(link->index != 0 && !link->name.empty());
            SKIFF_ASSERT(link->name.size() <= kLinkNameMax);
        }
        if (auto traffic = parse_link_traffic(answer)) {
            auto link = parse_link(answer);
            SKIFF_ASSERT(link && traffic->name == link->name);
        }
        if (auto route = parse_host_route(answer)) {
            SKIFF_ASSERT(route->link != 0);
        }
        if (auto details = parse_link_details(answer)) {
            SKIFF_ASSERT(details->link.index != 0 && details->alias.size() <= 255);
        }
        if (auto address = parse_link_address(answer)) {
            SKIFF_ASSERT(address->link != 0);
        }
        if (auto route = parse_range_route(answer, {83, 7})) {
            SKIFF_ASSERT(route->second.link != 0);
            SKIFF_ASSERT(route->first.prefix <= route->first.first.bits());
        }
        for (const auto kind : {NeighbourKind::neighbour, NeighbourKind::forwarding}) {
            if (auto entry = parse_neighbour(answer, kind)) {
                SKIFF_ASSERT(entry->link != 0);
            }
        }
    }
    SKIFF_ASSERT(total <= bytes.size());
}

}  // namespace skiff::network
