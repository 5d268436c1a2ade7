#include "network/cni_result.h"

#include <algorithm>
#include <boost/json/object.hpp>

#include "base/text.h"
#include "kube/codec.h"
#include "network/ip.h"

namespace skiff::network {

namespace json = boost::json;

namespace {

constexpr std::size_t kErrorTextBytesMax = 600;

// An address and the length of its network's prefix.
struct Placed {
    IpAddress address;
    unsigned prefix_length = 0;
};

// "10.1.0.5/16".
std::optional<Placed> parse_placed(std::string_view text) {
    const std::size_t slash = text.find('/');
    if (slash == std::string_view::npos) {
        return std::nullopt;
    }
    const auto address = IpAddress::parse(text.substr(0, slash));
    const auto length = parse_uint(text.substr(slash + 1));
    if (!address || !length || *length > address->bits()) {
        return std::nullopt;
    }
    return Placed{*address, static_cast<unsigned>(*length)};
}

Result<std::string> bounded_text(const FieldReader& reader, std::string_view name) {
    SKIFF_TRY(auto text, reader.text(name));
    if (text.size() > kCniResultTextBytesMax) {
        return reader.reject(name, fmt::format("{} bytes, at most {} are allowed", text.size(),
                                               kCniResultTextBytesMax));
    }
    return text;
}

// An address, or empty where there is none.
Result<std::string> optional_ip(const FieldReader& reader, std::string_view name) {
    SKIFF_TRY(auto text, reader.text(name));
    if (text.empty()) {
        return text;
    }
    const auto ip = IpAddress::parse(text);
    if (!ip) {
        return reader.reject(name, fmt::format("{} is no IP address", shown_cni(text)));
    }
    return format_as(*ip);
}

Result<Placed> required_placed(const FieldReader& reader, std::string_view name) {
    SKIFF_TRY(auto text, reader.text(name));
    const auto placed = parse_placed(text);
    if (!placed) {
        return reader.reject(
            name, fmt::format("{} is no address with a prefix, as 10.1.0.5/16", shown_cni(text)));
    }
    return *placed;
}

Result<CniInterface> read_interface(const FieldReader& reader) {
    CniInterface interface;
    SKIFF_TRY(interface.name, bounded_text(reader, "name"));
    SKIFF_TRY(interface.mac, bounded_text(reader, "mac"));
    SKIFF_TRY(interface.sandbox, bounded_text(reader, "sandbox"));
    SKIFF_TRY(interface.mtu, reader.whole_number("mtu"));
    if (interface.name.empty()) {
        return reader.reject("name", "missing: the interface's name");
    }
    return interface;
}

Result<CniAddress> read_address(const FieldReader& reader, std::size_t interfaces) {
    SKIFF_TRY(const auto placed, required_placed(reader, "address"));
    CniAddress address{format_as(placed.address), placed.prefix_length, {}, {}};
    SKIFF_TRY(address.gateway, optional_ip(reader, "gateway"));
    // Until 0.4.0 a result also says which family it is.
    SKIFF_TRY(const auto family, reader.text("version"));
    const std::string_view is = placed.address.family == IpFamily::v4 ? "4" : "6";
    if (!family.empty() && family != is) {
        return reader.reject("version", fmt::format("{}, but {} is of version {}",
                                                    shown_cni(family), placed.address, is));
    }
    SKIFF_TRY(const auto index, reader.whole_number("interface"));
    // -1 is how plugins of CNI 0.5's library say that there is none.
    if (!index || *index == -1) {
        return address;
    }
    if (*index < 0 || static_cast<std::uint64_t>(*index) >= interfaces) {
        return reader.reject("interface", fmt::format("{} is none of the {} interfaces, which are "
                                                      "counted from 0",
                                                      *index, interfaces));
    }
    address.interface = static_cast<std::size_t>(*index);
    return address;
}

Result<CniRoute> read_route(const FieldReader& reader) {
    SKIFF_TRY(const auto placed, required_placed(reader, "dst"));
    CniRoute route{fmt::format("{}/{}", placed.address, placed.prefix_length), {}};
    SKIFF_TRY(route.gateway, optional_ip(reader, "gw"));
    return route;
}

Result<void> read_dns(const json::object& object, CniResult& result) {
    const FieldReader reader(object, "dns.");
    SKIFF_TRY(result.dns.nameservers, reader.texts("nameservers", kCniResultItemsMax));
    SKIFF_TRY(result.dns.searches, reader.texts("search", kCniResultItemsMax));
    SKIFF_TRY(result.dns.options, reader.texts("options", kCniResultItemsMax));
    SKIFF_TRY(result.dns_domain, bounded_text(reader, "domain"));
    for (const std::string& server : result.dns.nameservers) {
        // host-local hands on the node's resolv.conf, where a link-local server has a zone.
        if (!IpAddress::parse(server.substr(0, server.find('%')))) {
            return reader.reject("nameservers",
                                 fmt::format("{} is no IP address", shown_cni(server)));
        }
    }
    return {};
}

Result<void> read_lists(const FieldReader& reader, CniResult& result) {
    SKIFF_TRY(auto interfaces, reader.objects("interfaces", kCniResultItemsMax));
    for (const FieldReader& item : interfaces) {
        SKIFF_TRY(auto interface, read_interface(item));
        result.interfaces.push_back(std::move(interface));
    }
    SKIFF_TRY(auto ips, reader.objects("ips", kCniResultItemsMax));
    for (const FieldReader& item : ips) {
        SKIFF_TRY(auto address, read_address(item, result.interfaces.size()));
        result.ips.push_back(std::move(address));
    }
    SKIFF_TRY(auto routes, reader.objects("routes", kCniResultItemsMax));
    for (const FieldReader& item : routes) {
        SKIFF_TRY(auto route, read_route(item));
        result.routes.push_back(std::move(route));
    }
    return {};
}

Result<CniResult> read_result(std::string_view text, CniVersion version) {
    SKIFF_TRY(const auto object, parse_cni_json(text));
    const FieldReader reader(object, "");
    SKIFF_TRY(const auto told, reader.text("cniVersion"));
    if (!told.empty() && told != to_string(version)) {
        return reader.reject("cniVersion", fmt::format("{}, but the plugin was asked for {}",
                                                       shown_cni(told), to_string(version)));
    }
    CniResult result;
    SKIFF_CHECK(read_lists(reader, result));
    SKIFF_TRY(const json::object* dns, reader.object("dns"));
    if (dns != nullptr) {
        SKIFF_CHECK(read_dns(*dns, result));
    }
    RawObject members = raw_members(text);
    set_raw(members, "cniVersion", kube::quote_json(to_string(version)));
    result.json = format_raw(members);
    return result;
}

}  // namespace

std::vector<std::string> CniResult::addresses_of(std::string_view name) const {
    std::vector<std::string> addresses;
    for (const CniAddress& address : ips) {
        const CniInterface* on = address.interface ? &interfaces[*address.interface] : nullptr;
        if (on == nullptr || (on->name == name && !on->sandbox.empty())) {
            addresses.push_back(address.ip);
        }
    }
    return addresses;
}

Result<CniResult> parse_cni_result(std::string_view text, CniVersion version) {
    auto result = read_result(text, version);
    if (!result) {
        result.error().code = Code::corrupt;
    }
    return result;
}

std::optional<CniError> parse_cni_error(std::string_view text) {
    const auto object = parse_cni_json(text);
    if (!object) {
        return std::nullopt;
    }
    const FieldReader reader(*object, "");
    const auto code = reader.whole_number("code");
    const auto message = reader.text("msg");
    const auto details = reader.text("details");
    CniError error;
    error.code = code && *code ? **code : 0;
    if (error.code == 0 && (!message || message->empty())) {
        return std::nullopt;
    }
    error.message = message ? bounded_utf8(trim(*message), kErrorTextBytesMax) : "";
    if (details && !trim(*details).empty()) {
        error.message +=
            (error.message.empty() ? "" : "; ") + bounded_utf8(trim(*details), kErrorTextBytesMax);
    }
    if (error.message.empty()) {
        error.message = "no message";
    }
    return error;
}

Code code_of_cni_error(std::int64_t code) {
    constexpr std::int64_t kUnsupportedField = 2;
    constexpr std::int64_t kInvalidEnvironment = 4;
    constexpr std::int64_t kDecodingFailure = 6;
    constexpr std::int64_t kInvalidConfig = 7;
    switch (code) {
        case kCniIncompatibleVersion:
        case kUnsupportedField:
            return Code::unsupported;
        case kCniUnknownContainer:
            return Code::not_found;
        case kInvalidEnvironment:
        case kDecodingFailure:
        case kInvalidConfig:
            return Code::invalid;
        default:
            return Code::unavailable;
    }
}

std::optional<std::vector<CniVersion>> parse_cni_versions(std::string_view text) {
    constexpr std::size_t kSpokenMax = 64;
    const auto object = parse_cni_json(text);
    if (!object) {
        return std::nullopt;
    }
    const auto spoken = FieldReader(*object, "").texts("supportedVersions", kSpokenMax);
    if (!spoken || spoken->empty()) {
        return std::nullopt;
    }
    std::vector<CniVersion> versions;
    for (CniVersion known : kCniVersions) {
        if (std::ranges::find(*spoken, to_string(known)) != spoken->end()) {
            versions.push_back(known);
        }
    }
    return versions;
}

}  // namespace skiff::network
