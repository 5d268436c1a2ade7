// The outbound HTTP client of the agent: HTTP/1.1 and HTTP/2, TLS, proxies, streaming bodies.
//
// One Client owns one connection cache. Reactor thread only. A Client must outlive every task that
// is inside one of its functions, but not the Streams it opened.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/task.h"
#include "base/result.h"
#include "http/headers.h"
#include "http/url.h"

namespace skiff::http {

enum class Verify { kPeer, kNothing };
enum class Version {
    kAutomatic,  // HTTP/2 where TLS negotiates it, else HTTP/1.1
    kHttp1,      // HTTP/1.1 only: one connection per transfer in progress
    kHttp2Only,  // HTTP/2 from the first byte, without TLS ("prior knowledge"), as gRPC has it
};
// Whether a transfer may take a connection that another left, and leave its own.
enum class Connection { kShared, kOwn };

// What a connection proves and demands. Connections are reused only for equal options. Empty
// fields are not used; text wins over the file of the same purpose.
struct Tls {
    std::string ca_pem;   // certificates to trust instead of the system's
    std::string ca_file;  // the same, read when a connection is made
    std::string client_certificate_pem;
    std::string client_key_pem;
    std::string client_certificate_file;  // re-read for each new connection
    std::string client_key_file;
    Verify verify = Verify::kPeer;
    friend bool operator==(const Tls&, const Tls&) = default;
};

struct Timeouts {
    // Name resolution, TCP and TLS.
    Duration connect = std::chrono::seconds(10);
    // The whole exchange, the body included; 0 is none (for watches and log streams).
    Duration total = std::chrono::seconds(30);
    // Between the request and the head of the response, and between two pieces of the body; 0 is
    // none.
    Duration idle = std::chrono::seconds(30);
};

struct Request {
    std::string method = "GET";
    std::string url;
    Headers headers;
    std::string body;
    Tls tls;
    Timeouts timeouts;
    Version version = Version::kAutomatic;
    Connection connection = Connection::kShared;
    // Fields that would be sent without being asked for (Accept, User-Agent) and are not wanted.
    std::vector<std::string> omitted;
    // fetch(): a longer body fails with Code::exhausted. open(): not a limit, the reader decides.
    std::uint64_t body_bytes_max = 4U << 20;
    // open(): how many bytes of the body are buffered before the connection is left unread.
    std::size_t window_bytes = 1U << 20;
    // GET and HEAD only: how many redirects are followed. Authorization, Cookie and the client
    // certificate go to the first origin only; https never leads to http (Code::denied). With 0 a
    // redirect is a response like any other.
    int redirects_max = 0;
    // Connect to this UNIX socket instead of the URL's host.
    std::string unix_socket;
    // Proxy URL; nullopt takes it from the environment (https_proxy, no_proxy …), "" uses none.
    std::optional<std::string> proxy;
};

struct Response {
    int status = 0;
    Headers headers;
    std::string body;
    // Where the response came from, redirects followed.
    std::string url;
};

// A response whose head has arrived and whose body is taken piece by piece. Destroying it aborts
// the transfer. One reader.
class Stream {
public:
    virtual ~Stream() = default;
    [[nodiscard]] virtual int status() const = 0;
    [[nodiscard]] virtual const Headers& headers() const = 0;
    // Where the response came from, redirects followed.
    [[nodiscard]] virtual const std::string& url() const = 0;
    // What came after the body; complete once next_chunk() has given nullopt.
    [[nodiscard]] virtual const Headers& trailers() const = 0;
    // Content-Length, where the server gave one.
    [[nodiscard]] virtual std::optional<std::uint64_t> content_length() const = 0;
    // The next piece (never empty), nullopt at the regular end of the body. Fails with timeout,
    // cancelled, or unavailable where the body ends early. While nobody asks, at most
    // Request::window_bytes are read ahead.
    [[nodiscard]] virtual async::Task<Result<std::optional<std::string>>> next_chunk() = 0;
    // Everything that is left, at most `bytes_max` (else Code::exhausted).
    [[nodiscard]] async::Task<Result<std::string>> read_all(std::uint64_t bytes_max);
};

class Client {
public:
    // `user_agent` is sent with every request that names none.
    Client(async::Executor executor, std::string user_agent);
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    // Sends the request and takes the whole response. Any status is a response; errors are:
    // invalid (URL), unavailable (no connection, TLS, broken transfer), timeout, cancelled,
    // exhausted (body too long), denied (redirect refused).
    [[nodiscard]] async::Task<Result<Response>> fetch(Request request);
    // Sends the request and resolves when the head of the response is there.
    [[nodiscard]] async::Task<Result<std::unique_ptr<Stream>>> open(Request request);
    // Makes a TCP connection to "http://HOST:PORT" and closes it; nothing is sent. Fails as open().
    [[nodiscard]] async::Task<Result<void>> connect(std::string url, Duration timeout);
    // New transfers make new connections, because a certificate changed or the peer looks dead.
    // Transfers in progress end as they would have.
    void reset_connections();

private:
    class Engine;
    class Transfer;
    async::Executor executor_;
    std::string user_agent_;
    std::shared_ptr<Engine> engine_;
};

}  // namespace skiff::http
