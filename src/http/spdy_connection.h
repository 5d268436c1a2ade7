// The serving end of a SPDY/3.1 connection: the streams that a peer opens, over any ByteStream.
// Reactor thread only.
//
// Neither side sends credit. A stream whose consumer is behind stops the whole connection (see
// Inbox), so one connection holds under 1 MiB whatever its peer does.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "async/event.h"
#include "async/task.h"
#include "http/inbox.h"
#include "http/server.h"
#include "http/shared_writer.h"
#include "http/spdy_frames.h"

namespace skiff::http {

class SpdyConnection;

// A stream that the peer opened. Its connection outlives it. Forgotten (later frames of it are
// ignored) when it is destroyed.
class SpdyStream {
public:
    SpdyStream(SpdyConnection& connection, SpdyStreamId id, Headers headers);
    ~SpdyStream();
    SpdyStream(const SpdyStream&) = delete;
    SpdyStream& operator=(const SpdyStream&) = delete;

    [[nodiscard]] SpdyStreamId id() const { return id_; }
    // What it was opened with; names in lower case.
    [[nodiscard]] const Headers& headers() const { return headers_; }

    // SYN_REPLY: the peer waits for it before it uses the stream.
    [[nodiscard]] async::Task<Result<void>> accept();
    // What the peer sends: see Inbox::take().
    [[nodiscard]] async::Task<Result<std::string>> take() { return inbox_.take(); }
    // Whatever comes is dropped from now on.
    void discard() { inbox_.discard(); }
    // Sends all of `bytes`, at most kSpdyFrameBytesMax. Fails with unavailable after the peer reset
    // the stream, after finish(), or when the connection is dead.
    [[nodiscard]] async::Task<Result<void>> write(std::string_view bytes);
    // Nothing more is sent. May be repeated; after a reset it does nothing.
    [[nodiscard]] async::Task<Result<void>> finish();
    // Ends both directions at once. Nothing happens if the stream has ended.
    [[nodiscard]] async::Task<Result<void>> reset(SpdyReset why);

private:
    friend class SpdyConnection;
    [[nodiscard]] async::Task<Result<void>> send(std::string_view bytes, SpdyFin fin);

    SpdyConnection& connection_;
    SpdyStreamId id_;
    Headers headers_;
    Inbox inbox_;
    bool finished_ = false;       // by us
    bool peer_finished_ = false;  // FIN came
    bool reset_ = false;          // by either
};

class SpdyConnection {
public:
    // At most `streams_max` streams at once; further ones are refused. `stream` outlives this.
    SpdyConnection(ByteStream& stream, std::size_t streams_max);
    // After run() has ended and every stream is gone.
    ~SpdyConnection();
    SpdyConnection(const SpdyConnection&) = delete;
    SpdyConnection& operator=(const SpdyConnection&) = delete;

    // Reads until the peer leaves, breaks the protocol or is idle too long; then every stream is
    // broken off and next_stream() ends. Run once, beside the tasks that use the streams.
    [[nodiscard]] async::Task<void> run();
    // Set when run() has ended.
    [[nodiscard]] async::Event& ended() { return ended_; }

    // The next stream that the peer opened, in order; the caller accepts or resets it. Fails with
    // timeout, cancelled, or not_found when no more can come.
    [[nodiscard]] async::Task<Result<std::shared_ptr<SpdyStream>>> next_stream(SteadyTime deadline);

    // Says that no more streams are served, drops what still comes, and gives the peer until
    // `deadline` to hang up, so that nothing which it has not read yet is lost.
    [[nodiscard]] async::Task<void> finish(SteadyTime deadline);

private:
    friend class SpdyStream;
    [[nodiscard]] async::Task<Result<void>> read_all();
    [[nodiscard]] async::Task<Result<void>> handle(SpdyFrame frame);
    [[nodiscard]] async::Task<Result<void>> take_data(SpdyFrame frame);
    [[nodiscard]] async::Task<Result<void>> open_stream(SpdyFrame frame);
    [[nodiscard]] async::Task<Result<void>> send(std::string frame);
    [[nodiscard]] async::Task<Result<void>> ping();
    [[nodiscard]] std::shared_ptr<SpdyStream> find(SpdyStreamId id) const;

    static constexpr std::size_t kReadBytes = 32U << 10;

    ByteStream& stream_;
    std::size_t streams_max_;
    SharedWriter writer_;
    SpdyDecoder decoder_;
    SpdyEncoder encoder_;
    InboxBudget budget_;
    std::map<SpdyStreamId, std::weak_ptr<SpdyStream>> streams_;
    std::deque<std::shared_ptr<SpdyStream>> opened_;
    async::Event opened_event_;
    SpdyStreamId last_id_ = 0;
    std::uint32_t last_ping_ = 0;
    bool finishing_ = false;
    async::Event ended_;
};

}  // namespace skiff::http
