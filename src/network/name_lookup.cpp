#include "network/name_lookup.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "async/task.h"
#include "base/text.h"
#include "network/namespaces.h"
#include "network/socket_address.h"

namespace skiff::network {

using async::Task;

namespace {

constexpr std::size_t kServersMax = 3;
constexpr std::uint16_t kDnsPort = 53;
// What resolvers cut the options to (resolv.conf(5)).
constexpr std::size_t kNdotsMax = 15;
constexpr std::size_t kTimeoutMax = 30;
constexpr std::size_t kAttemptsMax = 5;

std::optional<std::size_t> option_value(std::string_view option, std::string_view name,
                                        std::size_t most) {
    if (!option.starts_with(name) || option.substr(name.size(), 1) != ":") {
        return std::nullopt;
    }
    const auto value = parse_uint(option.substr(name.size() + 1));
    return value ? std::optional(std::min<std::size_t>(*value, most)) : std::nullopt;
}

// A socket that is connected to a name server, or (TCP) on its way there.
Result<os::Fd> connect_to(const std::filesystem::path& name_space, const IpAddress& address,
                          int type) {
    SKIFF_TRY(os::Fd made, socket_in(name_space, socket_family(address.family), type));
    SocketAddress peer = socket_address(address, kDnsPort);
    if (::connect(made.get(), peer.get(), peer.size) != 0 && errno != EINPROGRESS) {
        return fail_errno(errno, fmt::format("connect to the name server {}", address));
    }
    return made;
}

// Sends and receives all of it, or fails.
Task<Result<void>> send_all(int fd, std::string bytes, SteadyTime deadline) {
    for (std::size_t sent = 0; sent < bytes.size();) {
        SKIFF_CO_CHECK(co_await async::wait_writable(fd, deadline));
        const ssize_t did = ::send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
        if (did < 0 && errno != EAGAIN) {
            co_return fail_errno(errno, "ask a name server");
        }
        sent += did > 0 ? static_cast<std::size_t>(did) : 0;
    }
    co_return Result<void>{};
}

Task<Result<std::string>> receive_all(int fd, std::size_t size, SteadyTime deadline) {
    std::string bytes(size, '\0');
    for (std::size_t got = 0; got < size;) {
        SKIFF_CO_CHECK(co_await async::wait_readable(fd, deadline));
        const ssize_t did = ::recv(fd, bytes.data() + got, size - got, 0);
        if (did == 0 || (did < 0 && errno != EAGAIN)) {
            co_return fail(Code::unavailable, "the name server ended its answer early");
        }
        got += did > 0 ? static_cast<std::size_t>(did) : 0;
    }
    co_return std::move(bytes);
}

}  // namespace

Resolving resolving_of(const DnsConfig& config) {
    Resolving resolving;
    for (const std::string& text : config.nameservers) {
        auto address = IpAddress::parse(text);
        // Packets to these stay in the pod's namespace whatever the routes say.
        const bool is_inside = address && (address->is_unspecified() || address->is_loopback());
        if (address && !is_inside && resolving.servers.size() < kServersMax) {
            resolving.servers.push_back(*address);
        }
    }
    resolving.searches = config.searches;
    for (const std::string& option : config.options) {
        if (auto ndots = option_value(option, "ndots", kNdotsMax)) {
            resolving.ndots = *ndots;
        } else if (auto timeout = option_value(option, "timeout", kTimeoutMax)) {
            resolving.timeout = std::chrono::seconds(std::max<std::size_t>(*timeout, 1));
        } else if (auto attempts = option_value(option, "attempts", kAttemptsMax)) {
            resolving.attempts = std::max<std::size_t>(*attempts, 1);
        }
    }
    return resolving;
}

std::vector<std::string> full_names(std::string_view name, const Resolving& resolving) {
    if (name.ends_with('.')) {
        return {std::string(name.substr(0, name.size() - 1))};
    }
    std::vector<std::string> names;
    for (const std::string& domain : resolving.searches) {
        names.push_back(domain == "." ? std::string(name) : fmt::format("{}.{}", name, domain));
    }
    const auto dots = static_cast<std::size_t>(std::ranges::count(name, '.'));
    names.insert(dots >= resolving.ndots ? names.begin() : names.end(), std::string(name));
    return names;
}

std::vector<IpAddress> find_in_hosts(std::string_view hosts, std::string_view name) {
    const auto same = [](char a, char b) { return std::tolower(a) == std::tolower(b); };
    std::vector<IpAddress> found;
    for (std::string_view line : split(hosts, '\n')) {
        line = line.substr(0, line.find('#'));
        std::optional<IpAddress> address;
        std::string spaced(line);
        std::ranges::replace(spaced, '\t', ' ');
        for (const std::string_view word : split(trim(spaced), ' ')) {
            if (word.empty()) {
                continue;
            }
            if (!address) {
                auto parsed = IpAddress::parse(word);
                if (!parsed) {
                    break;
                }
                address = *parsed;
            } else if (std::ranges::equal(word, name, same) && found.size() < kDnsAddressesMax) {
                found.push_back(*address);
                break;
            }
        }
    }
    return found;
}

Task<Result<std::unique_ptr<LookupRound>>> LookupRound::open(Pod pod, async::BlockingPool& pool,
                                                             Random& random) {
    auto servers = std::make_shared<std::vector<Server>>();
    // Owned by the work, which a cancelled caller leaves to itself.
    auto work = [servers, path = pod.name_space, addresses = pod.resolving.servers]() {
        for (const IpAddress& address : addresses) {
            // No way there, or refused: the next one may answer.
            if (auto udp = connect_to(path, address, SOCK_DGRAM)) {
                servers->push_back(Server{address, std::move(*udp)});
            }
        }
        return Result<void>{};
    };
    SKIFF_CO_CHECK(co_await pool.run(std::move(work)));
    std::unique_ptr<LookupRound> round(
        new LookupRound(std::move(pod), std::move(*servers), pool, random));
    co_return std::move(round);
}

Task<Result<FoundName>> LookupRound::find(std::string name) {
    FoundName found;
    found.addresses = find_in_hosts(pod_.hosts, name);
    if (!found.addresses.empty()) {
        co_return found;
    }
    std::optional<Error> failure;
    for (const std::string& full : full_names(name, pod_.resolving)) {
        auto answer = co_await find_full(full);
        if (answer && !answer->addresses.empty()) {
            co_return answer;
        }
        if (!answer && answer.error().code == Code::cancelled) {
            co_return answer;
        }
        // A search domain whose server fails does not hide the name in another.
        if (!answer && answer.error().code != Code::invalid) {
            failure = std::move(answer.error());
        }
    }
    if (failure) {
        co_return fail(std::move(*failure));
    }
    co_return found;
}

Task<Result<FoundName>> LookupRound::find_full(std::string name) {
    FoundName found;
    std::optional<Error> failure;
    for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
        auto answer = co_await ask(name, family);
        if (!answer) {
            failure = std::move(answer.error());
            continue;
        }
        if (!answer->addresses.empty()) {
            found.ttl = found.addresses.empty() ? answer->ttl : std::min(found.ttl, answer->ttl);
        }
        found.addresses.insert(found.addresses.end(), answer->addresses.begin(),
                               answer->addresses.end());
    }
    if (failure && found.addresses.empty()) {
        co_return fail(std::move(*failure));
    }
    co_return found;
}

Task<Result<DnsAnswer>> LookupRound::ask(std::string name, IpFamily family) {
    DnsQuestion question;
    question.name = std::move(name);
    question.family = family;
    auto last = tl::expected<DnsAnswer, Error>(
        fail(Code::unavailable, "none of the pod's name servers can be asked"));
    for (std::size_t i = 0; i < servers_.size(); ++i) {
        for (std::size_t n = 0; n < pod_.resolving.attempts && !servers_[i].is_silent; ++n) {
            question.id = static_cast<std::uint16_t>(random_.next());
            last = co_await ask_server(i, question);
            if (last || last.error().code != Code::timeout) {
                break;
            }
        }
        if (last) {
            co_return last;
        }
        servers_[i].is_silent |= last.error().code == Code::timeout;
        if (last.error().code == Code::cancelled || last.error().code == Code::invalid) {
            co_return last;
        }
    }
    co_return last;
}

Task<Result<DnsAnswer>> LookupRound::ask_server(std::size_t server, DnsQuestion question) {
    const int fd = servers_[server].udp.get();
    const SteadyTime deadline = after(pod_.resolving.timeout);
    SKIFF_CO_TRY(std::string message, format_dns_question(question));
    if (::send(fd, message.data(), message.size(), MSG_NOSIGNAL) < 0) {
        co_return fail_errno(errno, "ask a name server");
    }
    std::string room(kDnsUdpBytesMax, '\0');
    while (true) {
        auto waited = co_await async::wait_readable(fd, deadline);
        if (!waited && waited.error().code == Code::timeout) {
            co_return fail(Code::timeout, "the name server {} is silent", servers_[server].address);
        }
        if (!waited) {
            co_return fail(std::move(waited.error()));
        }
        const ssize_t got = ::recv(fd, room.data(), room.size(), 0);
        if (got < 0 && errno == EAGAIN) {
            continue;
        }
        if (got < 0) {
            co_return fail(Code::unavailable, "the name server {}: {}", servers_[server].address,
                           std::strerror(errno));
        }
        auto answer = parse_dns_answer(
            std::string_view(room).substr(0, static_cast<std::size_t>(got)), question);
        if (!answer && answer.error().code == Code::not_found) {
            continue;
        }
        if (answer && answer->extent == DnsAnswer::Extent::truncated) {
            co_return co_await ask_by_tcp(server, std::move(question));
        }
        co_return answer;
    }
}

Task<Result<DnsAnswer>> LookupRound::ask_by_tcp(std::size_t server, DnsQuestion question) {
    auto made = std::make_shared<os::Fd>();
    auto work = [made, path = pod_.name_space,
                 address = servers_[server].address]() -> Result<void> {
        SKIFF_TRY(*made, connect_to(path, address, SOCK_STREAM));
        return {};
    };
    SKIFF_CO_CHECK(co_await pool_.run(std::move(work)));
    const SteadyTime deadline = after(pod_.resolving.timeout);
    SKIFF_CO_TRY(std::string message, format_dns_question(question));
    const auto size = static_cast<std::uint16_t>(message.size());
    message.insert(0, {static_cast<char>(size >> 8U), static_cast<char>(size & 0xffU)});
    SKIFF_CO_CHECK(co_await send_all(made->get(), std::move(message), deadline));
    SKIFF_CO_TRY(std::string head, co_await receive_all(made->get(), 2, deadline));
    const std::size_t length = static_cast<std::size_t>(static_cast<unsigned char>(head[0]) << 8U) |
                               static_cast<unsigned char>(head[1]);
    SKIFF_CO_TRY(std::string answer, co_await receive_all(made->get(), length, deadline));
    co_return parse_dns_answer(answer, question);
}

}  // namespace skiff::network
