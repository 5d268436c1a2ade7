#include "http/connection.h"

#include <boost/asio/this_coro.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <ctime>

#include "base/assert.h"
#include "base/log.h"

namespace skiff::http {

namespace beast_http = boost::beast::http;
using async::Task;

namespace {

constexpr std::size_t kReadBytes = 16U << 10;
// What a peer may send ahead while its request is answered; more waits in the kernel.
constexpr std::size_t kAheadBytesMax = 16U << 10;
constexpr std::size_t kLastChunkBytes = std::string_view("0\r\n\r\n").size();
// An unread body up to this size is read and dropped to keep the connection; a longer one costs it.
constexpr std::uint64_t kDrainBytesMax = 64U << 10;
constexpr Duration kFinishTimeout = std::chrono::seconds(2);

std::string http_date(WallTime now) {
    auto seconds = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch();
    auto value = static_cast<std::time_t>(seconds.count());
    std::tm parts{};
    ::gmtime_r(&value, &parts);
    char text[40];
    auto length = std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    return std::string(text, length);
}

// A field value can come from a guest's name or a peer's text: it must not become two fields.
std::string one_line(std::string_view value) {
    std::string out(value);
    for (char& c : out) {
        auto byte = static_cast<unsigned char>(c);
        if ((byte < 0x20 && c != '\t') || byte == 0x7f) {
            c = ' ';
        }
    }
    return out;
}

std::string format_head(int status, const Headers& headers) {
    auto reason = beast_http::obsolete_reason(static_cast<beast_http::status>(status));
    std::string head =
        fmt::format("HTTP/1.1 {} {}\r\n", status, std::string_view(reason.data(), reason.size()));
    for (const auto& [name, value] : headers) {
        head += fmt::format("{}: {}\r\n", name, one_line(value));
    }
    head += "\r\n";
    return head;
}

bool body_is_forbidden(int status) {
    return status / 100 == 1 || status == 204 || status == 304;
}

}  // namespace

// One request of a connection and its response.
class Connection::Message final : public Exchange {
public:
    explicit Message(Connection& connection) : connection_(connection) {
        parser_.eager(false);
        parser_.header_limit(static_cast<std::uint32_t>(connection.host_.limits.header_bytes_max));
        parser_.body_limit(connection.host_.limits.body_bytes_max);
    }

    [[nodiscard]] const ServerRequest& request() const override { return request_; }
    [[nodiscard]] bool begun() const override { return begun_; }
    Task<Result<std::string>> read_body() override;
    Task<Result<void>> respond(ServerResponse response) override;
    Task<Result<void>> begin(int status, Headers headers) override;
    Task<Result<void>> write(std::string_view bytes) override;
    Task<Result<void>> end() override;
    Task<Result<ByteStream*>> take_over(int status, Headers headers) override;

    enum class Part { kHead, kBody };
    // Feeds what was received to the parser until the part is complete or more is needed. Fails
    // with invalid or exhausted.
    Result<void> advance(Part part);
    // After the head: what handlers see of it. Fails with invalid.
    Result<void> accept_head();
    [[nodiscard]] bool head_complete() const { return parser_.is_header_done(); }
    [[nodiscard]] bool body_complete() const { return parser_.is_done(); }
    [[nodiscard]] bool complete() const { return ended_; }
    [[nodiscard]] bool body_too_long() const { return body_too_long_; }
    [[nodiscard]] bool taken_over() const { return taken_over_; }
    [[nodiscard]] bool keeps_alive() const {
        return keep_alive_ && !connection_.host_.stopping && !taken_over_;
    }
    // Reads a rest of the body that nobody wanted; false when that is too much of it.
    Task<Result<bool>> drain();
    // From here on the end of the peer's stream means that nobody wants the answer.
    void watch_when_complete(async::Scope& scope) {
        watch_scope_ = &scope;
        watch_if_complete();
    }
    [[nodiscard]] async::Event& over() { return over_; }
    void refresh_peer() { request_.peer = connection_.peer_; }

private:
    // The connection as the stream of an upgraded protocol: first what came early.
    class Upgraded final : public ByteStream {
    public:
        explicit Upgraded(Connection& connection) : connection_(connection) {}
        Task<Result<std::size_t>> read_some(std::span<char> into, SteadyTime deadline) override {
            auto& early = connection_.received_;
            if (!early.empty()) {
                std::size_t count = std::min(into.size(), early.size());
                std::copy_n(early.begin(), count, into.begin());
                early.erase(0, count);
                co_return count;
            }
            co_return co_await connection_.transport_->read_some(into, deadline);
        }
        Task<Result<void>> write_all(std::string_view bytes, SteadyTime deadline) override {
            return connection_.transport_->write_all(bytes, deadline);
        }

    private:
        Connection& connection_;
    };

    void watch_if_complete() {
        if (watch_scope_ != nullptr && !watching_ && parser_.is_done()) {
            watching_ = true;
            watch_scope_->spawn("http peer", watch_peer(&connection_, this));
        }
    }
    void add_common(Headers& headers) const;
    [[nodiscard]] bool is_head() const { return request_.method == "HEAD"; }

    Connection& connection_;
    beast_http::request_parser<beast_http::string_body> parser_;
    ServerRequest request_;
    bool http_1_0_ = false;
    bool keep_alive_ = true;
    bool expects_continue_ = false;
    bool body_too_long_ = false;
    bool begun_ = false;
    bool chunked_ = false;
    bool ended_ = false;
    bool taken_over_ = false;
    bool watching_ = false;
    async::Scope* watch_scope_ = nullptr;
    async::Event over_;
    std::optional<Upgraded> upgraded_;
    std::size_t head_bytes_ = 0;
};

Result<void> Connection::Message::advance(Part part) {
    std::string& received = connection_.received_;
    auto has_part = [&] {
        return parser_.is_done() || (part == Part::kHead && parser_.is_header_done());
    };
    // Beast's parser asserts that it has this much of a last chunk when it looks a second time. As
    // long as a chunked body is not over, at least so much is to come.
    auto too_short = [&] {
        return parser_.is_header_done() && parser_.chunked() && received.size() < kLastChunkBytes;
    };
    while (!received.empty() && !has_part() && !too_short()) {
        boost::beast::error_code error;
        const bool in_head = !parser_.is_header_done();
        std::size_t used = parser_.put(boost::asio::buffer(received), error);
        received.erase(0, used);
        // The parser's own limit is for each piece that it looks at.
        head_bytes_ += in_head ? used : 0;
        if (!error && head_bytes_ > connection_.host_.limits.header_bytes_max) {
            error = beast_http::error::header_limit;
        }
        if (error == beast_http::error::need_more) {
            return {};
        }
        if (error == beast_http::error::header_limit || error == beast_http::error::body_limit) {
            keep_alive_ = false;
            body_too_long_ = error == beast_http::error::body_limit;
            return fail(Code::exhausted, "{}", error.message());
        }
        if (error) {
            keep_alive_ = false;
            return fail(Code::invalid, "{}", error.message());
        }
    }
    return {};
}

Result<void> Connection::Message::accept_head() {
    const auto& head = parser_.get();
    http_1_0_ = head.version() == 10;
    keep_alive_ = parser_.keep_alive();
    request_.method = std::string(head.method_string());
    request_.target = std::string(head.target());
    request_.peer = connection_.peer_;
    for (const auto& field : head) {
        request_.headers.add(std::string(field.name_string()), std::string(field.value()));
    }
    std::size_t hosts = head.count(beast_http::field::host);
    if (hosts > 1 || (hosts == 0 && !http_1_0_)) {
        return fail(Code::invalid, "exactly one Host header is needed");
    }
    if (head.count(beast_http::field::transfer_encoding) > 0 && !parser_.chunked()) {
        return fail(Code::invalid, "unsupported transfer encoding");
    }
    auto expect = request_.headers.find("Expect");
    expects_continue_ = expect && equal_ignoring_case(*expect, "100-continue");
    return {};
}

Task<Result<std::string>> Connection::Message::read_body() {
    SteadyTime deadline = after(connection_.host_.limits.request_timeout);
    if (expects_continue_ && !parser_.is_done()) {
        expects_continue_ = false;
        SKIFF_CO_CHECK(
            co_await connection_.transport_->write_all("HTTP/1.1 100 Continue\r\n\r\n", deadline));
    }
    while (true) {
        SKIFF_CO_CHECK(advance(Part::kBody));
        if (parser_.is_done()) {
            break;
        }
        auto count = co_await connection_.read_more(deadline);
        if (!count || *count == 0) {
            keep_alive_ = false;
            co_return count ? fail(Code::unavailable, "the request's body ends early")
                            : fail(std::move(count.error()));
        }
    }
    watch_if_complete();
    co_return std::move(parser_.get().body());
}

Task<Result<bool>> Connection::Message::drain() {
    auto remaining = parser_.is_done() ? 0 : parser_.content_length_remaining().value_or(0);
    if (remaining > kDrainBytesMax || (expects_continue_ && !parser_.is_done())) {
        co_return false;
    }
    SteadyTime deadline = after(connection_.host_.limits.request_timeout);
    std::uint64_t dropped = 0;
    while (!parser_.is_done()) {
        SKIFF_CO_CHECK(advance(Part::kBody));
        if (parser_.is_done()) {
            break;
        }
        SKIFF_CO_TRY(std::size_t count, co_await connection_.read_more(deadline));
        dropped += count;
        if (count == 0 || dropped > kDrainBytesMax) {
            co_return false;
        }
    }
    co_return true;
}

void Connection::Message::add_common(Headers& headers) const {
    headers.set("Date", http_date(connection_.host_.clock.wall_now()));
    if (!keeps_alive()) {
        headers.set("Connection", "close");
    }
}

Task<Result<void>> Connection::Message::respond(ServerResponse response) {
    SKIFF_ASSERT(!begun_, "a request is answered once");
    begun_ = true;
    add_common(response.headers);
    if (!body_is_forbidden(response.status)) {
        response.headers.set("Content-Length", std::to_string(response.body.size()));
    }
    std::string bytes = format_head(response.status, response.headers);
    if (!is_head() && !body_is_forbidden(response.status)) {
        bytes += response.body;
    }
    SteadyTime deadline = after(connection_.host_.limits.write_timeout);
    SKIFF_CO_CHECK(co_await connection_.transport_->write_all(bytes, deadline));
    ended_ = true;
    co_return Result<void>{};
}

Task<Result<void>> Connection::Message::begin(int status, Headers headers) {
    SKIFF_ASSERT(!begun_ && !body_is_forbidden(status), "a request is answered once");
    begun_ = true;
    chunked_ = !http_1_0_;
    if (!chunked_) {
        keep_alive_ = false;
    }
    add_common(headers);
    if (chunked_) {
        headers.set("Transfer-Encoding", "chunked");
    }
    std::string bytes = format_head(status, headers);
    SteadyTime deadline = after(connection_.host_.limits.write_timeout);
    co_return co_await connection_.transport_->write_all(bytes, deadline);
}

Task<Result<void>> Connection::Message::write(std::string_view bytes) {
    SKIFF_ASSERT(begun_ && !ended_, "write() belongs between begin() and end()");
    if (bytes.empty() || is_head()) {
        co_return Result<void>{};
    }
    SteadyTime deadline = after(connection_.host_.limits.stream_write_timeout);
    if (!chunked_) {
        co_return co_await connection_.transport_->write_all(bytes, deadline);
    }
    std::string chunk = fmt::format("{:x}\r\n", bytes.size());
    chunk.reserve(chunk.size() + bytes.size() + 2);
    chunk += bytes;
    chunk += "\r\n";
    co_return co_await connection_.transport_->write_all(chunk, deadline);
}

Task<Result<void>> Connection::Message::end() {
    SKIFF_ASSERT(begun_ && !ended_, "end() comes once, after begin()");
    if (chunked_ && !is_head()) {
        SteadyTime deadline = after(connection_.host_.limits.write_timeout);
        SKIFF_CO_CHECK(co_await connection_.transport_->write_all("0\r\n\r\n", deadline));
    }
    ended_ = true;
    co_return Result<void>{};
}

Task<Result<ByteStream*>> Connection::Message::take_over(int status, Headers headers) {
    SKIFF_ASSERT(!begun_, "a request is answered once");
    if (!parser_.is_done()) {
        co_return fail(Code::invalid, "an upgrade request has no body");
    }
    // The watcher reads: it must be gone before the new protocol does.
    co_await watch_scope_->stop();
    begun_ = true;
    taken_over_ = true;
    headers.set("Date", http_date(connection_.host_.clock.wall_now()));
    std::string bytes = format_head(status, headers);
    SteadyTime deadline = after(connection_.host_.limits.write_timeout);
    SKIFF_CO_CHECK(co_await connection_.transport_->write_all(bytes, deadline));
    upgraded_.emplace(connection_);
    co_return static_cast<ByteStream*>(&*upgraded_);
}

Connection::Connection(ConnectionHost& host, std::unique_ptr<Transport> transport, Peer peer)
    : host_(host), transport_(std::move(transport)), peer_(std::move(peer)) {
    ++host_.counts.connections;
    enter_idle();
}

Connection::~Connection() {
    leave_idle();
    --host_.counts.connections;
}

void Connection::enter_idle() {
    if (!is_idle_) {
        idle_at_ = host_.idle.insert(host_.idle.end(), this);
        is_idle_ = true;
    }
}

void Connection::leave_idle() {
    if (is_idle_) {
        host_.idle.erase(idle_at_);
        is_idle_ = false;
    }
}

void Connection::take_identity() {
    auto verdict = transport_->judge_peer(host_.clock.wall_now());
    peer_.certificate = std::move(verdict.identity);
    peer_.certificate_problem = std::move(verdict.problem);
}

Task<void> Connection::run() {
    auto greeted = co_await transport_->handshake(after(host_.limits.handshake_timeout));
    if (!greeted) {
        log::debug("handshake failed", log::kv("peer", peer_.address),
                   log::kv("error", greeted.error().message));
        co_return;
    }
    if (peer_.kind == Peer::Kind::kTls) {
        take_identity();
    }
    while (!host_.stopping) {
        auto next = co_await serve_one();
        if (!next) {
            log::debug("connection ended", log::kv("peer", peer_.address),
                       log::kv("error", next.error().message));
            co_return;
        }
        if (*next == After::kClose) {
            break;
        }
        enter_idle();
    }
    co_await transport_->finish(after(kFinishTimeout));
}

Task<Result<std::size_t>> Connection::read_more(SteadyTime deadline) {
    char buffer[kReadBytes];
    std::span<char> into(buffer);
    auto count = co_await transport_->read_some(into, deadline);
    if (count) {
        received_.append(buffer, *count);
    }
    co_return std::move(count);
}

Task<Result<void>> Connection::read_head(Message& message) {
    Duration patience =
        served_any_ ? host_.limits.keep_alive_timeout : host_.limits.request_timeout;
    SteadyTime deadline = after(patience);
    bool began = !received_.empty();
    if (began) {
        deadline = after(host_.limits.request_timeout);
    }
    while (true) {
        SKIFF_CO_CHECK(message.advance(Message::Part::kHead));
        if (message.head_complete()) {
            break;
        }
        SKIFF_CO_TRY(std::size_t count, co_await read_more(deadline));
        if (count == 0) {
            co_return fail(Code::unavailable, "the peer closed the connection");
        }
        if (!began) {
            began = true;
            deadline = after(host_.limits.request_timeout);
        }
    }
    co_return message.accept_head();
}

Task<void> Connection::refuse(int status, std::string text) {
    ServerResponse response = plain_text(status, std::move(text));
    response.headers.set("Connection", "close");
    response.headers.set("Content-Length", std::to_string(response.body.size()));
    std::string bytes = format_head(response.status, response.headers) + response.body;
    SteadyTime deadline = after(kFinishTimeout);
    auto written = co_await transport_->write_all(bytes, deadline);
    if (written) {
        co_await linger();
    }
}

// Reads and drops what is still coming for a moment: closing over unread bytes would reset the
// connection and could take the response with it.
Task<void> Connection::linger() {
    SteadyTime deadline = after(kFinishTimeout);
    received_.clear();
    std::uint64_t dropped = 0;
    while (dropped < host_.limits.body_bytes_max) {
        auto count = co_await read_more(deadline);
        if (!count || *count == 0) {
            co_return;
        }
        dropped += *count;
        received_.clear();
    }
}

Task<Result<Connection::After>> Connection::serve_one() {
    Message message(*this);
    auto head = co_await read_head(message);
    if (!head) {
        if (head.error().code == Code::invalid) {
            co_await refuse(400, "Bad Request: " + head.error().message);
        } else if (head.error().code == Code::exhausted) {
            int status = message.body_too_long() ? 413 : 431;
            co_await refuse(status, head.error().message);
        }
        co_return fail(std::move(head.error()));
    }
    served_any_ = true;
    ++host_.counts.requests;
    leave_idle();
    if (peer_.certificate && peer_.certificate->expires <= host_.clock.wall_now()) {
        take_identity();
        message.refresh_peer();
    }
    co_await handle(message);
    if (message.taken_over()) {
        co_return After::kClose;
    }
    if (!message.begun()) {
        auto sent = co_await message.respond(plain_text(500, "no answer"));
        SKIFF_CO_CHECK(std::move(sent));
    }
    if (!message.complete()) {
        transport_->close();
        co_return fail(Code::unavailable, "the response was cut short");
    }
    if (!message.keeps_alive()) {
        if (!message.body_complete()) {
            co_await linger();
        }
        co_return After::kClose;
    }
    SKIFF_CO_TRY(bool drained, co_await message.drain());
    if (!drained) {
        co_await linger();
        co_return After::kClose;
    }
    co_return After::kNextRequest;
}

Task<void> Connection::run_handler(Connection* self, Message* message) {
    co_await self->host_.handler.handle(*message);
    message->over().set();
}

Task<void> Connection::watch_peer(Connection* self, Message* message) {
    while (self->received_.size() < kAheadBytesMax) {
        auto count = co_await self->read_more(async::kNoDeadline);
        if (!count && count.error().code == Code::cancelled) {
            co_return;
        }
        if (!count || *count == 0) {
            message->over().set();
            co_return;
        }
    }
}

Task<void> Connection::handle(Message& message) {
    async::Scope work(host_.executor);
    async::Scope watch(host_.executor);
    work.spawn("http request", run_handler(this, &message));
    message.watch_when_complete(watch);
    auto waited = co_await message.over().wait();
    // Both tasks refer to this frame: they end before it does, also when this task is cancelled.
    co_await boost::asio::this_coro::throw_if_cancelled(false);
    co_await work.stop();
    co_await watch.stop();
    co_await boost::asio::this_coro::throw_if_cancelled(true);
}

}  // namespace skiff::http
