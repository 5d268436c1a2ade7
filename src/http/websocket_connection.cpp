#include "http/websocket_connection.h"

#include <algorithm>
#include <limits>

namespace skiff::http {

using async::Task;

// Messages have no bound: they are consumed in pieces.
WebSocketConnection::WebSocketConnection(ByteStream& stream)
    : stream_(stream),
      writer_(stream),
      decoder_(WebSocketRole::server, std::numeric_limits<std::uint64_t>::max()),
      buffer_(kReadBytes) {}

Task<Result<std::optional<WebSocketPiece>>> WebSocketConnection::read() {
    while (!peer_closed_) {
        auto piece = decoder_.next(unread_);
        if (!piece) {
            auto told = co_await close(close_code_of(piece.error()), piece.error().message);
            co_return fail(std::move(piece.error()));
        }
        if (!*piece) {
            SKIFF_CO_TRY(std::size_t count,
                         co_await stream_.read_some(buffer_, async::kNoDeadline));
            writer_.touch();
            peer_closed_ = count == 0;
            unread_ = std::span(buffer_).first(count);
            continue;
        }
        WebSocketPiece its = **piece;
        if (its.kind == WebSocketKind::text || its.kind == WebSocketKind::binary) {
            co_return its;
        }
        SKIFF_CO_CHECK(co_await answer(its));
    }
    co_return std::nullopt;
}

Task<Result<void>> WebSocketConnection::answer(WebSocketPiece piece) {
    if (piece.kind == WebSocketKind::close) {
        peer_closed_ = true;
        return close(kWebSocketNormal, {});
    }
    if (piece.kind == WebSocketKind::ping) {
        return write(WebSocketKind::pong, piece.payload);
    }
    return []() -> Task<Result<void>> { co_return Result<void>{}; }();
}

Task<Result<void>> WebSocketConnection::write(WebSocketKind kind, std::string_view prefix,
                                              std::string_view payload) {
    SKIFF_CO_TRY(auto turn, co_await writer_.turn());
    if (closed_) {
        co_return fail(Code::unavailable, "the connection is closed");
    }
    std::string head;
    encoder_.append_head(head, kind, prefix.size() + payload.size());
    head += prefix;
    if (payload.size() < kApartFrom) {
        head += payload;
        co_return co_await writer_.send(head);
    }
    SKIFF_CO_CHECK(co_await writer_.send(head));
    co_return co_await writer_.send(payload);
}

Task<Result<void>> WebSocketConnection::close(std::uint16_t code, std::string_view reason) {
    std::string frame;
    encoder_.append_close(frame, code, reason);
    SKIFF_CO_TRY(auto turn, co_await writer_.turn());
    if (std::exchange(closed_, true)) {
        co_return Result<void>{};
    }
    co_return co_await writer_.send(frame);
}

Task<Result<std::size_t>> WebSocketByteStream::read_some(std::span<char> into,
                                                         SteadyTime /*deadline*/) {
    while (unread_.empty()) {
        SKIFF_CO_TRY(auto piece, co_await connection_.read());
        if (!piece) {
            co_return std::size_t{0};
        }
        unread_ = piece->payload;
    }
    std::size_t count = std::min(into.size(), unread_.size());
    std::copy_n(unread_.begin(), count, into.begin());
    unread_.remove_prefix(count);
    co_return count;
}

Task<Result<void>> WebSocketByteStream::write_all(std::string_view bytes, SteadyTime /*deadline*/) {
    return connection_.write(WebSocketKind::binary, bytes);
}

}  // namespace skiff::http
