#include "http/connection_transport.h"

#include <openssl/ssl.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace skiff::http {

namespace {

namespace asio = boost::asio;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

using async::Task;

// Closes a socket if an operation on it is still pending at the deadline: a connection that missed
// one is of no further use. The handler of the timer may run after this object is gone.
template <typename Socket>
class DeadlineGuard {
public:
    DeadlineGuard(Socket& socket, SteadyTime deadline) : timer_(socket.get_executor()) {
        if (deadline == async::kNoDeadline) {
            return;
        }
        state_ = std::make_shared<State>();
        timer_.expires_at(deadline);
        timer_.async_wait([state = state_, &socket](const boost::system::error_code& error) {
            if (!error && state->armed) {
                state->fired = true;
                boost::system::error_code ignored;
                socket.close(ignored);
            }
        });
    }
    ~DeadlineGuard() {
        if (state_) {
            state_->armed = false;
        }
    }
    DeadlineGuard(const DeadlineGuard&) = delete;
    DeadlineGuard& operator=(const DeadlineGuard&) = delete;

    [[nodiscard]] tl::unexpected<Error> failure(const boost::system::error_code& error) const {
        if (state_ && state_->fired) {
            return fail(Code::timeout, "the peer took too long");
        }
        if (error == asio::error::operation_aborted) {
            return fail(Code::cancelled, "connection closed here");
        }
        return fail(Code::unavailable, "{}", error.message());
    }

private:
    struct State {
        bool armed = true;
        bool fired = false;
    };
    std::shared_ptr<State> state_;
    asio::steady_timer timer_;
};

bool is_end(const boost::system::error_code& error) {
    // Peers that leave without close_notify are common; HTTP/1.1 marks its own message ends.
    return error == asio::error::eof || error == asio::ssl::error::stream_truncated ||
           error == asio::error::connection_reset;
}

// Stream: a socket, or TLS over one. Socket: the lowest layer.
template <typename Stream, typename Socket>
Task<Result<std::size_t>> read_from(Stream& stream, Socket& socket, std::span<char> into,
                                    SteadyTime deadline) {
    DeadlineGuard<Socket> guard(socket, deadline);
    auto buffer = asio::buffer(into.data(), into.size());
    auto [error, count] = co_await stream.async_read_some(buffer, kAwait);
    if (error && is_end(error)) {
        co_return std::size_t{0};
    }
    if (error) {
        co_return guard.failure(error);
    }
    co_return count;
}

template <typename Stream, typename Socket>
Task<Result<void>> write_to(Stream& stream, Socket& socket, std::string_view bytes,
                            SteadyTime deadline) {
    DeadlineGuard<Socket> guard(socket, deadline);
    auto buffer = asio::buffer(bytes.data(), bytes.size());
    auto [error, count] = co_await asio::async_write(stream, buffer, kAwait);
    if (error) {
        co_return guard.failure(error);
    }
    co_return Result<void>{};
}

template <typename Socket>
class PlainTransport final : public Transport {
public:
    explicit PlainTransport(Socket socket) : socket_(std::move(socket)) {}

    Task<Result<void>> handshake(SteadyTime /*deadline*/) override { co_return Result<void>{}; }
    Task<Result<std::size_t>> read_some(std::span<char> into, SteadyTime deadline) override {
        return read_from(socket_, socket_, into, deadline);
    }
    Task<Result<void>> write_all(std::string_view bytes, SteadyTime deadline) override {
        return write_to(socket_, socket_, bytes, deadline);
    }
    Task<void> finish(SteadyTime /*deadline*/) override {
        boost::system::error_code ignored;
        socket_.shutdown(Socket::shutdown_send, ignored);
        co_return;
    }
    void close() override {
        boost::system::error_code ignored;
        socket_.close(ignored);
    }
    [[nodiscard]] ServerTls::Verdict judge_peer(WallTime /*now*/) const override { return {}; }

private:
    Socket socket_;
};

class TlsTransport final : public Transport {
public:
    TlsTransport(asio::ip::tcp::socket socket, std::shared_ptr<const ServerTls> tls)
        : tls_(std::move(tls)),
          context_(shared(tls_->context())),
          stream_(std::move(socket), context_) {}

    Task<Result<void>> handshake(SteadyTime deadline) override {
        DeadlineGuard<asio::ip::tcp::socket> guard(stream_.next_layer(), deadline);
        auto [error] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kAwait);
        if (error) {
            co_return guard.failure(error);
        }
        co_return Result<void>{};
    }
    Task<Result<std::size_t>> read_some(std::span<char> into, SteadyTime deadline) override {
        return read_from(stream_, stream_.next_layer(), into, deadline);
    }
    Task<Result<void>> write_all(std::string_view bytes, SteadyTime deadline) override {
        return write_to(stream_, stream_.next_layer(), bytes, deadline);
    }
    Task<void> finish(SteadyTime deadline) override {
        // Sends close_notify and waits for the peer's, so that its last reads do not meet a reset.
        DeadlineGuard<asio::ip::tcp::socket> guard(stream_.next_layer(), deadline);
        [[maybe_unused]] auto ended = co_await stream_.async_shutdown(kAwait);
        boost::system::error_code ignored;
        stream_.next_layer().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    }
    void close() override {
        boost::system::error_code ignored;
        stream_.next_layer().close(ignored);
    }
    [[nodiscard]] ServerTls::Verdict judge_peer(WallTime now) const override {
        auto& stream = const_cast<asio::ssl::stream<asio::ip::tcp::socket>&>(stream_);
        return tls_->judge_peer(stream.native_handle(), now);
    }

private:
    // asio's wrapper frees what it is given: give it a reference of its own.
    static asio::ssl::context shared(SSL_CTX* context) {
        SSL_CTX_up_ref(context);
        return asio::ssl::context(context);
    }

    std::shared_ptr<const ServerTls> tls_;
    asio::ssl::context context_;
    asio::ssl::stream<asio::ip::tcp::socket> stream_;
};

}  // namespace

std::unique_ptr<Transport> make_plain_transport(asio::ip::tcp::socket socket) {
    return std::make_unique<PlainTransport<asio::ip::tcp::socket>>(std::move(socket));
}

std::unique_ptr<Transport> make_tls_transport(asio::ip::tcp::socket socket,
                                              std::shared_ptr<const ServerTls> tls) {
    return std::make_unique<TlsTransport>(std::move(socket), std::move(tls));
}

std::unique_ptr<Transport> make_local_transport(asio::local::stream_protocol::socket socket) {
    return std::make_unique<PlainTransport<asio::local::stream_protocol::socket>>(
        std::move(socket));
}

}  // namespace skiff::http
