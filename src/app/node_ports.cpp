#include "app/node_ports.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "http/fd_stream.h"
#include "network/namespaces.h"
#include "os/fd.h"

namespace skiff::app {

using async::Task;

namespace {

constexpr auto kDialMax = std::chrono::seconds(10);

class TcpConnection final : public server::PodConnection {
public:
    explicit TcpConnection(os::Fd socket) : socket_(std::move(socket)), stream_(socket_.get()) {}

    Task<Result<void>> wait_readable() override { return async::wait_readable(socket_.get()); }
    void end_writing() override { ::shutdown(socket_.get(), SHUT_WR); }
    Task<Result<std::size_t>> read_some(std::span<char> into, SteadyTime deadline) override {
        return stream_.read_some(into, deadline);
    }
    Task<Result<void>> write_all(std::string_view bytes, SteadyTime deadline) override {
        return stream_.write_all(bytes, deadline);
    }

private:
    os::Fd socket_;
    http::FdStream stream_;
};

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;
};

std::optional<SocketAddress> socket_address(const std::string& address, std::uint16_t port) {
    SocketAddress its;
    auto* v4 = reinterpret_cast<sockaddr_in*>(&its.storage);
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&its.storage);
    if (::inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        its.size = sizeof(sockaddr_in);
        return its;
    }
    if (::inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        its.size = sizeof(sockaddr_in6);
        return its;
    }
    return std::nullopt;
}

// A socket in the pinned namespace, which is entered on another thread; empty: in the node's.
Task<Result<os::Fd>> make_socket(async::BlockingPool& pool, std::filesystem::path name_space,
                                 int family) {
    if (name_space.empty()) {
        os::Fd socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        if (!socket) {
            co_return fail_errno(errno, "socket");
        }
        co_return socket;
    }
    auto made = std::make_shared<os::Fd>();
    auto work = [made, name_space, family]() -> Result<void> {
        SKIFF_TRY(*made, network::socket_in(name_space, family, SOCK_STREAM));
        return {};
    };
    auto done = co_await pool.run(std::move(work));
    if (!done) {
        co_return fail(std::move(done.error()));
    }
    co_return std::move(*made);
}

Task<Result<os::Fd>> connect_to(async::BlockingPool& pool, std::filesystem::path name_space,
                                std::string address, std::uint16_t port) {
    auto to = socket_address(address, port);
    if (!to) {
        co_return fail(Code::invalid, "{} is no IP address", address);
    }
    const int family = to->storage.ss_family;
    SKIFF_CO_TRY(os::Fd socket, co_await make_socket(pool, std::move(name_space), family));
    const int on = 1;
    (void)::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    const std::string what = fmt::format("connect to {} port {}", address, port);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to->storage), to->size) == 0) {
        co_return socket;
    }
    if (errno != EINPROGRESS) {
        co_return fail_errno(errno, what);
    }
    SKIFF_CO_CHECK(co_await async::wait_writable(socket.get(), after(kDialMax)));
    int problem = 0;
    socklen_t size = sizeof(problem);
    ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &problem, &size);
    if (problem != 0) {
        co_return fail_errno(problem, what);
    }
    co_return socket;
}

}  // namespace

Result<NodePorts::Target> NodePorts::target(const PodName& name,
                                            const std::optional<PodUid>& uid) const {
    auto pod = rooms_.pods().find(name);
    if (!pod || (uid && uid->str() != pod->pod->metadata.uid)) {
        return fail(Code::not_found, "pod \"{}\" does not exist in namespace \"{}\" on this node",
                    name.name, name.ns);
    }
    const auto& status = pod->pod->status;
    if (status.phase != "Running") {
        return fail(Code::conflict, "pod \"{}\" is not running, its phase is {}", name.name,
                    status.phase);
    }
    if (PodNetwork* network = rooms_.pod_network(); network != nullptr) {
        if (auto its = network->find(PodUid(pod->pod->metadata.uid))) {
            return Target{{"127.0.0.1", "::1"}, std::move(its->name_space)};
        }
    }
    Target target;
    if (!status.podIP.empty()) {
        target.addresses.push_back(status.podIP);
    }
    target.addresses.emplace_back("127.0.0.1");
    return target;
}

Result<void> NodePorts::check(const PodName& pod, const std::optional<PodUid>& uid) const {
    SKIFF_TRY(auto found, target(pod, uid));
    return {};
}

Task<Result<std::unique_ptr<server::PodConnection>>> NodePorts::dial(PodName pod,
                                                                     std::optional<PodUid> uid,
                                                                     std::uint16_t port) {
    SKIFF_CO_TRY(auto tried, target(pod, uid));
    Result<os::Fd> socket = fail(Code::internal, "no address was tried");
    for (const std::string& address : tried.addresses) {
        socket = co_await connect_to(rooms_.pool(), tried.name_space, address, port);
        if (socket) {
            co_return std::make_unique<TcpConnection>(std::move(*socket));
        }
    }
    co_return fail(std::move(socket.error()));
}

}  // namespace skiff::app
