#include "http/websocket_frames.h"

#include <optional>

#include "base/fuzz.h"

namespace skiff::http {

namespace {

constexpr std::uint64_t kMessageBytesMax = 512;

// Everything that the decoder says of `bytes`, given in steps of `step`; the pieces of a message
// joined, because where they are cut depends on the steps.
std::string transcript(WebSocketRole role, std::string bytes, std::size_t step) {
    WebSocketDecoder decoder(role, kMessageBytesMax);
    std::string said;
    bool in_message = false;
    std::size_t message_bytes = 0;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
        auto part = std::span(bytes).subspan(at, std::min(step, bytes.size() - at));
        while (true) {
            auto piece = decoder.next(part);
            if (!piece) {
                fuzz::check_error(piece.error());
                return said + "!" + std::to_string(close_code_of(piece.error()));
            }
            if (!*piece) {
                SKIFF_ASSERT(part.empty());
                break;
            }
            const WebSocketPiece& it = **piece;
            const bool is_data = it.kind == WebSocketKind::text || it.kind == WebSocketKind::binary;
            if (!is_data) {
                SKIFF_ASSERT(it.first && it.last);
                SKIFF_ASSERT(it.payload.size() <= kWebSocketControlBytesMax);
                said += "<" + std::to_string(static_cast<int>(it.kind)) + ":" +
                        std::to_string(it.close_code) + ">";
                continue;
            }
            SKIFF_ASSERT(it.first != in_message);
            message_bytes = it.first ? it.payload.size() : message_bytes + it.payload.size();
            SKIFF_ASSERT(message_bytes <= kMessageBytesMax);
            in_message = !it.last;
            said += it.first ? "[" : "";
            said += it.payload;
            said += it.last ? "]" : "";
        }
    }
    return said;
}

}  // namespace

// The input: which end we are, how the bytes are cut, the bytes.
SKIFF_FUZZ(http_websocket_frames) {
    fuzz::Input input(bytes);
    const auto role = input.byte() % 2 == 0 ? WebSocketRole::server : WebSocketRole::client;
    const std::size_t step = input.byte() + std::size_t{1};
    const std::string rest(input.rest());
    const std::string said = transcript(role, rest, step);
    const std::string at_once = transcript(role, rest, rest.size() + 1);
    // Pings between the pieces of a message may stand elsewhere, but nothing else differs.
    SKIFF_ASSERT(said.size() == at_once.size(), said);
    // What we write, the other end reads.
    const auto other =
        role == WebSocketRole::server ? WebSocketRole::client : WebSocketRole::server;
    SeededRandom random(step);
    WebSocketEncoder encoder(other, &random);
    const std::string payload = rest.substr(0, kMessageBytesMax);
    std::string frame;
    encoder.append(frame, WebSocketKind::binary, payload);
    SKIFF_ASSERT(transcript(role, frame, step) == "[" + payload + "]");
}

}  // namespace skiff::http
