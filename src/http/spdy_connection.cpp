#include "http/spdy_connection.h"

#include <vector>

#include "async/with_scope.h"
#include "base/assert.h"
#include "base/log.h"

namespace skiff::http {

using async::Task;

SpdyStream::SpdyStream(SpdyConnection& connection, SpdyStreamId id, Headers headers)
    : connection_(connection), id_(id), headers_(std::move(headers)), inbox_(connection.budget_) {}

SpdyStream::~SpdyStream() {
    connection_.streams_.erase(id_);
}

Task<Result<void>> SpdyStream::accept() {
    SKIFF_CO_TRY(auto turn, co_await connection_.writer_.turn());
    std::string frame;
    const Headers nothing;
    connection_.encoder_.append_syn_reply(frame, id_, nothing);
    co_return co_await connection_.writer_.send(frame);
}

Task<Result<void>> SpdyStream::write(std::string_view bytes) {
    return send(bytes, SpdyFin::no);
}

Task<Result<void>> SpdyStream::finish() {
    if (finished_ || reset_) {
        co_return Result<void>{};
    }
    co_return co_await send("", SpdyFin::yes);
}

Task<Result<void>> SpdyStream::send(std::string_view bytes, SpdyFin fin) {
    SKIFF_CO_TRY(auto turn, co_await connection_.writer_.turn());
    if (finished_ || reset_) {
        co_return fail(Code::unavailable, "the stream has ended");
    }
    if (bytes.empty() && fin == SpdyFin::no) {
        co_return Result<void>{};
    }
    finished_ = fin == SpdyFin::yes;
    std::string frame;
    frame.reserve(8 + bytes.size());
    SpdyEncoder::append_data_header(frame, id_, bytes.size(), fin);
    frame += bytes;
    co_return co_await connection_.writer_.send(frame);
}

Task<Result<void>> SpdyStream::reset(SpdyReset why) {
    if (reset_ || (finished_ && peer_finished_)) {
        co_return Result<void>{};
    }
    reset_ = true;
    inbox_.break_off();
    std::string frame;
    SpdyEncoder::append_rst_stream(frame, id_, why);
    co_return co_await connection_.send(std::move(frame));
}

SpdyConnection::SpdyConnection(ByteStream& stream, std::size_t streams_max)
    : stream_(stream), streams_max_(streams_max), writer_(stream) {}

SpdyConnection::~SpdyConnection() {
    opened_.clear();
    SKIFF_ASSERT(streams_.empty(), "streams end before their connection");
}

Task<void> SpdyConnection::run() {
    co_await writer_.read_until_idle(read_all(), "SPDY connection ended");
    for (auto& [id, weak] : streams_) {
        if (auto stream = weak.lock()) {
            stream->reset_ = true;
            stream->inbox_.break_off();
        }
    }
    ended_.set();
    opened_event_.set();
}

Task<Result<void>> SpdyConnection::read_all() {
    std::vector<char> buffer(kReadBytes);
    while (true) {
        SKIFF_CO_TRY(std::size_t count, co_await stream_.read_some(buffer, async::kNoDeadline));
        if (count == 0) {
            co_return Result<void>{};
        }
        writer_.touch();
        std::string_view rest(buffer.data(), count);
        while (true) {
            SKIFF_CO_TRY(auto frame, decoder_.next(rest));
            if (!frame) {
                break;
            }
            SKIFF_CO_CHECK(co_await handle(std::move(*frame)));
        }
    }
}

std::shared_ptr<SpdyStream> SpdyConnection::find(SpdyStreamId id) const {
    auto found = streams_.find(id);
    return found == streams_.end() ? nullptr : found->second.lock();
}

Task<Result<void>> SpdyConnection::handle(SpdyFrame frame) {
    switch (frame.kind) {
        case SpdyFrame::Kind::data:
            return take_data(std::move(frame));
        case SpdyFrame::Kind::syn_stream:
            return open_stream(std::move(frame));
        case SpdyFrame::Kind::rst_stream:
            if (auto stream = find(frame.stream)) {
                stream->reset_ = true;
                stream->inbox_.break_off();
            }
            break;
        case SpdyFrame::Kind::headers:
            if (auto stream = find(frame.stream); stream && frame.fin) {
                stream->peer_finished_ = true;
                stream->inbox_.end();
            }
            break;
        case SpdyFrame::Kind::ping:
            // Even numbers are ours, come back.
            if (frame.value % 2 == 1) {
                std::string echo;
                SpdyEncoder::append_ping(echo, frame.value);
                return send(std::move(echo));
            }
            break;
        case SpdyFrame::Kind::syn_reply:
        case SpdyFrame::Kind::goaway:
            break;
    }
    return []() -> Task<Result<void>> { co_return Result<void>{}; }();
}

Task<Result<void>> SpdyConnection::take_data(SpdyFrame frame) {
    auto stream = find(frame.stream);
    // Of a stream that has ended here: its peer did not know yet.
    if (!stream || stream->peer_finished_) {
        co_return Result<void>{};
    }
    stream->inbox_.put(frame.data);
    if (frame.fin) {
        stream->peer_finished_ = true;
        stream->inbox_.end();
    }
    if (!stream->inbox_.is_full()) {
        co_return Result<void>{};
    }
    Inbox::Ping ask = [this] { return ping(); };
    co_return co_await stream->inbox_.wait_for_room(std::move(ask));
}

Task<Result<void>> SpdyConnection::open_stream(SpdyFrame frame) {
    if (frame.stream % 2 == 0 || frame.stream <= last_id_) {
        co_return fail(Code::invalid, "SPDY stream {} comes after {}", frame.stream, last_id_);
    }
    last_id_ = frame.stream;
    if (finishing_ || streams_.size() >= streams_max_) {
        std::string refusal;
        SpdyEncoder::append_rst_stream(refusal, frame.stream, SpdyReset::refused_stream);
        co_return co_await send(std::move(refusal));
    }
    auto stream = std::make_shared<SpdyStream>(*this, frame.stream, std::move(frame.fields));
    if (frame.fin) {
        stream->peer_finished_ = true;
        stream->inbox_.end();
    }
    streams_.emplace(frame.stream, stream);
    opened_.push_back(std::move(stream));
    opened_event_.set();
    co_return Result<void>{};
}

Task<Result<void>> SpdyConnection::send(std::string frame) {
    SKIFF_CO_TRY(auto turn, co_await writer_.turn());
    co_return co_await writer_.send(frame);
}

Task<Result<void>> SpdyConnection::ping() {
    last_ping_ += 2;
    std::string frame;
    SpdyEncoder::append_ping(frame, last_ping_);
    return send(std::move(frame));
}

Task<Result<std::shared_ptr<SpdyStream>>> SpdyConnection::next_stream(SteadyTime deadline) {
    while (opened_.empty()) {
        if (ended_.is_set()) {
            co_return fail(Code::not_found, "the connection has ended");
        }
        opened_event_.reset();
        SKIFF_CO_CHECK(co_await opened_event_.wait(deadline));
    }
    auto stream = std::move(opened_.front());
    opened_.pop_front();
    co_return stream;
}

Task<void> SpdyConnection::finish(SteadyTime deadline) {
    finishing_ = true;
    opened_.clear();
    for (auto& [id, weak] : streams_) {
        if (auto stream = weak.lock()) {
            stream->discard();
        }
    }
    std::string frame;
    SpdyEncoder::append_goaway(frame, last_id_);
    if (co_await send(std::move(frame))) {
        auto left = co_await ended_.wait(deadline);
    }
}

}  // namespace skiff::http
