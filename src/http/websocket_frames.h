// WebSocket (RFC 6455) as bytes: frames in and out, and what a handshake is checked for. Pure; both
// ends use it. No extension is spoken: a frame with a reserved bit is refused.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "http/headers.h"

namespace skiff::http {

// Which end of the connection we are. A client masks what it sends and a server does not; each
// refuses a peer that does as itself (RFC 6455 §5.1).
enum class WebSocketRole { server, client };

enum class WebSocketKind : std::uint8_t { text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

// Status codes of a close frame (RFC 6455 §7.4.1).
inline constexpr std::uint16_t kWebSocketNormal = 1000;
inline constexpr std::uint16_t kWebSocketGoingAway = 1001;
inline constexpr std::uint16_t kWebSocketProtocolError = 1002;
inline constexpr std::uint16_t kWebSocketTooBig = 1009;
// Never on the wire: the peer's close frame had no code.
inline constexpr std::uint16_t kWebSocketNoCode = 1005;

// The payload of a control frame: ping, pong, close.
inline constexpr std::size_t kWebSocketControlBytesMax = 125;
// What a frame's header can take.
inline constexpr std::size_t kWebSocketHeaderBytesMax = 14;

// A part of a message as it arrives: a message may be larger than any buffer.
struct WebSocketPiece {
    WebSocketKind kind = WebSocketKind::binary;
    // Into the decoder's input (or, of a control frame, into the decoder): valid until the next
    // call of next(). Control frames come whole. May be empty.
    std::string_view payload;
    bool first = true;  // the message begins with it
    bool last = true;   // the message ends with it
    // Of a close frame, whose payload is then the reason without the code.
    std::uint16_t close_code = kWebSocketNoCode;
};

// Takes frames apart. Its memory is one control frame, whatever lengths the peer announces.
class WebSocketDecoder {
public:
    // A message whose frames add up to more is refused; its pieces before that were handed out.
    WebSocketDecoder(WebSocketRole role, std::uint64_t message_bytes_max)
        : role_(role), message_bytes_max_(message_bytes_max) {}

    // Consumes bytes from the front of `bytes`, which it unmasks in place, until there is a piece;
    // nullopt when `bytes` is used up. Control frames may come between the pieces of a message.
    // Fails with invalid (a breach of the protocol; close_code_of() says what to tell the peer) or
    // exhausted (message too big); then the decoder is of no more use. Text is not checked to be
    // UTF-8: who reads it does.
    [[nodiscard]] Result<std::optional<WebSocketPiece>> next(std::span<char>& bytes);

private:
    [[nodiscard]] Result<bool> take_header(std::span<char>& bytes);
    [[nodiscard]] Result<void> begin_frame();
    [[nodiscard]] Result<void> check_opcode(std::uint8_t opcode);
    [[nodiscard]] std::optional<WebSocketPiece> take_data(std::span<char>& bytes);
    [[nodiscard]] Result<std::optional<WebSocketPiece>> take_control(std::span<char>& bytes);
    void unmask(std::span<char> bytes);

    WebSocketRole role_;
    std::uint64_t message_bytes_max_;
    std::array<char, kWebSocketHeaderBytesMax> header_{};
    std::size_t header_size_ = 0;
    bool in_frame_ = false;
    // Of the frame in progress.
    bool final_ = false;
    bool is_control_ = false;
    std::uint64_t left_ = 0;
    std::array<char, 4> mask_{};
    std::size_t masked_ = 0;
    WebSocketKind control_kind_ = WebSocketKind::ping;
    std::string control_;
    // Of the message in progress.
    bool in_message_ = false;
    bool message_begun_ = false;  // a piece of it was handed out
    WebSocketKind message_kind_ = WebSocketKind::binary;
    std::uint64_t message_bytes_ = 0;
};

// What to close with after an error of WebSocketDecoder.
[[nodiscard]] std::uint16_t close_code_of(const Error& error);

// Gathers the pieces of data messages, for protocols whose messages are small. Give it a decoder
// with the same bound.
class WebSocketAssembler {
public:
    // The whole message once `piece`, which is text or binary, was its last one.
    [[nodiscard]] std::optional<std::string> add(const WebSocketPiece& piece);

private:
    std::string message_;
};

// Makes frames of one connection.
class WebSocketEncoder {
public:
    // `random` draws the masks: needed by clients only. It outlives the encoder.
    explicit WebSocketEncoder(WebSocketRole role, Random* random = nullptr);

    // Appends one frame with all of `payload`, a whole message.
    void append(std::string& out, WebSocketKind kind, std::string_view payload);
    // Appends what stands before a payload of that size that is sent apart. Of servers: nothing is
    // masked.
    void append_head(std::string& out, WebSocketKind kind, std::size_t payload_bytes);
    // Appends one frame of a text or binary message in several.
    void append_part(std::string& out, const WebSocketPiece& part);
    // Appends a close frame; `reason` is cut to fit.
    void append_close(std::string& out, std::uint16_t code, std::string_view reason);

private:
    void append_header(std::string& out, std::uint8_t first_byte, std::size_t payload_bytes);
    void append_frame(std::string& out, std::uint8_t first_byte, std::string_view payload);

    WebSocketRole role_;
    Random* random_;
};

// Sec-WebSocket-Accept for a Sec-WebSocket-Key.
[[nodiscard]] std::string websocket_accept(std::string_view key);

// Whether the field holds `token` in one of its comma-separated lists, without regard to case.
[[nodiscard]] bool has_token(const Headers& headers, std::string_view field,
                             std::string_view token);
// Whether a request wants to go on as WebSocket.
[[nodiscard]] bool is_websocket_upgrade(const Headers& headers);
// The key of such a request. Fails with invalid: another version than 13, no key of 16 bytes.
[[nodiscard]] Result<std::string> websocket_key(const Headers& headers);
// The subprotocols that it offers, in its order. At most 32: further ones are not seen.
[[nodiscard]] std::vector<std::string> websocket_protocols(const Headers& headers);
// The headers of the server's answer, status 101; `protocol` may be empty.
[[nodiscard]] Headers websocket_answer(std::string_view key, std::string_view protocol);

}  // namespace skiff::http
