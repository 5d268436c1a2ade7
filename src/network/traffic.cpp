#include "network/traffic.h"

#include <algorithm>
#include <array>

#include "network/namespaces.h"

namespace skiff::network {

namespace {

constexpr std::string_view kPodLink = "eth0";
// isIgnoredDevice() of cAdvisor.
constexpr std::array<std::string_view, 4> kForeignEnds = {"lo", "veth", "docker", "nerdctl"};

Result<Traffic> traffic_in(const std::filesystem::path& pin) {
    SKIFF_TRY(os::Fd name_space, open_pinned(pin));
    Traffic found;
    SKIFF_CHECK(in_namespace(name_space, [&]() -> Result<void> {
        SKIFF_TRY(Netlink netlink, Netlink::open());
        SKIFF_TRY(found, list_link_traffic(netlink));
        return {};
    }));
    std::erase_if(found, [](const LinkTraffic& link) { return link.name == "lo"; });
    return found;
}

bool is_nodes_own(const LinkTraffic& link, const std::string& wires) {
    auto begins = [&](std::string_view prefix) { return link.name.starts_with(prefix); };
    return std::ranges::none_of(kForeignEnds, begins) && (wires.empty() || !begins(wires));
}

}  // namespace

Result<NodeTraffic> observe_traffic(const std::map<PodUid, Attachment>& pods,
                                    const std::string& wires) {
    SKIFF_TRY(Netlink netlink, Netlink::open());
    SKIFF_TRY(Traffic links, list_link_traffic(netlink));
    std::map<std::string_view, const LinkTraffic*> by_name;
    NodeTraffic traffic;
    for (const LinkTraffic& link : links) {
        by_name[link.name] = &link;
        if (is_nodes_own(link, wires)) {
            traffic.node.push_back(link);
        }
    }
    for (const auto& [uid, attachment] : pods) {
        if (auto end = by_name.find(attachment.node_link); end != by_name.end()) {
            const LinkTraffic& its = *end->second;
            traffic.pods[uid] = {LinkTraffic{std::string(kPodLink), its.sent, its.received}};
        } else if (attachment.node_link.empty()) {
            if (auto inside = traffic_in(attachment.name_space)) {
                traffic.pods[uid] = std::move(*inside);
            }
        }
    }
    return traffic;
}

}  // namespace skiff::network
