#include "probes/request.h"

#include "base/text.h"
#include "http/url.h"

namespace skiff::probes {

namespace {

// RFC 3986: what a path or a query may hold as it is.
bool may_stand(char c) {
    constexpr std::string_view kMarks = "-._~!$&'()*+,;=:@/?";
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool digit = c >= '0' && c <= '9';
    return letter || digit || kMarks.find(c) != std::string_view::npos;
}

Result<std::uint16_t> checked(std::int64_t number, const std::string& shown) {
    if (number < 1 || number > 65535) {
        return fail(Code::invalid, "port {} is not in 1–65535", shown);
    }
    return static_cast<std::uint16_t>(number);
}

// What a field of the action means for one that is sent by itself.
void settle(http::Request& request, const std::string& name, std::string_view otherwise) {
    auto given = request.headers.find(name);
    if (!given) {
        request.headers.add(name, std::string(otherwise));
    } else if (given->empty()) {
        request.headers.remove(name);
        request.omitted.push_back(name);
    }
}

}  // namespace

Result<std::uint16_t> port_of(const kube::IntOrString& port, const kube::Container& container) {
    if (const std::int32_t* number = port.number()) {
        return checked(*number, std::to_string(*number));
    }
    const std::string& name = *port.name();
    for (const kube::ContainerPort& own : container.ports) {
        if (own.name == name) {
            return checked(own.containerPort, name);
        }
    }
    auto number = parse_int(name);
    if (!number) {
        return fail(Code::invalid, "container {} has no port named \"{}\"", container.name,
                    bounded_utf8(name, 64));
    }
    return checked(*number, name);
}

std::string authority_of(std::string_view host, std::uint16_t port) {
    const bool v6 = host.find(':') != std::string_view::npos && !host.starts_with('[');
    return v6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

std::string target_of(std::string_view path) {
    path = path.substr(0, path.find('#'));
    std::string target;
    if (!path.starts_with('/')) {
        target = "/";
    }
    for (std::size_t i = 0; i < path.size(); ++i) {
        const char c = path[i];
        const bool escape = c == '%' && i + 2 < path.size() && hex_digit(path[i + 1]) >= 0 &&
                            hex_digit(path[i + 2]) >= 0;
        if (may_stand(c) || escape) {
            target += c;
        } else {
            target += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        }
    }
    return target;
}

Result<http::Request> http_request(const kube::HTTPGetAction& action, const Place& place) {
    SKIFF_TRY(std::uint16_t port, port_of(action.port, place.container));
    const std::string_view host = action.host.empty() ? place.address : action.host;
    if (host.empty()) {
        return fail(Code::invalid, "the pod has no address");
    }
    const std::string scheme = action.scheme.empty() ? "http" : to_lower(action.scheme);
    http::Request request;
    request.url =
        fmt::format("{}://{}{}", scheme, authority_of(host, port), target_of(action.path));
    for (const kube::HTTPHeader& header : action.httpHeaders) {
        request.headers.add(header.name, header.value);
    }
    settle(request, "User-Agent", place.user_agent);
    settle(request, "Accept", "*/*");
    request.headers.set("Connection", "close");
    request.tls.verify = http::Verify::kNothing;
    request.timeouts = http::Timeouts{place.timeout, place.timeout, place.timeout};
    request.version = http::Version::kHttp1;
    request.connection = http::Connection::kOwn;
    request.proxy = "";
    return request;
}

Result<void> follow(http::Request& request, const std::string& location) {
    SKIFF_TRY(http::Url from, http::parse_url(request.url));
    SKIFF_TRY(http::Url to, http::resolve_url(from, location));
    if (from.authority() != to.authority()) {
        request.headers.remove("Host");
    }
    request.url = to.str();
    return {};
}

}  // namespace skiff::probes
