#include "http/websocket_frames.h"

#include <gtest/gtest.h>

namespace skiff::http {
namespace {

constexpr std::uint64_t kMax = 1000;

struct Message {
    WebSocketKind kind;
    std::string payload;
    std::uint16_t close_code;
    friend bool operator==(const Message&, const Message&) = default;
};

// Feeds `bytes` in steps of `step`, gathering whole messages.
Result<std::vector<Message>> decode(WebSocketDecoder& decoder, std::string bytes,
                                    std::size_t step) {
    std::vector<Message> messages;
    WebSocketAssembler assembler;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
        std::span<char> part = std::span(bytes).subspan(at, std::min(step, bytes.size() - at));
        while (true) {
            SKIFF_TRY(auto piece, decoder.next(part));
            if (!piece) {
                break;
            }
            if (piece->kind == WebSocketKind::text || piece->kind == WebSocketKind::binary) {
                if (auto whole = assembler.add(*piece)) {
                    messages.push_back({piece->kind, std::move(*whole), piece->close_code});
                }
            } else {
                messages.push_back({piece->kind, std::string(piece->payload), piece->close_code});
            }
        }
        EXPECT_TRUE(part.empty());
    }
    return messages;
}

Result<std::vector<Message>> decode_as_server(std::string bytes) {
    WebSocketDecoder decoder(WebSocketRole::server, kMax);
    return decode(decoder, std::move(bytes), 1);
}

// What a client sends: byte 0, then the length with the mask bit, then a mask of zeros.
std::string masked(unsigned char first, std::string_view payload) {
    std::string frame;
    frame += static_cast<char>(first);
    frame += static_cast<char>(0x80 | payload.size());
    frame.append(4, '\0');
    return frame + std::string(payload);
}

void expect_refused(std::string bytes, std::uint16_t close_code) {
    auto decoded = decode_as_server(std::move(bytes));
    ASSERT_FALSE(decoded);
    EXPECT_EQ(close_code_of(decoded.error()), close_code) << decoded.error().message;
}

TEST(WebSocketFrames, DecodeTheExamplesOfTheRfc) {
    // RFC 6455 §5.7: a single masked text frame, "Hello".
    auto text = decode_as_server("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    ASSERT_TRUE(text);
    EXPECT_EQ(*text, (std::vector<Message>{{WebSocketKind::text, "Hello", kWebSocketNoCode}}));

    // The same unmasked in two fragments, with a ping between them, as a client sees it.
    std::string fragmented("\x01\x03Hel", 5);
    fragmented += std::string("\x89\x05Hello", 7) + std::string("\x80\x02lo", 4);
    WebSocketDecoder client(WebSocketRole::client, kMax);
    auto messages = decode(client, fragmented, 1);
    ASSERT_TRUE(messages);
    EXPECT_EQ(*messages, (std::vector<Message>{{WebSocketKind::ping, "Hello", kWebSocketNoCode},
                                               {WebSocketKind::text, "Hello", kWebSocketNoCode}}));
}

TEST(WebSocketFrames, EachEndReadsWhatTheOtherWrites) {
    for (auto [writer, reader] : {std::pair(WebSocketRole::client, WebSocketRole::server),
                                  std::pair(WebSocketRole::server, WebSocketRole::client)}) {
        SeededRandom random(7);
        WebSocketEncoder encoder(writer, &random);
        std::string bytes;
        std::vector<Message> expected;
        for (std::size_t size : {0, 1, 125, 126, 300, 65535, 65536, 70000}) {
            expected.push_back({WebSocketKind::binary, std::string(size, 'x'), kWebSocketNoCode});
            encoder.append(bytes, WebSocketKind::binary, expected.back().payload);
        }
        encoder.append_part(bytes, {WebSocketKind::text, "one ", true, false});
        encoder.append_part(bytes, {WebSocketKind::text, "", false, false});
        encoder.append(bytes, WebSocketKind::pong, "between");
        encoder.append_part(bytes, {WebSocketKind::text, "message", false, true});
        encoder.append_close(bytes, kWebSocketGoingAway, "done");
        expected.push_back({WebSocketKind::pong, "between", kWebSocketNoCode});
        expected.push_back({WebSocketKind::text, "one message", kWebSocketNoCode});
        expected.push_back({WebSocketKind::close, "done", kWebSocketGoingAway});
        for (std::size_t step : {std::size_t{1}, std::size_t{1000}, bytes.size()}) {
            WebSocketDecoder decoder(reader, 70000);
            auto messages = decode(decoder, bytes, step);
            ASSERT_TRUE(messages) << messages.error().message;
            EXPECT_EQ(*messages, expected);
        }
    }
}

TEST(WebSocketFrames, AMessageLargerThanTheBufferComesInPieces) {
    WebSocketDecoder decoder(WebSocketRole::server, kMax);
    std::string bytes = masked(0x82, std::string(100, 'a'));
    std::span<char> all(bytes);
    std::span<char> begin = all.first(50);
    auto first = decoder.next(begin);
    ASSERT_TRUE(first && *first);
    EXPECT_EQ((*first)->payload.size(), 44U);
    EXPECT_TRUE((*first)->first && !(*first)->last);
    std::span<char> end = all.subspan(50);
    auto second = decoder.next(end);
    ASSERT_TRUE(second && *second);
    EXPECT_EQ((*second)->payload.size(), 56U);
    EXPECT_TRUE(!(*second)->first && (*second)->last);
}

TEST(WebSocketFrames, RefuseWhatBreaksTheProtocol) {
    expect_refused(std::string("\x81\x05Hello", 7), kWebSocketProtocolError);  // not masked
    expect_refused(masked(0xc1, "a"), kWebSocketProtocolError);                // reserved bit
    expect_refused(masked(0x83, "a"), kWebSocketProtocolError);  // unknown data opcode
    expect_refused(masked(0x8b, "a"), kWebSocketProtocolError);  // unknown control opcode
    expect_refused(masked(0x09, "a"), kWebSocketProtocolError);  // fragmented ping
    expect_refused(masked(0x80, "a"), kWebSocketProtocolError);  // continues nothing
    expect_refused(masked(0x01, "a") + masked(0x81, "b"), kWebSocketProtocolError);
    expect_refused(masked(0x88, "x"), kWebSocketProtocolError);         // half a close code
    expect_refused(masked(0x88, "\x03\xed"), kWebSocketProtocolError);  // 1005
    expect_refused(std::string("\x89\xfe\x00\x7e\0\0\0\0", 8), kWebSocketProtocolError);
    // A server's frames to a client are not masked.
    WebSocketDecoder client(WebSocketRole::client, kMax);
    EXPECT_FALSE(decode(client, masked(0x81, "a"), 1));
}

TEST(WebSocketFrames, RefuseAnnouncedLengthsBeforeTheirBytesCome) {
    const std::string mask(4, '\0');
    expect_refused("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" + mask, kWebSocketProtocolError);
    expect_refused("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" + mask, kWebSocketTooBig);
    expect_refused(std::string("\x82\xfe\x03\xe9", 4) + mask, kWebSocketTooBig);
    // Fragments add up, and the sum of lengths cannot overflow.
    expect_refused(masked(0x02, std::string(100, 'a')) + std::string("\x80\xfe\x03\x85", 4) + mask,
                   kWebSocketTooBig);
    expect_refused(
        masked(0x02, std::string(100, 'a')) + "\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff" + mask,
        kWebSocketTooBig);
}

TEST(WebSocketHandshake, AnswersTheExampleOfTheRfc) {
    Headers request{{"Connection", "keep-alive, Upgrade"},
                    {"Upgrade", "WebSocket"},
                    {"Sec-WebSocket-Version", "13"},
                    {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
                    {"Sec-WebSocket-Protocol", "chat, superchat"},
                    {"Sec-WebSocket-Protocol", "third"}};
    EXPECT_TRUE(is_websocket_upgrade(request));
    auto key = websocket_key(request);
    ASSERT_TRUE(key);
    EXPECT_EQ(websocket_protocols(request),
              (std::vector<std::string>{"chat", "superchat", "third"}));
    Headers answer = websocket_answer(*key, "superchat");
    EXPECT_EQ(answer.find("Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    EXPECT_EQ(answer.find("Sec-WebSocket-Protocol"), "superchat");
    EXPECT_FALSE(websocket_answer(*key, "").contains("Sec-WebSocket-Protocol"));
}

TEST(WebSocketHandshake, RefusesOtherVersionsAndKeys) {
    Headers request{{"Upgrade", "websocket"}, {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}};
    EXPECT_FALSE(is_websocket_upgrade(request));  // no Connection: Upgrade
    EXPECT_FALSE(websocket_key(request));         // no version
    request.set("Sec-WebSocket-Version", "8");
    EXPECT_FALSE(websocket_key(request));
    request.set("Sec-WebSocket-Version", "13");
    EXPECT_TRUE(websocket_key(request));
    request.set("Sec-WebSocket-Key", "c2hvcnQ=");
    EXPECT_FALSE(websocket_key(request));
    request.remove("Sec-WebSocket-Key");
    EXPECT_FALSE(websocket_key(request));
    request.set("Sec-WebSocket-Protocol", std::string(200, ','));
    EXPECT_TRUE(websocket_protocols(request).empty());
    for (int i = 0; i < 40; ++i) {
        request.add("Sec-WebSocket-Protocol", "p");
    }
    EXPECT_EQ(websocket_protocols(request).size(), 32U);
}

}  // namespace
}  // namespace skiff::http
