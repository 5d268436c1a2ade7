// The client's end of a WebSocket connection (RFC 6455), over a connection of our own. Reactor
// thread only; one reader, one writer.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "async/task.h"
#include "base/random.h"
#include "base/result.h"
#include "http/dial.h"
#include "http/websocket_frames.h"

namespace skiff::http {

// One message, or a ping, pong or close frame.
struct WebSocketMessage {
    WebSocketKind kind = WebSocketKind::binary;
    std::string payload;                          // of a close frame: the reason
    std::uint16_t close_code = kWebSocketNoCode;  // of a close frame
};

class WebSocketClient {
public:
    // Connects and shakes hands. `request` says where to (an https or http URL), as whom, and which
    // fields to send besides those of the handshake. `random` outlives the connection; a message of
    // more than `message_bytes_max` breaks it.
    //
    // Fails as dial(), and when the server's answer is not 101: 401 unauthenticated · 403
    // denied · 404 not_found · 429 and 5xx unavailable · any other unsupported; invalid where the
    // answer is no HTTP or no handshake.
    [[nodiscard]] static async::Task<Result<std::unique_ptr<WebSocketClient>>> open(
        Request request, Random& random, std::uint64_t message_bytes_max);

    // The same on a connection that exists, for tests; `early` are bytes after the handshake.
    WebSocketClient(std::unique_ptr<ByteStream> stream, std::string early, Random& random,
                    std::uint64_t message_bytes_max);

    // The next message. The caller answers pings. Fails with timeout, unavailable (the peer left
    // without a close frame), invalid or exhausted (close_code_of() says what to tell it).
    [[nodiscard]] async::Task<Result<WebSocketMessage>> receive(SteadyTime deadline);
    // Appends a frame to `out`, to be written by write_all().
    void encode(std::string& out, WebSocketKind kind, std::string_view payload) {
        encoder_.append(out, kind, payload);
    }
    void encode_close(std::string& out, std::uint16_t code, std::string_view reason) {
        encoder_.append_close(out, code, reason);
    }
    [[nodiscard]] async::Task<Result<void>> write_all(std::string_view bytes, SteadyTime deadline) {
        return stream_->write_all(bytes, deadline);
    }

private:
    std::unique_ptr<ByteStream> stream_;
    WebSocketDecoder decoder_;
    WebSocketAssembler assembler_;
    WebSocketEncoder encoder_;
    std::string buffer_;
    std::span<char> unread_;  // of buffer_
};

// What the server's answer to the handshake with `key` says; pure. `head` ends with an empty line.
// Fails as WebSocketClient::open().
[[nodiscard]] Result<void> check_websocket_answer(std::string_view head, std::string_view key);

}  // namespace skiff::http
