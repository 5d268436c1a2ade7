// The inbound side of HTTP: listeners, connections, requests, streaming responses. HTTP/1.1 over
// TLS, plain TCP or a UNIX socket. No header of Beast, Asio's sockets or OpenSSL shows through
// here.
//
// Everything runs on the reactor thread. A Server and its Handler outlive stop().
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "async/task.h"
#include "base/result.h"
#include "base/time.h"
#include "base/types.h"
#include "http/headers.h"
#include "http/tls.h"

namespace skiff::http {

// Every bound of the server. The defaults are those of the node's port 10250.
struct ServerLimits {
    // Open connections; a further one pushes out the connection that has been idle longest, and is
    // refused when none is idle.
    std::size_t connections_max = 768;
    // Connections with no request in progress (handshake, head not yet complete, keep-alive).
    std::size_t idle_connections_max = 256;
    std::size_t header_bytes_max = 64U << 10;
    std::uint64_t body_bytes_max = 1U << 20;
    Duration handshake_timeout = std::chrono::seconds(10);
    // From the first byte of a request to the end of its head, and again to the end of its body.
    Duration request_timeout = std::chrono::seconds(10);
    // Between two requests.
    Duration keep_alive_timeout = std::chrono::seconds(90);
    // How long one write of a plain response may take.
    Duration write_timeout = std::chrono::seconds(30);
    // How long a reader of a streaming response may stand still.
    Duration stream_write_timeout = std::chrono::hours(4);
};

// Who is at the other end.
struct Peer {
    enum class Kind {
        kTls,
        kPlain,
        kLocal,  // a UNIX socket, and the peer's uid is root or the server's own
    };
    Kind kind = Kind::kPlain;
    std::string address;  // "192.0.2.1:4711", "[2001:db8::1]:4711", "unix"
    // The client's certificate if it was signed by the client CA and is in date; nullopt without
    // one, and `certificate_problem` says why if one was shown that does not count.
    std::optional<CertificateIdentity> certificate;
    std::string certificate_problem;
};

struct ServerRequest {
    std::string method;
    std::string target;  // as sent: path and query, percent-encoded, not normalised
    Headers headers;
    Peer peer;
};

struct ServerResponse {
    int status = 200;
    Headers headers;
    std::string body;
};
// A response of `text` as text/plain.
[[nodiscard]] ServerResponse plain_text(int status, std::string text);

// The raw connection after an upgrade. Closing happens when the handler returns.
class ByteStream {
public:
    virtual ~ByteStream() = default;
    // At least one byte, or 0 when the peer has ended. Fails with timeout (the connection is then
    // dead), unavailable or cancelled. One reader, one writer.
    [[nodiscard]] virtual async::Task<Result<std::size_t>> read_some(std::span<char> into,
                                                                     SteadyTime deadline) = 0;
    // All of it. The caller keeps `bytes` alive. Fails as read_some.
    [[nodiscard]] virtual async::Task<Result<void>> write_all(std::string_view bytes,
                                                              SteadyTime deadline) = 0;
};

// One request and the means to answer it, for the time that Handler::handle() runs. Exactly one of
// respond(), begin() … end(), or take_over() is used.
class Exchange {
public:
    virtual ~Exchange() = default;
    [[nodiscard]] virtual const ServerRequest& request() const = 0;
    // The whole body; call once, and only after the peer was allowed in: nothing of it is read
    // before. Fails with exhausted (too long), timeout, unavailable, cancelled.
    [[nodiscard]] virtual async::Task<Result<std::string>> read_body() = 0;
    // Sends a complete response.
    [[nodiscard]] virtual async::Task<Result<void>> respond(ServerResponse response) = 0;
    // Sends the head of a response whose length is not known; write() follows, end() closes it. A
    // handler that returns without end() cuts the connection, so the peer sees it is incomplete.
    [[nodiscard]] virtual async::Task<Result<void>> begin(int status, Headers headers) = 0;
    // Resolves when the bytes are with the kernel: this is the back-pressure. Empty is fine.
    [[nodiscard]] virtual async::Task<Result<void>> write(std::string_view bytes) = 0;
    [[nodiscard]] virtual async::Task<Result<void>> end() = 0;
    // True once a byte of the response may have left.
    [[nodiscard]] virtual bool begun() const = 0;
    // Sends `status` (101) with `headers` and hands over the connection, including bytes that came
    // early. The stream is valid until the handler returns. Only without a request body.
    [[nodiscard]] virtual async::Task<Result<ByteStream*>> take_over(int status,
                                                                     Headers headers) = 0;
};

class Handler {
public:
    virtual ~Handler() = default;
    // Answers one request. Cancelled when the peer goes away before the answer is complete, unless
    // it was taken over. A handler that returns without an answer gives 500.
    [[nodiscard]] virtual async::Task<void> handle(Exchange& exchange) = 0;
};

struct ServerCounts {
    std::size_t connections = 0;   // open now
    std::uint64_t accepted = 0;    // since the start
    std::uint64_t refused = 0;     // because connections_max was reached
    std::uint64_t pushed_out = 0;  // idle connections closed to make room
    std::uint64_t requests = 0;    // whose head was complete
};

class Server {
public:
    // `handler` and `clock` outlive the server.
    Server(async::Executor executor, const Clock& clock, Handler& handler, ServerLimits limits);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    // Each listens at once and serves until stop(). `address` is an IP address ("0.0.0.0", "::",
    // which also takes IPv4), port 0 takes a free one; returns the port. Fails with exists
    // (address in use), denied, invalid.
    [[nodiscard]] Result<std::uint16_t> listen_tls(const std::string& address, std::uint16_t port,
                                                   std::shared_ptr<const ServerTls> tls);
    [[nodiscard]] Result<std::uint16_t> listen_plain(const std::string& address,
                                                     std::uint16_t port);
    // A socket file of mode 0600, for root and the server's own user only. A stale file is
    // replaced; the caller's instance lock is what says that it is stale.
    [[nodiscard]] Result<void> listen_local(const std::filesystem::path& path);
    // New connections use `tls`: certificates can change while connections live.
    void replace_tls(std::shared_ptr<const ServerTls> tls);

    // Takes no new connection, closes the idle ones, gives requests in progress `grace`, then
    // cancels them. On return nothing of the server runs.
    [[nodiscard]] async::Task<void> stop(Duration grace);

    [[nodiscard]] ServerCounts counts() const;

private:
    class Core;
    std::unique_ptr<Core> core_;
};

}  // namespace skiff::http
