#include "app/check_network.h"

#include <arpa/inet.h>
#include <fmt/ranges.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/timex.h>

#include <algorithm>

#include "base/text.h"
#include "network/node_address.h"
#include "network/ports_taken.h"
#include "os/file.h"

namespace skiff::app {

namespace {

constexpr Bytes kResolverBytesMax = 64_KiB;

PortFacts observe_port(std::string field, const std::string& address, std::int64_t port) {
    PortFacts facts;
    facts.field = std::move(field);
    facts.address = address;
    facts.port = static_cast<std::uint16_t>(port);
    facts.is_free = network::is_port_free(network::Transport::tcp, address, facts.port);
    if (!facts.is_free) {
        facts.holder = network::find_port_holder(network::Transport::tcp, facts.port).value_or("");
    }
    return facts;
}

bool is_address(const std::string& host) {
    in6_addr any{};
    return host.starts_with('[') || ::inet_pton(AF_INET, host.c_str(), &any) == 1 ||
           ::inet_pton(AF_INET6, host.c_str(), &any) == 1;
}

Result<std::vector<std::string>> resolve_host(const std::string& host) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    int failed = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
    if (failed != 0) {
        return fail(Code::not_found, "{}", ::gai_strerror(failed));
    }
    std::vector<std::string> ips;
    for (addrinfo* at = list; at != nullptr; at = at->ai_next) {
        char text[NI_MAXHOST] = {};
        if (::getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof text, nullptr, 0,
                          NI_NUMERICHOST) == 0) {
            ips.emplace_back(text);
        }
    }
    ::freeaddrinfo(list);
    return ips;
}

Finding judge_port(const PortFacts& facts) {
    std::string check = fmt::format("network: {}", facts.field);
    if (facts.is_free) {
        return fine(check, fmt::format("{}:{} is free", facts.address, facts.port));
    }
    if (facts.holder.starts_with("skiff ")) {
        return fine(check, fmt::format("{} is served by {}", facts.port, facts.holder));
    }
    return {
        check, Verdict::fail,
        fmt::format("{} is taken{}", facts.port, facts.holder.empty() ? "" : " by " + facts.holder),
        fmt::format("End that program, or set {} to another port (a kubelet on the same "
                    "machine has 10250 and 10248).",
                    facts.field)};
}

Finding judge_resolver(const NetworkFacts& facts) {
    if (!facts.resolver) {
        return {"network: resolver", Verdict::warn, facts.resolver.error().message,
                "Set resolvConf to the machine's resolver file."};
    }
    std::vector<std::string_view> servers;
    for (std::string_view line : split(*facts.resolver, '\n')) {
        line = trim(line);
        if (line.starts_with("nameserver")) {
            servers.push_back(trim(line.substr(std::string_view("nameserver").size())));
        }
    }
    if (servers.empty()) {
        return {"network: resolver", Verdict::warn,
                fmt::format("{} names no server", facts.resolver_file),
                "Add a nameserver line: pods with dnsPolicy Default inherit it."};
    }
    bool loopback = std::ranges::all_of(servers, [](std::string_view server) {
        return server.starts_with("127.") || server == "::1";
    });
    if (loopback) {
        return {"network: resolver", Verdict::warn,
                fmt::format("{} names only servers of this machine: {}", facts.resolver_file,
                            bounded_utf8(fmt::format("{}", fmt::join(servers, ", ")), 200)),
                "Set resolvConf to the file behind it (systemd-resolved: "
                "/run/systemd/resolve/resolv.conf)."};
    }
    return fine("network: resolver",
                bounded_utf8(fmt::format("{}", fmt::join(servers, ", ")), 200));
}

}  // namespace

NetworkFacts observe_network(const config::Settings& settings, std::string host) {
    NetworkFacts facts;
    facts.ports.push_back(observe_port("port", settings.address, settings.port));
    if (settings.healthz_port != 0) {
        facts.ports.push_back(
            observe_port("healthzPort", settings.healthz_bind_address, settings.healthz_port));
    }
    if (settings.node_ip.empty()) {
        facts.addresses = network::detect_node_addresses();
    } else if (auto good = network::check_node_address(settings.node_ip); good) {
        facts.addresses = std::vector<std::string>{settings.node_ip};
    } else {
        facts.addresses = fail(std::move(good.error()).context("nodeIP"));
    }
    facts.resolver_file = settings.resolv_conf.string();
    auto text = os::read_kernel_file(settings.resolv_conf);
    facts.resolver =
        text && text->size() <= kResolverBytesMax.value
            ? std::move(text)
            : Result<std::string>(fail(Code::invalid, "{} cannot be read", facts.resolver_file));
    timex now{};
    facts.clock_is_synchronised = ::adjtimex(&now) != TIME_ERROR;
    if (!host.empty() && !is_address(host)) {
        facts.host = std::move(host);
        facts.ips = resolve_host(facts.host);
    }
    return facts;
}

Findings judge_network(const NetworkFacts& facts) {
    Findings all;
    for (const PortFacts& port : facts.ports) {
        all.push_back(judge_port(port));
    }
    all.push_back(
        facts.addresses
            ? fine("network: address", fmt::format("{}", fmt::join(*facts.addresses, ", ")))
            : Finding{"network: address", Verdict::fail, facts.addresses.error().message,
                      "Set nodeIP (--node-ip) to an address of this machine "
                      "that the cluster reaches."});
    all.push_back(judge_resolver(facts));
    if (!facts.host.empty()) {
        all.push_back(facts.ips
                          ? fine("network: name of the API server",
                                 fmt::format("{} is {}", facts.host, fmt::join(*facts.ips, ", ")))
                          : Finding{"network: name of the API server", Verdict::fail,
                                    fmt::format("{}: {}", facts.host, facts.ips.error().message),
                                    "Mend the resolver, or add the name to /etc/hosts."});
    }
    all.push_back(facts.clock_is_synchronised
                      ? fine("time: synchronisation", "the kernel's clock is synchronised")
                      : Finding{"time: synchronisation", Verdict::warn,
                                "the kernel does not know its clock to be right",
                                "Run chrony, systemd-timesyncd or ntpd."});
    return all;
}

}  // namespace skiff::app
