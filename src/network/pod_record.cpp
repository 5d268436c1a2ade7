#include "network/pod_record.h"

#include <algorithm>
#include <limits>

#include "base/text.h"

namespace skiff::network {

namespace {

constexpr std::size_t kNameMax = 253;
constexpr std::size_t kAddressesMax = 2;

bool set_field(PodRecord& record, std::string_view name, std::string_view value) {
    if (name == "pod") {
        const std::size_t slash = value.find('/');
        if (slash == std::string_view::npos || value.size() > 2 * kNameMax) {
            return false;
        }
        record.pod = {std::string(value.substr(0, slash)), std::string(value.substr(slash + 1))};
        return true;
    }
    if (name == "wire") {
        auto number = parse_uint(value);
        if (!number || *number == 0 || *number > std::numeric_limits<std::uint32_t>::max()) {
            return false;
        }
        record.wire = static_cast<std::uint32_t>(*number);
        return true;
    }
    if (name == "address") {
        auto address = IpAddress::parse(value);
        if (!address || record.addresses.size() >= kAddressesMax) {
            return false;
        }
        record.addresses.push_back(*address);
        return true;
    }
    auto map = name == "port" ? parse_port_map(value) : std::nullopt;
    if (!map || record.ports.size() >= kPortMapsMax) {
        return false;
    }
    record.ports.push_back(*map);
    return true;
}

}  // namespace

std::string format_pod_record(const PodRecord& record) {
    std::string pod = format_as(record.pod);
    std::ranges::replace(pod, '\n', ' ');  // of a file: the API server has no such names
    std::string text = fmt::format("pod {}\nwire {}\n", pod, record.wire);
    for (const IpAddress& address : record.addresses) {
        text += fmt::format("address {}\n", address);
    }
    for (const PortMap& map : record.ports) {
        text += fmt::format("port {}\n", map);
    }
    return text;
}

Result<PodRecord> parse_pod_record(std::string_view text) {
    PodRecord record;
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        const std::string_view line = text.substr(0, end);
        text = end == std::string_view::npos ? "" : text.substr(end + 1);
        const std::size_t space = line.find(' ');
        if (space == std::string_view::npos ||
            !set_field(record, line.substr(0, space), line.substr(space + 1))) {
            return fail(Code::corrupt, "record of a pod's network: line '{}'",
                        bounded_utf8(line, 100));
        }
    }
    if (record.wire == 0 || record.addresses.empty()) {
        return fail(Code::corrupt, "record of a pod's network without an interface or address");
    }
    return record;
}

}  // namespace skiff::network
