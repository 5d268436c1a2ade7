#include "node/tunnel_session.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"

namespace skiff::node {

namespace {

constexpr std::size_t kReadBytes = 16U << 10;
// The kubelet is this process: it takes a connection at once or not at all.
constexpr Duration kStreamWriteTimeout = std::chrono::hours(4);

}  // namespace

TunnelSession::TunnelSession(async::Executor executor,
                             std::unique_ptr<http::WebSocketClient> socket, TunnelTarget target,
                             TunnelLimits limits)
    : socket_(std::move(socket)),
      target_(std::move(target)),
      limits_(limits),
      scope_(std::move(executor)) {}

async::Task<Result<void>> TunnelSession::run() {
    scope_.spawn("tunnel writer", write_out());
    scope_.spawn("tunnel pings", ping());
    scope_.spawn("tunnel reader", read_in());
    auto waited = co_await ended_.wait();
    // What was spawned must end even when we are being cancelled ourselves.
    co_await boost::asio::this_coro::throw_if_cancelled(false);
    co_await scope_.stop();
    co_await boost::asio::this_coro::throw_if_cancelled(true);
    links_.clear();
    if (!waited) {
        co_return fail(std::move(waited.error()));
    }
    if (why_) {
        co_return fail(std::move(*why_));
    }
    co_return Result<void>{};
}

void TunnelSession::retire() {
    retired_ = true;
    if (links_.empty()) {
        ended_.set();
    }
}

void TunnelSession::end(Error why) {
    if (!ended_.is_set() && why.code != Code::cancelled) {
        why_ = std::move(why);
    }
    ended_.set();
}

async::Task<void> TunnelSession::read_in() {
    while (true) {
        auto message = co_await socket_->receive(after(limits_.silence_max));
        if (!message) {
            end(std::move(message.error()));
            co_return;
        }
        auto taken = co_await take(*message);
        if (!taken) {
            end(std::move(taken.error()));
            co_return;
        }
    }
}

async::Task<Result<void>> TunnelSession::take(const http::WebSocketMessage& message) {
    using Kind = http::WebSocketKind;
    switch (message.kind) {
        case Kind::ping:
            send_frame(Kind::pong, message.payload);
            break;
        case Kind::pong:
            break;
        case Kind::close:
            co_return fail(Code::unavailable, "the server closed the tunnel: {} {}",
                           message.close_code, bounded_utf8(message.payload, 200));
        case Kind::text:
            co_return fail(Code::invalid, "the server sent text through the tunnel");
        case Kind::binary:
            SKIFF_CO_TRY(auto parsed, parse_dial_message(message.payload));
            co_return co_await take_dial_message(parsed);
    }
    co_return Result<void>{};
}

async::Task<Result<void>> TunnelSession::take_dial_message(DialMessage message) {
    if (message.type == DialMessageType::connect) {
        co_return open(message);
    }
    auto found = links_.find(message.connection);
    if (found == links_.end()) {
        // It has ended here, which the server was told. Or it is about other clients of the server.
        co_return Result<void>{};
    }
    std::shared_ptr<Link> link = found->second;
    switch (message.type) {
        case DialMessageType::data:
            co_await take_data(link, message.payload);
            break;
        case DialMessageType::error:
            // What came before it is still for the kubelet.
            link->ended = true;
            link->arrived.set();
            break;
        case DialMessageType::pause:
            link->paused = true;
            break;
        case DialMessageType::resume:
            link->paused = false;
            link->resumed.set();
            break;
        default:
            break;
    }
    co_return Result<void>{};
}

Result<void> TunnelSession::open(const DialMessage& message) {
    if (links_.contains(message.connection)) {
        return fail(Code::invalid, "the server opened connection {} twice", message.connection);
    }
    auto target = parse_dial_target(message.payload);
    const bool allowed = target && target->protocol == "tcp" && target->port == target_.port &&
                         std::ranges::count(target_.hosts, target->host) > 0;
    if (!allowed) {
        log::debug("tunnel: dial refused",
                   log::kv("address", bounded_utf8(message.payload, kDialAddressBytesMax)));
        send(DialMessageType::error, message.connection,
             fmt::format("refused: only this node's port {} is reached here", target_.port));
        return {};
    }
    if (links_.size() >= limits_.connections_max) {
        send(DialMessageType::error, message.connection,
             fmt::format("refused: {} connections are open", links_.size()));
        return {};
    }
    auto link = std::make_shared<Link>();
    link->id = message.connection;
    links_.emplace(link->id, link);
    scope_.spawn("tunnel connection", serve(link));
    return {};
}

async::Task<void> TunnelSession::take_data(std::shared_ptr<Link> link, std::string_view bytes) {
    if (link->ended) {
        co_return;
    }
    link->unwritten.append(bytes);
    link->held += bytes.size();
    held_ += bytes.size();
    link->arrived.set();
    if (link->held > limits_.pause_bytes && !std::exchange(link->pause_sent, true)) {
        send(DialMessageType::pause, link->id);
    }
    const auto deadline = after(limits_.stall_max);
    while (held_ > limits_.held_bytes_max) {
        less_held_.reset();
        auto waited = co_await less_held_.wait(deadline);
        if (!waited) {
            // Nobody takes what this one is sent: the others shall not suffer.
            link->over.set();
            co_return;
        }
    }
}

async::Task<void> TunnelSession::serve(std::shared_ptr<Link> link) {
    auto dialled = co_await target_.dial();
    if (!dialled) {
        send(DialMessageType::error, link->id, dialled.error().message);
        settle(*link);
        co_return;
    }
    link->stream = std::move(*dialled);
    auto executor = co_await async::current_executor();
    {
        async::Scope both(executor);
        both.spawn("tunnel to kubelet", feed(link));
        both.spawn("tunnel from kubelet", drain(link));
        // Cancelled or not, the next thing is to end both.
        [[maybe_unused]] auto waited = co_await link->over.wait();
        co_await boost::asio::this_coro::throw_if_cancelled(false);
        co_await both.stop();
        co_await boost::asio::this_coro::throw_if_cancelled(true);
    }
    if (!link->ended) {
        send(DialMessageType::error, link->id, kDialEnd);
    }
    settle(*link);
}

// The connection is over.
void TunnelSession::settle(Link& link) {
    held_ -= link.held;
    link.held = 0;
    less_held_.set();
    links_.erase(link.id);
    if (retired_ && links_.empty()) {
        ended_.set();
    }
}

// Server → kubelet.
async::Task<void> TunnelSession::feed(std::shared_ptr<Link> link) {
    while (true) {
        if (link->unwritten.empty()) {
            if (link->ended) {
                break;
            }
            link->arrived.reset();
            auto waited = co_await link->arrived.wait();
            if (!waited) {
                co_return;
            }
            continue;
        }
        const std::string bytes = std::exchange(link->unwritten, std::string());
        const auto deadline = after(kStreamWriteTimeout);
        auto written = co_await link->stream->write_all(bytes, deadline);
        if (!written) {
            break;
        }
        link->held -= bytes.size();
        held_ -= bytes.size();
        less_held_.set();
        if (link->held <= limits_.resume_bytes && std::exchange(link->pause_sent, false)) {
            send(DialMessageType::resume, link->id);
        }
    }
    link->over.set();
}

// Kubelet → server.
async::Task<void> TunnelSession::drain(std::shared_ptr<Link> link) {
    std::string buffer(kReadBytes, '\0');
    while (true) {
        while (link->paused || unsent_.size() > limits_.unsent_bytes_wait) {
            async::Event& room = link->paused ? link->resumed : less_unsent_;
            room.reset();
            auto waited = co_await room.wait();
            if (!waited) {
                co_return;
            }
        }
        auto count = co_await link->stream->read_some(buffer, async::kNoDeadline);
        if (!count || *count == 0) {
            break;
        }
        send(DialMessageType::data, link->id, std::string_view(buffer).substr(0, *count));
    }
    link->over.set();
}

void TunnelSession::send(DialMessageType type, std::int64_t connection, std::string_view payload) {
    DialMessage message;
    message.id = ++last_id_;
    message.connection = connection;
    message.type = type;
    message.payload = payload;
    send_frame(http::WebSocketKind::binary, format_dial_message(message));
}

void TunnelSession::send_frame(http::WebSocketKind kind, std::string_view payload) {
    if (unsent_.size() > limits_.unsent_bytes_max) {
        end(fail(Code::exhausted, "the server does not read what it asked for").value());
        return;
    }
    socket_->encode(unsent_, kind, payload);
    more_unsent_.set();
}

async::Task<void> TunnelSession::write_out() {
    while (true) {
        if (unsent_.empty()) {
            more_unsent_.reset();
            auto waited = co_await more_unsent_.wait();
            if (!waited) {
                co_return;
            }
            continue;
        }
        const std::string bytes = std::exchange(unsent_, std::string());
        less_unsent_.set();
        const auto deadline = after(limits_.write_timeout);
        auto written = co_await socket_->write_all(bytes, deadline);
        if (!written) {
            end(std::move(written.error()));
            co_return;
        }
    }
}

async::Task<void> TunnelSession::ping() {
    while (true) {
        auto slept = co_await async::sleep_for(limits_.ping_every);
        if (!slept) {
            co_return;
        }
        send_frame(http::WebSocketKind::ping, {});
    }
}

}  // namespace skiff::node
