#include "http/websocket_client.h"

#include "base/text.h"
#include "http/status.h"

namespace skiff::http {

namespace {

constexpr std::size_t kHeadBytesMax = 16U << 10;
constexpr std::size_t kReadBytes = 32U << 10;
constexpr Duration kAnswerTimeout = std::chrono::seconds(10);

Result<std::string> format_handshake(const Request& request, std::string_view key) {
    SKIFF_TRY(Url url, parse_url(request.url));
    std::string text = fmt::format(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n",
        url.target(), url.authority(), key);
    for (const auto& [name, value] : request.headers) {
        if ((name + value).find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos) {
            return fail(Code::invalid, "header field {:?} contains a line break",
                        bounded_utf8(name, 64));
        }
        text += fmt::format("{}: {}\r\n", name, value);
    }
    return text + "\r\n";
}

// Up to the empty line; what came after it stays in `early`.
async::Task<Result<std::string>> read_head(ByteStream& stream, std::string& early) {
    const auto deadline = after(kAnswerTimeout);
    std::string bytes(kReadBytes, '\0');
    while (true) {
        const auto end = early.find("\r\n\r\n");
        if (end != std::string::npos) {
            std::string head = early.substr(0, end + 4);
            early.erase(0, end + 4);
            co_return head;
        }
        if (early.size() > kHeadBytesMax) {
            co_return fail(Code::exhausted, "the head of the answer is too long");
        }
        SKIFF_CO_TRY(auto count, co_await stream.read_some(bytes, deadline));
        if (count == 0) {
            co_return fail(Code::unavailable, "the server closed the connection");
        }
        early.append(bytes, 0, count);
    }
}

}  // namespace

Result<void> check_websocket_answer(std::string_view head, std::string_view key) {
    auto lines = split(head, '\n');
    const auto words = split(trim(lines.front()), ' ');
    const auto status = words.size() < 2 ? std::nullopt : parse_uint(words[1]);
    if (!words.front().starts_with("HTTP/1.") || !status || *status < 100 || *status > 999) {
        return fail(Code::invalid, "the answer is not HTTP/1.1");
    }
    if (*status != 101) {
        return fail(code_of_status(static_cast<int>(*status)).value_or(Code::unsupported),
                    "the server answered {}", *status);
    }
    Headers headers;
    for (std::size_t i = 1; i < lines.size(); ++i) {
        const auto colon = lines[i].find(':');
        if (colon != std::string_view::npos) {
            headers.add(std::string(trim(lines[i].substr(0, colon))),
                        std::string(trim(lines[i].substr(colon + 1))));
        }
    }
    if (!has_token(headers, "Upgrade", "websocket") ||
        !has_token(headers, "Connection", "upgrade")) {
        return fail(Code::invalid, "the server switches to something else than WebSocket");
    }
    if (headers.find("Sec-WebSocket-Accept") != websocket_accept(key)) {
        return fail(Code::invalid, "Sec-WebSocket-Accept is not that of our key");
    }
    if (headers.contains("Sec-WebSocket-Extensions") ||
        headers.contains("Sec-WebSocket-Protocol")) {
        return fail(Code::invalid, "the server chose an extension or protocol that nobody offered");
    }
    return {};
}

WebSocketClient::WebSocketClient(std::unique_ptr<ByteStream> stream, std::string early,
                                 Random& random, std::uint64_t message_bytes_max)
    : stream_(std::move(stream)),
      decoder_(WebSocketRole::client, message_bytes_max),
      encoder_(WebSocketRole::client, &random),
      buffer_(std::move(early)) {
    const std::size_t given = buffer_.size();
    buffer_.resize(std::max(given, kReadBytes));
    unread_ = std::span(buffer_).first(given);
}

async::Task<Result<std::unique_ptr<WebSocketClient>>> WebSocketClient::open(
    Request request, Random& random, std::uint64_t message_bytes_max) {
    std::array<std::byte, 16> drawn{};
    random.fill(drawn);
    const std::string key =
        base64_encode({reinterpret_cast<const char*>(drawn.data()), drawn.size()});
    SKIFF_CO_TRY(auto handshake, format_handshake(request, key));
    const auto deadline = after(request.timeouts.connect + kAnswerTimeout);
    SKIFF_CO_TRY(auto stream, co_await dial(std::move(request)));
    SKIFF_CO_CHECK(co_await stream->write_all(handshake, deadline));
    std::string early;
    SKIFF_CO_TRY(auto head, co_await read_head(*stream, early));
    SKIFF_CO_CHECK(check_websocket_answer(head, key));
    co_return std::make_unique<WebSocketClient>(std::move(stream), std::move(early), random,
                                                message_bytes_max);
}

async::Task<Result<WebSocketMessage>> WebSocketClient::receive(SteadyTime deadline) {
    while (true) {
        SKIFF_CO_TRY(auto piece, decoder_.next(unread_));
        if (!piece) {
            SKIFF_CO_TRY(auto count, co_await stream_->read_some(buffer_, deadline));
            if (count == 0) {
                co_return fail(Code::unavailable, "the server closed the connection");
            }
            unread_ = std::span(buffer_).first(count);
            continue;
        }
        WebSocketMessage message;
        message.kind = piece->kind;
        if (piece->kind == WebSocketKind::text || piece->kind == WebSocketKind::binary) {
            auto whole = assembler_.add(*piece);
            if (!whole) {
                continue;
            }
            message.payload = std::move(*whole);
        } else {
            message.payload = piece->payload;
            message.close_code = piece->close_code;
        }
        co_return message;
    }
}

}  // namespace skiff::http
