#include "http/websocket_frames.h"

#include <openssl/evp.h>

#include <algorithm>

#include "base/assert.h"
#include "base/text.h"
#include "http/big_endian.h"

namespace skiff::http {

namespace {

constexpr std::uint8_t kFinalBit = 0x80;
constexpr std::uint8_t kReservedBits = 0x70;
constexpr std::uint8_t kOpcodeBits = 0x0f;
constexpr std::uint8_t kControlBit = 0x08;
constexpr std::uint8_t kMaskBit = 0x80;
constexpr std::uint8_t kContinuation = 0;
constexpr std::uint8_t kLengthIn16Bits = 126;
constexpr std::uint8_t kLengthIn64Bits = 127;
constexpr std::size_t kMaskBytes = 4;
constexpr std::size_t kKeyBytes = 16;
constexpr std::string_view kAcceptSuffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

// What a peer may say in a close frame (RFC 6455 §7.4.1 and §7.4.2).
bool is_close_code(std::uint16_t code) {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

std::size_t length_bytes(std::uint8_t short_length) {
    if (short_length == kLengthIn64Bits) {
        return 8;
    }
    return short_length == kLengthIn16Bits ? 2 : 0;
}

std::uint8_t byte_of(char c) {
    return static_cast<std::uint8_t>(c);
}

}  // namespace

Result<std::optional<WebSocketPiece>> WebSocketDecoder::next(std::span<char>& bytes) {
    while (true) {
        if (!in_frame_) {
            SKIFF_TRY(bool whole, take_header(bytes));
            if (!whole) {
                return std::nullopt;
            }
        }
        if (is_control_) {
            return take_control(bytes);
        }
        // A frame of no bytes that neither begins nor ends a message is no piece.
        bool says_nothing = left_ == 0 && message_begun_ && !final_;
        if (!says_nothing) {
            return take_data(bytes);
        }
        in_frame_ = false;
    }
}

Result<bool> WebSocketDecoder::take_header(std::span<char>& bytes) {
    while (!bytes.empty()) {
        header_[header_size_++] = bytes.front();
        bytes = bytes.subspan(1);
        if (header_size_ < 2) {
            continue;
        }
        std::uint8_t second = byte_of(header_[1]);
        bool masked = (second & kMaskBit) != 0;
        if (masked != (role_ == WebSocketRole::server)) {
            return fail(Code::invalid, "a WebSocket frame is {}masked", masked ? "" : "not ");
        }
        std::size_t whole = 2 + length_bytes(second & ~kMaskBit) + (masked ? kMaskBytes : 0);
        if (header_size_ == whole) {
            SKIFF_CHECK(begin_frame());
            return true;
        }
    }
    return false;
}

Result<void> WebSocketDecoder::begin_frame() {
    std::uint8_t first = byte_of(header_[0]);
    std::uint8_t short_length = byte_of(header_[1]) & ~kMaskBit;
    std::size_t length_size = length_bytes(short_length);
    std::span<const char> header(header_.data(), header_size_);
    left_ = length_size == 0 ? short_length : big_endian(header.subspan(2, length_size));
    if (left_ >> 63 != 0) {
        return fail(Code::invalid, "a WebSocket frame's length has its highest bit set");
    }
    if (role_ == WebSocketRole::server) {
        std::ranges::copy(header.last(kMaskBytes), mask_.begin());
    }
    masked_ = 0;
    header_size_ = 0;
    in_frame_ = true;
    if ((first & kReservedBits) != 0) {
        return fail(Code::invalid, "a WebSocket frame has reserved bits set");
    }
    final_ = (first & kFinalBit) != 0;
    is_control_ = (first & kControlBit) != 0;
    SKIFF_CHECK(check_opcode(first & kOpcodeBits));
    if (is_control_) {
        control_.clear();
        return {};
    }
    if (left_ > message_bytes_max_ - message_bytes_) {
        return fail(Code::exhausted, "a WebSocket message has more than {} bytes",
                    message_bytes_max_);
    }
    message_bytes_ += left_;
    return {};
}

Result<void> WebSocketDecoder::check_opcode(std::uint8_t opcode) {
    if (is_control_) {
        if (opcode > static_cast<std::uint8_t>(WebSocketKind::pong)) {
            return fail(Code::invalid, "a WebSocket frame has the unknown opcode {}", opcode);
        }
        if (!final_ || left_ > kWebSocketControlBytesMax) {
            return fail(Code::invalid, "a WebSocket control frame is fragmented or too long");
        }
        control_kind_ = static_cast<WebSocketKind>(opcode);
        return {};
    }
    if (opcode > static_cast<std::uint8_t>(WebSocketKind::binary)) {
        return fail(Code::invalid, "a WebSocket frame has the unknown opcode {}", opcode);
    }
    if ((opcode == kContinuation) != in_message_) {
        return fail(Code::invalid, "a WebSocket message {}",
                    in_message_ ? "begins inside another" : "is continued that was not begun");
    }
    if (!in_message_) {
        in_message_ = true;
        message_begun_ = false;
        message_bytes_ = 0;
        message_kind_ = static_cast<WebSocketKind>(opcode);
    }
    return {};
}

void WebSocketDecoder::unmask(std::span<char> bytes) {
    if (role_ != WebSocketRole::server) {
        return;
    }
    for (char& c : bytes) {
        c = static_cast<char>(c ^ mask_[masked_ % kMaskBytes]);
        ++masked_;
    }
}

std::optional<WebSocketPiece> WebSocketDecoder::take_data(std::span<char>& bytes) {
    if (bytes.empty() && left_ > 0) {
        return std::nullopt;
    }
    auto part = bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size())));
    bytes = bytes.subspan(part.size());
    unmask(part);
    left_ -= part.size();
    WebSocketPiece piece;
    piece.kind = message_kind_;
    piece.payload = std::string_view(part.data(), part.size());
    piece.first = !std::exchange(message_begun_, true);
    piece.last = final_ && left_ == 0;
    in_frame_ = left_ > 0;
    in_message_ = !piece.last;
    return piece;
}

Result<std::optional<WebSocketPiece>> WebSocketDecoder::take_control(std::span<char>& bytes) {
    auto part = bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size())));
    bytes = bytes.subspan(part.size());
    unmask(part);
    control_.append(part.data(), part.size());
    left_ -= part.size();
    if (left_ > 0) {
        return std::nullopt;
    }
    in_frame_ = false;
    WebSocketPiece piece;
    piece.kind = control_kind_;
    piece.payload = control_;
    if (piece.kind != WebSocketKind::close || control_.empty()) {
        return piece;
    }
    if (control_.size() < 2) {
        return fail(Code::invalid, "a WebSocket close frame has half a code");
    }
    piece.close_code = static_cast<std::uint16_t>(big_endian({control_.data(), 2}));
    if (!is_close_code(piece.close_code)) {
        return fail(Code::invalid, "a WebSocket close frame has the code {}", piece.close_code);
    }
    piece.payload.remove_prefix(2);
    return piece;
}

std::uint16_t close_code_of(const Error& error) {
    return error.code == Code::exhausted ? kWebSocketTooBig : kWebSocketProtocolError;
}

std::optional<std::string> WebSocketAssembler::add(const WebSocketPiece& piece) {
    SKIFF_ASSERT(piece.kind == WebSocketKind::text || piece.kind == WebSocketKind::binary);
    if (piece.first) {
        message_.clear();
    }
    message_ += piece.payload;
    if (!piece.last) {
        return std::nullopt;
    }
    return std::exchange(message_, {});
}

WebSocketEncoder::WebSocketEncoder(WebSocketRole role, Random* random)
    : role_(role), random_(random) {
    SKIFF_ASSERT(role != WebSocketRole::client || random != nullptr);
}

void WebSocketEncoder::append(std::string& out, WebSocketKind kind, std::string_view payload) {
    append_frame(out, static_cast<std::uint8_t>(kFinalBit | static_cast<std::uint8_t>(kind)),
                 payload);
}

void WebSocketEncoder::append_part(std::string& out, const WebSocketPiece& part) {
    SKIFF_ASSERT(part.kind == WebSocketKind::text || part.kind == WebSocketKind::binary);
    std::uint8_t opcode = part.first ? static_cast<std::uint8_t>(part.kind) : kContinuation;
    append_frame(out, static_cast<std::uint8_t>((part.last ? kFinalBit : 0) | opcode),
                 part.payload);
}

void WebSocketEncoder::append_close(std::string& out, std::uint16_t code, std::string_view reason) {
    SKIFF_ASSERT(is_close_code(code));
    std::string payload;
    append_big_endian(payload, code, 2);
    payload += bounded_utf8(reason, kWebSocketControlBytesMax - payload.size());
    append(out, WebSocketKind::close, payload);
}

void WebSocketEncoder::append_head(std::string& out, WebSocketKind kind,
                                   std::size_t payload_bytes) {
    SKIFF_ASSERT(role_ == WebSocketRole::server);
    append_header(out, static_cast<std::uint8_t>(kFinalBit | static_cast<std::uint8_t>(kind)),
                  payload_bytes);
}

void WebSocketEncoder::append_header(std::string& out, std::uint8_t first_byte,
                                     std::size_t payload_bytes) {
    SKIFF_ASSERT((first_byte & kControlBit) == 0 || payload_bytes <= kWebSocketControlBytesMax);
    const std::uint8_t mask_bit = role_ == WebSocketRole::client ? kMaskBit : 0;
    out += static_cast<char>(first_byte);
    if (payload_bytes < kLengthIn16Bits) {
        out += static_cast<char>(mask_bit | payload_bytes);
    } else if (payload_bytes <= 0xffff) {
        out += static_cast<char>(mask_bit | kLengthIn16Bits);
        append_big_endian(out, payload_bytes, 2);
    } else {
        out += static_cast<char>(mask_bit | kLengthIn64Bits);
        append_big_endian(out, payload_bytes, 8);
    }
}

void WebSocketEncoder::append_frame(std::string& out, std::uint8_t first_byte,
                                    std::string_view payload) {
    append_header(out, first_byte, payload.size());
    if (role_ != WebSocketRole::client) {
        out += payload;
        return;
    }
    std::array<char, kMaskBytes> mask{};
    random_->fill(std::as_writable_bytes(std::span(mask)));
    out.append(mask.data(), mask.size());
    const std::size_t begin = out.size();
    out += payload;
    for (std::size_t i = 0; i < payload.size(); ++i) {
        out[begin + i] = static_cast<char>(out[begin + i] ^ mask[i % kMaskBytes]);
    }
}

std::string websocket_accept(std::string_view key) {
    const std::string text = std::string(key) + std::string(kAcceptSuffix);
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int size = 0;
    int done = EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr);
    SKIFF_ASSERT(done == 1, "SHA-1");
    return base64_encode({reinterpret_cast<const char*>(digest.data()), size});
}

bool has_token(const Headers& headers, std::string_view field, std::string_view token) {
    for (const std::string& value : headers.find_all(field)) {
        for (std::string_view part : split(value, ',')) {
            if (equal_ignoring_case(trim(part), token)) {
                return true;
            }
        }
    }
    return false;
}

bool is_websocket_upgrade(const Headers& headers) {
    return has_token(headers, "Connection", "upgrade") &&
           has_token(headers, "Upgrade", "websocket");
}

Result<std::string> websocket_key(const Headers& headers) {
    if (headers.find("Sec-WebSocket-Version") != "13") {
        return fail(Code::invalid, "Sec-WebSocket-Version is not 13");
    }
    auto key = headers.find("Sec-WebSocket-Key");
    auto decoded = key ? base64_decode(*key) : std::nullopt;
    if (!decoded || decoded->size() != kKeyBytes) {
        return fail(Code::invalid, "Sec-WebSocket-Key is not 16 bytes in base64");
    }
    return std::move(*key);
}

std::vector<std::string> websocket_protocols(const Headers& headers) {
    return list_items(headers, "Sec-WebSocket-Protocol");
}

Headers websocket_answer(std::string_view key, std::string_view protocol) {
    Headers headers{{"Upgrade", "websocket"},
                    {"Connection", "Upgrade"},
                    {"Sec-WebSocket-Accept", websocket_accept(key)}};
    if (!protocol.empty()) {
        headers.set("Sec-WebSocket-Protocol", std::string(protocol));
    }
    return headers;
}

}  // namespace skiff::http
