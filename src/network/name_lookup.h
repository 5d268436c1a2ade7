// Looks names up as a pod's own guests would: by the pod's hosts file, then its name servers with
// its search domains and options, asked from within its network namespace.
//
// From within, so that the agent sees what the guest sees and goes the same way, under the same
// rules of policy controllers, and is nobody's means to send packets as the node. Nothing is asked
// of a loopback address: there the guest itself could answer.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/blocking.h"
#include "base/random.h"
#include "base/time.h"
#include "network/dns.h"
#include "network/dns_message.h"
#include "network/ip.h"
#include "os/fd.h"

namespace skiff::network {

// resolv.conf(5) as a resolver obeys it.
struct Resolving {
    std::vector<IpAddress> servers;  // that can be asked; at most three
    std::vector<std::string> searches;
    std::size_t ndots = 1;
    std::chrono::seconds timeout{5};  // of one question
    std::size_t attempts = 2;
};
// The options ndots, timeout and attempts, each cut to what resolvers allow (15, 30 s, 5). Pure.
[[nodiscard]] Resolving resolving_of(const DnsConfig& config);

// The full names to ask for in turn: a name with a final dot alone; one with fewer than `ndots`
// dots in the search domains first, any other last there. Pure.
[[nodiscard]] std::vector<std::string> full_names(std::string_view name,
                                                  const Resolving& resolving);
// The addresses that a hosts file gives a name (hosts(5)). Pure.
[[nodiscard]] std::vector<IpAddress> find_in_hosts(std::string_view hosts, std::string_view name);

struct FoundName {
    std::vector<IpAddress> addresses;  // none: there is no such name
    std::chrono::seconds ttl{0};       // 0 where nobody said
};

// One round of look-ups for one pod: a few sockets, which are closed with it. A server that is
// silent once is not asked again. Reactor thread; names one after another.
class LookupRound {
public:
    struct Pod {
        std::filesystem::path name_space;  // a pinned one
        Resolving resolving;
        std::string hosts;  // the text of its hosts file
    };
    // Pool and Random outlive this object. Fails when the namespace cannot be entered.
    [[nodiscard]] static async::Task<Result<std::unique_ptr<LookupRound>>> open(
        Pod pod, async::BlockingPool& pool, Random& random);

    // Fails with timeout or unavailable when no server answers.
    [[nodiscard]] async::Task<Result<FoundName>> find(std::string name);

private:
    struct Server {
        IpAddress address;
        os::Fd udp;  // connected: the kernel drops what others send
        bool is_silent = false;
    };
    LookupRound(Pod pod, std::vector<Server> servers, async::BlockingPool& pool, Random& random)
        : pod_(std::move(pod)), servers_(std::move(servers)), pool_(pool), random_(random) {}

    [[nodiscard]] async::Task<Result<FoundName>> find_full(std::string name);
    [[nodiscard]] async::Task<Result<DnsAnswer>> ask(std::string name, IpFamily family);
    [[nodiscard]] async::Task<Result<DnsAnswer>> ask_server(std::size_t server,
                                                            DnsQuestion question);
    [[nodiscard]] async::Task<Result<DnsAnswer>> ask_by_tcp(std::size_t server,
                                                            DnsQuestion question);

    Pod pod_;
    std::vector<Server> servers_;
    async::BlockingPool& pool_;
    Random& random_;
};

}  // namespace skiff::network
