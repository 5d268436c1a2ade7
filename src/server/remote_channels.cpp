#include "server/remote_channels.h"

#include <algorithm>

#include "async/with_scope.h"
#include "base/log.h"
#include "base/text.h"

namespace skiff::server {

using async::Task;

namespace {

constexpr std::string_view kStreamTypes[kRemoteChannels] = {"stdin", "stdout", "stderr", "error",
                                                            "resize"};
constexpr unsigned char kCloseChannel = 255;

Task<Result<void>> nothing() {
    co_return Result<void>{};
}

}  // namespace

std::size_t SpdyChannels::count(const RemoteStreams& streams, Resize resize) {
    std::size_t count = 1;
    for (bool wanted : {streams.with_stdin, streams.with_stdout, streams.with_stderr,
                        streams.tty && resize == Resize::yes}) {
        count += wanted ? 1 : 0;
    }
    return count;
}

Task<Result<void>> SpdyChannels::collect(http::SpdyConnection& connection, std::size_t count,
                                         SteadyTime deadline) {
    for (std::size_t i = 0; i < count; ++i) {
        SKIFF_CO_TRY(auto stream, co_await connection.next_stream(deadline));
        const std::string type = stream->headers().find("streamType").value_or("");
        const auto* known = std::ranges::find(kStreamTypes, type);
        const auto index = static_cast<std::size_t>(known - std::begin(kStreamTypes));
        if (index == kRemoteChannels || streams_[index]) {
            SKIFF_CO_CHECK(co_await stream->reset(http::SpdyReset::protocol_error));
            co_return fail(Code::invalid, "a stream of type \"{}\" was not expected",
                           bounded_utf8(type, 64));
        }
        SKIFF_CO_CHECK(co_await stream->accept());
        streams_[index] = std::move(stream);
    }
    co_return Result<void>{};
}

Task<Result<std::string>> SpdyChannels::take(RemoteChannel channel) {
    auto stream = of(channel);
    if (!stream) {
        co_return std::string();
    }
    co_return co_await stream->take();
}

void SpdyChannels::discard(RemoteChannel channel) {
    if (auto& stream = of(channel)) {
        stream->discard();
    }
}

Task<Result<void>> SpdyChannels::write(RemoteChannel channel, std::string_view bytes) {
    auto& stream = of(channel);
    return stream ? stream->write(bytes) : nothing();
}

Task<Result<void>> SpdyChannels::finish(RemoteChannel channel) {
    auto& stream = of(channel);
    return stream ? stream->finish() : nothing();
}

WebSocketChannels::WebSocketChannels(http::ByteStream& stream, Format format)
    : format_(format), connection_(stream) {
    for (std::size_t i = 0; i < format_.channels; ++i) {
        inboxes_.push_back(std::make_unique<http::Inbox>(budget_));
    }
}

Task<void> WebSocketChannels::run() {
    co_await connection_.read_until_idle(read_all(), "WebSocket ended");
    for (auto& inbox : inboxes_) {
        inbox->break_off();
    }
    ended_.set();
}

Task<Result<void>> WebSocketChannels::read_all() {
    while (true) {
        SKIFF_CO_TRY(auto piece, co_await connection_.read());
        if (!piece) {
            co_return Result<void>{};
        }
        auto taken = co_await take_piece(*piece);
        if (!taken) {
            auto told =
                co_await connection_.close(http::kWebSocketProtocolError, taken.error().message);
            co_return taken;
        }
    }
}

Task<Result<void>> WebSocketChannels::take_piece(http::WebSocketPiece piece) {
    std::string_view bytes = piece.payload;
    if (!begun_ && !bytes.empty()) {
        SKIFF_CO_CHECK(begin_message(bytes.front()));
        bytes.remove_prefix(1);
    }
    SKIFF_CO_CHECK(deliver(bytes));
    http::Inbox* to = to_;
    if (piece.last) {
        SKIFF_CO_CHECK(end_message());
    }
    if (to != nullptr && to->is_full()) {
        http::Inbox::Ping ask = [this] { return connection_.ping(); };
        co_return co_await to->wait_for_room(std::move(ask));
    }
    co_return Result<void>{};
}

Result<void> WebSocketChannels::begin_message(char first) {
    begun_ = true;
    auto channel = static_cast<std::size_t>(static_cast<unsigned char>(first));
    if (channel == kCloseChannel && format_.closing == ChannelClosing::by_message) {
        closes_ = true;
        return {};
    }
    if (format_.codec == ChannelCodec::base64) {
        channel -= '0';
    }
    if (channel >= inboxes_.size()) {
        return fail(Code::invalid, "a message is for channel {} of {}", channel, inboxes_.size());
    }
    to_ = inboxes_[channel].get();
    return {};
}

Result<void> WebSocketChannels::deliver(std::string_view bytes) {
    if (closes_) {
        for (char c : bytes) {
            auto channel = static_cast<std::size_t>(static_cast<unsigned char>(c));
            if (channel < inboxes_.size()) {
                inboxes_[channel]->end();
            }
        }
        return {};
    }
    if (to_ == nullptr) {
        return {};
    }
    if (format_.codec == ChannelCodec::binary) {
        to_->put(bytes);
        return {};
    }
    carry_ += bytes;
    const std::size_t whole = carry_.size() / 4 * 4;
    auto decoded = base64_decode(std::string_view(carry_).substr(0, whole));
    if (!decoded) {
        return fail(Code::invalid, "a message is not base64");
    }
    carry_.erase(0, whole);
    to_->put(*decoded);
    return {};
}

Result<void> WebSocketChannels::end_message() {
    // What is left is base64 without its padding.
    if (to_ != nullptr && !carry_.empty()) {
        auto decoded = base64_decode(carry_);
        if (!decoded) {
            return fail(Code::invalid, "a message is not base64");
        }
        to_->put(*decoded);
        carry_.clear();
    }
    begun_ = false;
    closes_ = false;
    to_ = nullptr;
    return {};
}

Task<Result<void>> WebSocketChannels::write(std::size_t channel, std::string_view bytes) {
    const bool is_binary = format_.codec == ChannelCodec::binary;
    const char number = static_cast<char>(is_binary ? channel : '0' + channel);
    const std::string_view prefix(&number, 1);
    if (is_binary) {
        co_return co_await connection_.write(http::WebSocketKind::binary, prefix, bytes);
    }
    const std::string message = base64_encode(bytes);
    co_return co_await connection_.write(http::WebSocketKind::text, prefix, message);
}

Task<void> WebSocketChannels::finish(SteadyTime deadline) {
    for (auto& inbox : inboxes_) {
        inbox->discard();
    }
    if (co_await connection_.close(http::kWebSocketNormal, "")) {
        auto left = co_await ended_.wait(deadline);
    }
}

}  // namespace skiff::server
