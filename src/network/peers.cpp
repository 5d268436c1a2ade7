#include "network/peers.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <set>
#include <tuple>

#include "base/digest.h"
#include "base/text.h"

namespace skiff::network {

namespace {

namespace json = boost::json;

constexpr std::string_view kPrefix = "flannel.alpha.coreos.com/";
constexpr std::string_view kBackendType = "flannel.alpha.coreos.com/backend-type";
constexpr std::string_view kManaged = "flannel.alpha.coreos.com/kube-subnet-manager";
// Ours begins so, as the server shows it.
constexpr std::string_view kOurRuntime = "skiff://";
// Of one annotation; flannel's longest has 50.
constexpr std::size_t kAnnotationBytesMax = 256;
constexpr std::size_t kAddressesMax = 16;
constexpr std::size_t kShownBytesMax = 80;
constexpr std::size_t kJsonDepthMax = 4;

std::string_view key_of_data(IpFamily family) {
    return family == IpFamily::v4 ? "flannel.alpha.coreos.com/backend-data"
                                  : "flannel.alpha.coreos.com/backend-v6-data";
}

std::string_view key_of_address(IpFamily family) {
    return family == IpFamily::v4 ? "flannel.alpha.coreos.com/public-ip"
                                  : "flannel.alpha.coreos.com/public-ipv6";
}

std::string shown(std::string_view text) {
    return fmt::format("\"{}\"", bounded_utf8(text, kShownBytesMax));
}

const std::string* find_annotation(const kube::NodeOutline& node, std::string_view key) {
    auto found = node.metadata.annotations.find(std::string(key));
    return found == node.metadata.annotations.end() ? nullptr : &found->second;
}

bool is_managed(const kube::NodeOutline& node) {
    const std::string* value = find_annotation(node, kManaged);
    return value != nullptr && *value == "true";
}

std::string backend_type(const kube::NodeOutline& node) {
    const std::string* value = find_annotation(node, kBackendType);
    return value == nullptr ? std::string() : *value;
}

std::vector<std::string> range_texts(const kube::NodeOutline& node) {
    if (node.spec.podCIDRs.empty() && !node.spec.podCIDR.empty()) {
        return {node.spec.podCIDR};
    }
    return node.spec.podCIDRs;
}

// Whether packets can be sent to it: one interface's address, of this or another machine, beyond
// the link.
bool is_routable(const IpAddress& address) {
    const auto& bytes = address.bytes;
    if (address.is_unspecified() || address.is_loopback()) {
        return false;
    }
    if (address.family == IpFamily::v4) {
        return bytes[0] != 0 && bytes[0] < 224 && !(bytes[0] == 169 && bytes[1] == 254);
    }
    const bool is_link_local = bytes[0] == 0xfe && (bytes[1] & 0xc0U) == 0x80;
    return !is_link_local && bytes[0] != 0xff;
}

Result<IpAddress> parse_node_address(std::string_view text, IpFamily family) {
    auto address = IpAddress::parse(text);
    if (!address || address->family != family || !is_routable(*address)) {
        return fail(Code::invalid, "{} is not an IPv{} address of a node", shown(text),
                    family == IpFamily::v4 ? 4 : 6);
    }
    return *address;
}

// {"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:ff"}; without VNI, as flannel wrote it once, it is 1.
Result<MacAddress> parse_backend_data(std::string_view text) {
    json::parse_options options;
    options.max_depth = kJsonDepthMax;
    boost::system::error_code code;
    const auto value = json::parse(text, code, {}, options);
    const json::object* object = code ? nullptr : value.if_object();
    if (object == nullptr) {
        return fail(Code::invalid, "{} is not a JSON object", shown(text));
    }
    if (const json::value* vni = object->if_contains("VNI")) {
        boost::system::error_code wrong;
        const auto number = vni->is_number() ? vni->to_number<std::uint32_t>(wrong) : 0;
        if (wrong || number != kTunnelId) {
            return fail(Code::invalid, "VNI is {}; Skiff's tunnels have {}",
                        shown(json::serialize(*vni)), kTunnelId);
        }
    }
    const json::value* mac = object->if_contains("VtepMAC");
    if (mac == nullptr || !mac->is_string()) {
        return fail(Code::invalid, "{} has no VtepMAC", shown(text));
    }
    const json::string& its = mac->get_string();
    return parse_mac({its.data(), its.size()});
}

// One node's part in what is found, before it is compared with the others'.
class Reader {
public:
    Reader(const kube::NodeOutline& node, RouteBackend backend) : node_(node), backend_(backend) {}

    // nullopt: it says nothing of this family.
    Result<std::optional<PeerRange>> read(const IpRange& pods) const {
        const IpFamily family = pods.first.family;
        PeerRange peer;
        peer.node = node_.metadata.name;
        peer.pods = pods;
        SKIFF_TRY(auto address, node_address(family));
        if (!address) {
            return std::nullopt;
        }
        peer.address = *address;
        if (backend_ == RouteBackend::vxlan) {
            const std::string* data = find_annotation(node_, key_of_data(family));
            if (data == nullptr) {
                return std::nullopt;
            }
            auto mac = parse_backend_data(*data);
            if (!mac) {
                return fail(Code::invalid, "annotation {}: {}", key_of_data(family),
                            mac.error().message);
            }
            peer.mac = *mac;
        }
        return peer;
    }

private:
    // What flannel says where it says something; else the Node's own.
    Result<std::optional<IpAddress>> node_address(IpFamily family) const {
        const std::string* text = find_annotation(node_, key_of_address(family));
        if (text != nullptr && is_managed(node_)) {
            auto address = parse_node_address(*text, family);
            if (!address) {
                return fail(Code::invalid, "annotation {}: {}", key_of_address(family),
                            address.error().message);
            }
            return *address;
        }
        if (backend_ == RouteBackend::vxlan) {
            return std::nullopt;
        }
        for (const kube::NodeAddress& its : node_.status.addresses) {
            auto address = parse_node_address(its.address, family);
            if (its.type == "InternalIP" && address) {
                return *address;
            }
        }
        return std::nullopt;
    }

    const kube::NodeOutline& node_;
    RouteBackend backend_;
};

// Keeps what does not get in the way of what is known already.
class Collector {
public:
    Collector(const LocalNode& self, const NodeOutlines& nodes) : self_(self) {
        node_addresses_.insert(self.addresses.begin(), self.addresses.end());
        for (const auto& node : nodes) {
            for (const kube::NodeAddress& its : node->status.addresses) {
                if (auto address = IpAddress::parse(its.address)) {
                    node_addresses_.insert(*address);
                }
            }
        }
        macs_.insert(self.mac);
    }

    // Why `peer` cannot be added; nullopt when it was.
    std::optional<std::string> add(PeerRange peer, RouteBackend backend) {
        for (const IpRange& own : self_.ranges) {
            if (own.contains(peer.pods.first) || peer.pods.contains(own.first)) {
                return fmt::format("its range of pods {} overlaps this node's, {}", peer.pods, own);
            }
        }
        auto inside = node_addresses_.lower_bound(peer.pods.first);
        if (inside != node_addresses_.end() && peer.pods.contains(*inside)) {
            return fmt::format("its range of pods {} takes in the address of a node, {}", peer.pods,
                               *inside);
        }
        auto after = taken_.lower_bound(peer.pods.first);
        auto before = after == taken_.begin() ? taken_.end() : std::prev(after);
        for (auto other : {after, before}) {
            if (other != taken_.end() && (other->second.pods.contains(peer.pods.first) ||
                                          peer.pods.contains(other->second.pods.first))) {
                return fmt::format("its range of pods {} overlaps that of node {}, {}", peer.pods,
                                   other->second.node, other->second.pods);
            }
        }
        if (backend == RouteBackend::vxlan) {
            auto [mac, is_new] = owners_.emplace(peer.mac, peer.node);
            if (macs_.contains(peer.mac) || (!is_new && mac->second != peer.node)) {
                return fmt::format("its VtepMAC {} is another node's", format_mac(peer.mac));
            }
        }
        const IpAddress first = peer.pods.first;
        taken_.emplace(first, std::move(peer));
        return std::nullopt;
    }

    std::vector<PeerRange> ranges() && {
        std::vector<PeerRange> all;
        for (auto& [first, peer] : taken_) {
            all.push_back(std::move(peer));
        }
        return all;
    }

private:
    const LocalNode& self_;
    std::set<IpAddress> node_addresses_;
    std::map<IpAddress, PeerRange> taken_;  // by the first address of its range
    std::set<MacAddress> macs_;             // this node's
    std::map<MacAddress, std::string> owners_;
};

// Why all of a node is left out by what it says of its backend; nullopt when it is not.
std::optional<std::string> mismatch(const kube::NodeOutline& node, RouteBackend backend) {
    const std::string type = backend_type(node);
    if (backend == RouteBackend::none || !is_managed(node) || type == to_string(backend)) {
        return std::nullopt;
    }
    return fmt::format(
        "annotation {}: {}, but this node's podRoutes is {}; let all nodes use the same",
        kBackendType, shown(type), to_string(backend));
}

// The oldest first: what it says counts.
NodeOutlines in_order(const NodeOutlines& nodes) {
    NodeOutlines sorted = nodes;
    std::ranges::sort(sorted, [](const auto& a, const auto& b) {
        return std::tie(a->metadata.creationTimestamp, a->metadata.name) <
               std::tie(b->metadata.creationTimestamp, b->metadata.name);
    });
    return sorted;
}

void read_node(const kube::NodeOutline& node, const LocalNode& self, RouteBackend backend,
               Collector& known, std::vector<PeerComplaint>& left_out) {
    const auto texts = range_texts(node);
    if (texts.empty()) {
        return;
    }
    auto complain = [&](std::string message) {
        left_out.push_back({node.metadata.name, std::move(message)});
    };
    if (auto wrong = mismatch(node, backend)) {
        complain(std::move(*wrong));
        return;
    }
    auto ranges = parse_pod_ranges(texts);
    if (!ranges) {
        complain(fmt::format("spec.podCIDRs: {}", ranges.error().message));
        return;
    }
    for (const IpRange& pods : *ranges) {
        if (!self.range(pods.first.family)) {
            continue;
        }
        auto peer = Reader(node, backend).read(pods);
        if (!peer) {
            complain(peer.error().message);
            continue;
        }
        // One with this node's address is a second node of this machine: no way leads there.
        if (!*peer || self.address((*peer)->address.family) == (*peer)->address) {
            continue;
        }
        if (auto problem = known.add(std::move(**peer), backend)) {
            complain(std::move(*problem));
        }
    }
}

}  // namespace

std::string_view to_string(RouteBackend backend) {
    switch (backend) {
        case RouteBackend::none:
            return "none";
        case RouteBackend::vxlan:
            return "vxlan";
        case RouteBackend::host_gw:
            return "host-gw";
    }
    return "";
}

std::optional<RouteBackend> parse_route_backend(std::string_view text) {
    for (const auto backend : {RouteBackend::none, RouteBackend::vxlan, RouteBackend::host_gw}) {
        if (text == to_string(backend)) {
            return backend;
        }
    }
    return std::nullopt;
}

std::optional<IpAddress> LocalNode::address(IpFamily family) const {
    auto found = std::ranges::find(addresses, family, &IpAddress::family);
    return found == addresses.end() ? std::nullopt : std::optional(*found);
}

std::optional<IpRange> LocalNode::range(IpFamily family) const {
    auto found = std::ranges::find_if(
        ranges, [&](const IpRange& range) { return range.first.family == family; });
    return found == ranges.end() ? std::nullopt : std::optional(*found);
}

void trim_outline(kube::NodeOutline& node) {
    kube::ObjectMeta kept;
    kept.name = std::move(node.metadata.name);
    kept.uid = std::move(node.metadata.uid);
    kept.resourceVersion = std::move(node.metadata.resourceVersion);
    kept.creationTimestamp = node.metadata.creationTimestamp;
    for (const auto& [key, value] : node.metadata.annotations) {
        if (key.starts_with(kPrefix) && kept.annotations.size() < kAddressesMax) {
            kept.annotations.emplace(key, value.substr(0, kAnnotationBytesMax));
        }
    }
    node.metadata = std::move(kept);
    auto& addresses = node.status.addresses;
    std::erase_if(addresses, [](const auto& its) { return its.type != "InternalIP"; });
    addresses.resize(std::min(addresses.size(), kAddressesMax));
    addresses.shrink_to_fit();
}

RouteBackend choose_backend(const NodeOutlines& nodes, std::string_view self) {
    std::size_t vxlan = 0;
    std::size_t host_gw = 0;
    bool told_so = false;
    for (const auto& node : nodes) {
        const auto backend =
            is_managed(*node) ? parse_route_backend(backend_type(*node)) : std::nullopt;
        if (node->metadata.name == self || !backend || *backend == RouteBackend::none) {
            continue;
        }
        const bool is_host_gw = *backend == RouteBackend::host_gw;
        if (node->status.nodeInfo.containerRuntimeVersion.starts_with(kOurRuntime)) {
            told_so = told_so || is_host_gw;
        } else {
            ++(is_host_gw ? host_gw : vxlan);
        }
    }
    const bool nobody = host_gw + vxlan == 0;
    return host_gw > vxlan || (nobody && told_so) ? RouteBackend::host_gw : RouteBackend::vxlan;
}

Peers find_peers(const NodeOutlines& nodes, const LocalNode& self, RouteBackend backend) {
    Peers found;
    Collector known(self, nodes);
    std::size_t seen = 0;
    for (const auto& node : in_order(nodes)) {
        if (node->metadata.name == self.name) {
            continue;
        }
        if (++seen > kPeersMax) {
            found.left_out.push_back({node->metadata.name, fmt::format("it and all newer ones are "
                                                                       "beyond the first {} nodes",
                                                                       kPeersMax)});
            break;
        }
        read_node(*node, self, backend, known, found.left_out);
    }
    found.ranges = std::move(known).ranges();
    return found;
}

std::map<std::string, std::string> format_peer_annotations(const LocalNode& self,
                                                           RouteBackend backend) {
    std::map<std::string, std::string> all;
    if (backend == RouteBackend::none) {
        return all;
    }
    for (const IpRange& range : self.ranges) {
        const IpFamily family = range.first.family;
        const auto address = self.address(family);
        if (!address) {
            continue;
        }
        all.emplace(key_of_address(family), format_as(*address));
        all.emplace(key_of_data(family), backend == RouteBackend::vxlan
                                             ? fmt::format(R"({{"VNI":{},"VtepMAC":"{}"}})",
                                                           kTunnelId, format_mac(self.mac))
                                             : "null");
    }
    if (!all.empty()) {
        all.emplace(kBackendType, to_string(backend));
        all.emplace(kManaged, "true");
    }
    return all;
}

MacAddress tunnel_mac(std::string_view instance, std::string_view node) {
    const std::string digest = hash_of(fmt::format("tunnel {} {}", instance, node));
    MacAddress mac{};
    std::copy_n(digest.begin(), mac.size(), mac.begin());
    mac[0] = static_cast<std::uint8_t>((mac[0] & 0xfcU) | 0x02U);  // no vendor's, no group's
    return mac;
}

Result<MacAddress> parse_mac(std::string_view text) {
    MacAddress mac{};
    bool valid = text.size() == 3 * mac.size() - 1;
    for (std::size_t i = 0; valid && i < mac.size(); ++i) {
        const int high = hex_digit(text[3 * i]);
        const int low = hex_digit(text[3 * i + 1]);
        valid = high >= 0 && low >= 0 && (i == 0 || text[3 * i - 1] == ':');
        mac[i] = static_cast<std::uint8_t>(valid ? high * 16 + low : 0);
    }
    if (!valid || (mac[0] & 1U) != 0 || mac == MacAddress{}) {
        return fail(Code::invalid, "{} is not the hardware address of an interface", shown(text));
    }
    return mac;
}

std::string format_mac(const MacAddress& mac) {
    return fmt::format("{:02x}", fmt::join(mac, ":"));
}

}  // namespace skiff::network
