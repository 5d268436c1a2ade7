// The channels of a remote command, whatever carries them: streams of SPDY, or messages of a
// WebSocket whose first byte says the channel. Reactor thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "async/task.h"
#include "base/result.h"
#include "http/inbox.h"
#include "http/spdy_connection.h"
#include "http/websocket_connection.h"
#include "server/remote_commands.h"

namespace skiff::server {

// The numbers are those of the WebSocket protocols.
enum class RemoteChannel : std::uint8_t { in = 0, out = 1, err = 2, error = 3, resize = 4 };
inline constexpr std::size_t kRemoteChannels = 5;

class RemoteChannels {
public:
    virtual ~RemoteChannels() = default;
    // What the caller sent, at least one byte; empty at the end, also of a channel that does not
    // exist. Fails with unavailable or cancelled.
    [[nodiscard]] virtual async::Task<Result<std::string>> take(RemoteChannel channel) = 0;
    // What the caller sends is dropped from now on.
    virtual void discard(RemoteChannel channel) = 0;
    // All of it. Fails with unavailable (the caller does not want it, or is gone) or cancelled.
    [[nodiscard]] virtual async::Task<Result<void>> write(RemoteChannel channel,
                                                          std::string_view bytes) = 0;
    // Nothing more comes on the channel.
    [[nodiscard]] virtual async::Task<Result<void>> finish(RemoteChannel channel) = 0;
};

// Over SPDY: one stream for each channel, named by its header `streamType`.
class SpdyChannels final : public RemoteChannels {
public:
    // The channels that a client opens.
    enum class Resize { no, yes };
    [[nodiscard]] static std::size_t count(const RemoteStreams& streams, Resize resize);

    // Accepts the `count` streams of a client, in any order, and answers them. Fails with timeout,
    // not_found (the client left), invalid (a type that is unknown or came twice), cancelled.
    [[nodiscard]] async::Task<Result<void>> collect(http::SpdyConnection& connection,
                                                    std::size_t count, SteadyTime deadline);

    async::Task<Result<std::string>> take(RemoteChannel channel) override;
    void discard(RemoteChannel channel) override;
    async::Task<Result<void>> write(RemoteChannel channel, std::string_view bytes) override;
    async::Task<Result<void>> finish(RemoteChannel channel) override;

private:
    [[nodiscard]] std::shared_ptr<http::SpdyStream>& of(RemoteChannel channel) {
        return streams_[static_cast<std::size_t>(channel)];
    }
    std::array<std::shared_ptr<http::SpdyStream>, kRemoteChannels> streams_;
};

// How bytes are in messages.
enum class ChannelCodec {
    binary,  // a byte with the channel, then the bytes
    base64,  // a digit, then base64 of the bytes, in a text message
};
// Whether a client may end a channel: a message with byte 255 and the channel's byte (v5).
enum class ChannelClosing { never, by_message };

// Numbered channels in one WebSocket.
class WebSocketChannels {
public:
    struct Format {
        ChannelCodec codec = ChannelCodec::binary;
        ChannelClosing closing = ChannelClosing::never;
        std::size_t channels = kRemoteChannels;
    };
    // `stream` outlives this.
    WebSocketChannels(http::ByteStream& stream, Format format);

    // Reads until the client leaves, breaks the protocol or is idle too long; then every channel is
    // broken off. Run once, beside the tasks that use the channels.
    [[nodiscard]] async::Task<void> run();
    // Set when run() has ended.
    [[nodiscard]] async::Event& ended() { return ended_; }

    // As those of RemoteChannels, for one channel below Format::channels.
    [[nodiscard]] async::Task<Result<std::string>> take(std::size_t channel) {
        return inboxes_[channel]->take();
    }
    void discard(std::size_t channel) { inboxes_[channel]->discard(); }
    [[nodiscard]] async::Task<Result<void>> write(std::size_t channel, std::string_view bytes);
    // Says goodbye, drops what still comes, and gives the client until `deadline` to do the same.
    [[nodiscard]] async::Task<void> finish(SteadyTime deadline);

private:
    [[nodiscard]] async::Task<Result<void>> read_all();
    [[nodiscard]] async::Task<Result<void>> take_piece(http::WebSocketPiece piece);
    // Looks at the first byte of a message.
    [[nodiscard]] Result<void> begin_message(char first);
    // Adds what a piece says to its channel.
    [[nodiscard]] Result<void> deliver(std::string_view bytes);
    [[nodiscard]] Result<void> end_message();

    Format format_;
    http::WebSocketConnection connection_;
    http::InboxBudget budget_;
    std::vector<std::unique_ptr<http::Inbox>> inboxes_;
    async::Event ended_;
    // Of the message in progress.
    bool begun_ = false;
    http::Inbox* to_ = nullptr;  // null: nobody reads this channel
    bool closes_ = false;        // the next byte is a channel to end
    std::string carry_;          // base64 that is not yet four characters
};

// A remote command's channels in a WebSocket.
class WebSocketRemoteChannels final : public RemoteChannels {
public:
    // `channels` outlives this.
    explicit WebSocketRemoteChannels(WebSocketChannels& channels) : channels_(channels) {}
    async::Task<Result<std::string>> take(RemoteChannel channel) override {
        return channels_.take(static_cast<std::size_t>(channel));
    }
    void discard(RemoteChannel channel) override {
        channels_.discard(static_cast<std::size_t>(channel));
    }
    async::Task<Result<void>> write(RemoteChannel channel, std::string_view bytes) override {
        return channels_.write(static_cast<std::size_t>(channel), bytes);
    }
    // The end of the connection is the end of all channels.
    async::Task<Result<void>> finish(RemoteChannel /*channel*/) override {
        co_return Result<void>{};
    }

private:
    WebSocketChannels& channels_;
};

}  // namespace skiff::server
