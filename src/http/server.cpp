#include "http/server.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "async/scope.h"
#include "base/log.h"
#include "http/connection.h"

namespace skiff::http {

namespace asio = boost::asio;
using asio::ip::tcp;
using asio::local::stream_protocol;
using async::Task;

namespace {

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr int kBacklog = 512;
// When the process has no descriptor left, waiting is all that helps.
constexpr Duration kAcceptBackOff = std::chrono::milliseconds(100);

Error socket_error(const boost::system::error_code& error, std::string_view what) {
    return errno_error(error.value(), what);
}

}  // namespace

class Server::Core {
public:
    Core(async::Executor executor, const Clock& clock, Handler& handler, ServerLimits limits)
        : host_{executor, clock, handler, limits}, listening_(executor), serving_(executor) {}

    Result<std::uint16_t> listen_tcp(const std::string& address, std::uint16_t port,
                                     std::shared_ptr<const ServerTls> tls);
    Result<void> listen_local(const std::filesystem::path& path);
    void replace_tls(std::shared_ptr<const ServerTls> tls) { tls_ = std::move(tls); }
    Task<void> stop(Duration grace);
    [[nodiscard]] ServerCounts counts() const { return host_.counts; }

private:
    enum class Security { kTls, kPlain };

    static Task<void> accept_tcp(Core* self, std::shared_ptr<tcp::acceptor> acceptor,
                                 Security security);
    static Task<void> accept_local(Core* self, std::shared_ptr<stream_protocol::acceptor> acceptor);
    static Task<void> serve(std::unique_ptr<Connection> connection);
    [[nodiscard]] bool make_room();
    void start(std::unique_ptr<Transport> transport, Peer peer);
    Task<void> back_off(const boost::system::error_code& error);

    ConnectionHost host_;
    std::shared_ptr<const ServerTls> tls_;
    std::filesystem::path local_path_;
    async::Scope listening_;
    async::Scope serving_;
};

Result<std::uint16_t> Server::Core::listen_tcp(const std::string& address, std::uint16_t port,
                                               std::shared_ptr<const ServerTls> tls) {
    boost::system::error_code error;
    auto ip = asio::ip::make_address(address, error);
    if (error) {
        return fail(Code::invalid, "{} is not an IP address", address);
    }
    auto acceptor = std::make_shared<tcp::acceptor>(host_.executor);
    tcp::endpoint endpoint(ip, port);
    acceptor->open(endpoint.protocol(), error);
    if (error) {
        return fail(socket_error(error, "socket"));
    }
    // Asio opens sockets without it, and programs that the agent starts must not inherit them.
    ::fcntl(acceptor->native_handle(), F_SETFD, FD_CLOEXEC);
    acceptor->set_option(tcp::acceptor::reuse_address(true), error);
    if (ip.is_v6()) {
        acceptor->set_option(asio::ip::v6_only(false), error);
    }
    acceptor->bind(endpoint, error);
    if (!error) {
        acceptor->listen(kBacklog, error);
    }
    if (error == asio::error::address_in_use) {
        return fail(Code::exists, "{} port {} is in use", address, port);
    }
    if (error) {
        return fail(socket_error(error, fmt::format("listen on {} port {}", address, port)));
    }
    Security security = tls ? Security::kTls : Security::kPlain;
    if (tls) {
        tls_ = std::move(tls);
    }
    std::uint16_t bound = acceptor->local_endpoint().port();
    listening_.spawn("http accept", accept_tcp(this, std::move(acceptor), security));
    return bound;
}

Result<void> Server::Core::listen_local(const std::filesystem::path& path) {
    if (path.string().size() >= sizeof(sockaddr_un::sun_path)) {
        return fail(Code::invalid, "socket path {} is too long", path.string());
    }
    ::unlink(path.c_str());
    auto acceptor = std::make_shared<stream_protocol::acceptor>(host_.executor);
    boost::system::error_code error;
    stream_protocol::endpoint endpoint(path.string());
    acceptor->open(endpoint.protocol(), error);
    if (!error) {
        ::fcntl(acceptor->native_handle(), F_SETFD, FD_CLOEXEC);
        acceptor->bind(endpoint, error);
    }
    if (error) {
        return fail(socket_error(error, "bind " + path.string()));
    }
    // Before listen() nobody can connect, so there is no moment with a wider mode.
    if (::chmod(path.c_str(), 0600) != 0) {
        return fail_errno(errno, "chmod " + path.string());
    }
    acceptor->listen(kBacklog, error);
    if (error) {
        return fail(socket_error(error, "listen on " + path.string()));
    }
    local_path_ = path;
    listening_.spawn("http accept", accept_local(this, std::move(acceptor)));
    return {};
}

// Whether another connection may come in; closes the longest idle one if that is what it takes.
bool Server::Core::make_room() {
    bool full = host_.counts.connections >= host_.limits.connections_max;
    bool too_idle = host_.idle.size() >= host_.limits.idle_connections_max;
    if (!full && !too_idle) {
        return true;
    }
    if (host_.idle.empty()) {
        ++host_.counts.refused;
        return false;
    }
    host_.idle.front()->push_out();
    ++host_.counts.pushed_out;
    return true;
}

void Server::Core::start(std::unique_ptr<Transport> transport, Peer peer) {
    ++host_.counts.accepted;
    auto connection = std::make_unique<Connection>(host_, std::move(transport), std::move(peer));
    serving_.spawn("http connection", serve(std::move(connection)));
}

Task<void> Server::Core::serve(std::unique_ptr<Connection> connection) {
    co_await connection->run();
}

Task<void> Server::Core::back_off(const boost::system::error_code& error) {
    log::warn("accept failed", log::kv("error", error.message()));
    auto slept = co_await async::sleep_for(kAcceptBackOff);
}

Task<void> Server::Core::accept_tcp(Core* self, std::shared_ptr<tcp::acceptor> acceptor,
                                    Security security) {
    while (true) {
        tcp::socket socket(self->host_.executor);
        tcp::endpoint from;
        auto [error] = co_await acceptor->async_accept(socket, from, kAwait);
        if (error) {
            co_await self->back_off(error);
            continue;
        }
        ::fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC);
        if (!self->make_room()) {
            continue;
        }
        boost::system::error_code ignored;
        socket.set_option(tcp::no_delay(true), ignored);
        socket.set_option(tcp::socket::keep_alive(true), ignored);
        std::string ip = from.address().to_string();
        Peer peer;
        peer.address = from.address().is_v6() ? fmt::format("[{}]:{}", ip, from.port())
                                              : fmt::format("{}:{}", ip, from.port());
        if (security == Security::kTls) {
            peer.kind = Peer::Kind::kTls;
            self->start(make_tls_transport(std::move(socket), self->tls_), std::move(peer));
        } else {
            self->start(make_plain_transport(std::move(socket)), std::move(peer));
        }
    }
}

Task<void> Server::Core::accept_local(Core* self,
                                      std::shared_ptr<stream_protocol::acceptor> acceptor) {
    while (true) {
        stream_protocol::socket socket(self->host_.executor);
        auto [error] = co_await acceptor->async_accept(socket, kAwait);
        if (error) {
            co_await self->back_off(error);
            continue;
        }
        ::fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC);
        ucred who{};
        socklen_t size = sizeof(who);
        int known = ::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &who, &size);
        if (known != 0 || (who.uid != 0 && who.uid != ::geteuid())) {
            log::warn("local connection refused", log::kv("uid", who.uid), log::kv("pid", who.pid));
            continue;
        }
        if (!self->make_room()) {
            continue;
        }
        Peer peer;
        peer.kind = Peer::Kind::kLocal;
        peer.address = "unix";
        self->start(make_local_transport(std::move(socket)), std::move(peer));
    }
}

Task<void> Server::Core::stop(Duration grace) {
    host_.stopping = true;
    co_await listening_.stop();
    if (!local_path_.empty()) {
        ::unlink(local_path_.c_str());
        local_path_.clear();
    }
    while (!host_.idle.empty()) {
        host_.idle.front()->push_out();
    }
    auto deadline =
        std::chrono::steady_clock::now() + std::chrono::duration_cast<SteadyTime::duration>(grace);
    auto ended = co_await serving_.join(deadline);
    co_await serving_.stop();
}

Server::Server(async::Executor executor, const Clock& clock, Handler& handler, ServerLimits limits)
    : core_(std::make_unique<Core>(std::move(executor), clock, handler, limits)) {}
Server::~Server() = default;

Result<std::uint16_t> Server::listen_tls(const std::string& address, std::uint16_t port,
                                         std::shared_ptr<const ServerTls> tls) {
    return core_->listen_tcp(address, port, std::move(tls));
}

Result<std::uint16_t> Server::listen_plain(const std::string& address, std::uint16_t port) {
    return core_->listen_tcp(address, port, nullptr);
}

Result<void> Server::listen_local(const std::filesystem::path& path) {
    return core_->listen_local(path);
}

void Server::replace_tls(std::shared_ptr<const ServerTls> tls) {
    core_->replace_tls(std::move(tls));
}

Task<void> Server::stop(Duration grace) {
    return core_->stop(grace);
}

ServerCounts Server::counts() const {
    return core_->counts();
}

ServerResponse plain_text(int status, std::string text) {
    ServerResponse response;
    response.status = status;
    response.headers.set("Content-Type", "text/plain; charset=utf-8");
    response.headers.set("X-Content-Type-Options", "nosniff");
    response.body = std::move(text);
    return response;
}

}  // namespace skiff::http
