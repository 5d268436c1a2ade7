// The serving end of a WebSocket connection, after the handshake. Reactor thread only.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "async/task.h"
#include "http/server.h"
#include "http/shared_writer.h"
#include "http/websocket_frames.h"

namespace skiff::http {

class WebSocketConnection {
public:
    // `stream` outlives this.
    explicit WebSocketConnection(ByteStream& stream);

    // The next piece of a text or binary message; nullopt when the peer has closed or gone. Pings
    // are answered. The piece is valid until the next call. Fails with invalid or exhausted (the
    // peer broke the protocol, and was told so), unavailable, cancelled. One reader.
    [[nodiscard]] async::Task<Result<std::optional<WebSocketPiece>>> read();
    // Sends `prefix` and `payload` together as one message. The caller keeps them alive.
    [[nodiscard]] async::Task<Result<void>> write(WebSocketKind kind, std::string_view prefix,
                                                  std::string_view payload);
    [[nodiscard]] async::Task<Result<void>> write(WebSocketKind kind, std::string_view payload) {
        return write(kind, {}, payload);
    }
    // Says that this is the end (once; later calls do nothing).
    [[nodiscard]] async::Task<Result<void>> close(std::uint16_t code, std::string_view reason);
    // A ping of ours, to see whether the peer is still there.
    [[nodiscard]] async::Task<Result<void>> ping() { return write(WebSocketKind::ping, {}); }
    // As SharedWriter::read_until_idle().
    [[nodiscard]] async::Task<void> read_until_idle(async::Task<Result<void>> reading,
                                                    std::string_view event) {
        return writer_.read_until_idle(std::move(reading), event);
    }

private:
    static constexpr std::size_t kReadBytes = 32U << 10;
    // A payload of so many bytes is sent apart from its head: to copy it costs more.
    static constexpr std::size_t kApartFrom = 4096;

    [[nodiscard]] async::Task<Result<void>> answer(WebSocketPiece piece);

    ByteStream& stream_;
    SharedWriter writer_;
    WebSocketDecoder decoder_;
    WebSocketEncoder encoder_{WebSocketRole::server};
    std::vector<char> buffer_;
    std::span<char> unread_;
    bool peer_closed_ = false;
    bool closed_ = false;
};

// Binary messages as a stream of bytes: another protocol inside of a WebSocket.
class WebSocketByteStream final : public ByteStream {
public:
    // `connection` outlives this.
    explicit WebSocketByteStream(WebSocketConnection& connection) : connection_(connection) {}
    // The deadline is not looked at: the connection has its own.
    [[nodiscard]] async::Task<Result<std::size_t>> read_some(std::span<char> into,
                                                             SteadyTime deadline) override;
    [[nodiscard]] async::Task<Result<void>> write_all(std::string_view bytes,
                                                      SteadyTime deadline) override;

private:
    WebSocketConnection& connection_;
    std::string_view unread_;
};

}  // namespace skiff::http
