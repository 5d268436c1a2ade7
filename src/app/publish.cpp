#include "app/publish.h"

#include "base/text.h"
#include "network/port_map.h"

namespace skiff::app {

namespace {

constexpr std::size_t kShownMax = 80;

auto refused(std::string_view text) {
    return fail(Code::invalid,
                "-p \"{}\": not [ADDRESS:]HOSTPORT:PORT[/PROTOCOL], ports in 1-65535, ADDRESS one "
                "of the machine's (IPv6 in brackets), PROTOCOL tcp, udp or sctp",
                bounded_utf8(text, kShownMax));
}

// The address in front of the ports, without it in `text`; "" where there is none.
std::string take_address(std::string_view& text) {
    std::size_t end = 0;
    std::string_view address;
    if (text.starts_with('[')) {
        end = text.find("]:");
        address = end == std::string_view::npos ? "" : text.substr(1, end - 1);
        end += 1;
    } else {
        end = text.find(':');
        const bool has_more = text.find(':', end + 1) != std::string_view::npos;
        if (end == std::string_view::npos || !has_more) {
            return {};
        }
        address = text.substr(0, end);
    }
    if (address.empty() || !network::IpAddress::parse(address)) {
        return {};  // and then the ports are none
    }
    text.remove_prefix(end + 1);
    return std::string(address);
}

}  // namespace

Result<kube::ContainerPort> parse_publish(std::string_view text) {
    std::string_view rest = text;
    kube::ContainerPort port;
    port.protocol = "TCP";
    if (const std::size_t slash = rest.rfind('/'); slash != std::string_view::npos) {
        port.protocol.clear();
        for (const char c : rest.substr(slash + 1)) {
            port.protocol += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
        }
        if (port.protocol.empty() || !network::parse_transport(port.protocol)) {
            return refused(text);
        }
        rest = rest.substr(0, slash);
    }
    port.hostIP = take_address(rest);
    const std::size_t colon = rest.find(':');
    if (colon == std::string_view::npos) {
        return refused(text);
    }
    auto host_port = parse_port(rest.substr(0, colon));
    auto guest_port = parse_port(rest.substr(colon + 1));
    if (!host_port || !guest_port) {
        return refused(text);
    }
    port.hostPort = *host_port;
    port.containerPort = *guest_port;
    return port;
}

Result<std::vector<kube::ContainerPort>> parse_published(const std::vector<std::string>& texts) {
    std::vector<kube::ContainerPort> ports;
    for (const std::string& text : texts) {
        SKIFF_TRY(kube::ContainerPort port, parse_publish(text));
        for (const kube::ContainerPort& other : ports) {
            const bool meet =
                port.hostIP.empty() || other.hostIP.empty() || port.hostIP == other.hostIP;
            if (meet && port.hostPort == other.hostPort && port.protocol == other.protocol) {
                return fail(Code::invalid, "-p \"{}\": port {} of the machine is given twice",
                            bounded_utf8(text, kShownMax), port.hostPort);
            }
        }
        ports.push_back(std::move(port));
    }
    return ports;
}

}  // namespace skiff::app
