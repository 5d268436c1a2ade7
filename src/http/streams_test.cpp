// SPDY and WebSocket connections over a pair of sockets.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>

#include "async/with_scope.h"
#include "http/fd_stream.h"
#include "http/spdy_connection.h"
#include "http/websocket_connection.h"

namespace skiff::http {
namespace {

using async::Task;

SteadyTime soon() {
    return after(std::chrono::seconds(20));
}

// Two ends of a connection on one reactor; the tests speak by hand on `peer`.
class StreamsTest : public ::testing::Test {
protected:
    StreamsTest() {
        ::signal(SIGPIPE, SIG_IGN);
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds_), 0);
        ours.emplace(fds_[0]);
        peer.emplace(fds_[1]);
    }
    ~StreamsTest() override {
        ::close(fds_[0]);
        hang_up();
    }
    void hang_up() {
        if (fds_[1] >= 0) {
            ::close(std::exchange(fds_[1], -1));
        }
    }
    // Runs `body` beside whatever it spawns.
    void run(std::function<Task<void>(async::Scope&)> body) {
        async::run_to_end(reactor_, async::with_scope(std::move(body)));
    }
    Task<void> send(std::string bytes) {
        auto sent = co_await peer->write_all(bytes, soon());
        EXPECT_TRUE(sent);
    }
    // The next frame that the peer gets, with a copy of its data in `data`.
    Task<SpdyFrame> next_frame(std::string& data) {
        while (true) {
            auto frame = decoder_.next(rest_);
            EXPECT_TRUE(frame);
            if (frame && *frame) {
                data = (*frame)->data;
                co_return **frame;
            }
            auto count = co_await peer->read_some(buffer_, soon());
            if (!count || *count == 0) {
                ADD_FAILURE() << "no frame came";
                co_return SpdyFrame{};
            }
            rest_ = std::string_view(buffer_.data(), *count);
        }
    }

    async::Reactor reactor_;
    std::optional<FdStream> ours;
    std::optional<FdStream> peer;
    SpdyEncoder encoder;

private:
    int fds_[2] = {-1, -1};
    SpdyDecoder decoder_;
    std::vector<char> buffer_ = std::vector<char>(65536);
    std::string_view rest_;
};

std::string open_frame(SpdyEncoder& encoder, SpdyStreamId id) {
    std::string frame;
    const Headers headers{{"streamtype", "data"}};
    encoder.append_syn_stream(frame, id, headers);
    return frame;
}

std::string data_frame(SpdyStreamId id, std::string_view bytes, SpdyFin fin = SpdyFin::no) {
    std::string frame;
    SpdyEncoder::append_data_header(frame, id, bytes.size(), fin);
    return frame.append(bytes);
}

TEST_F(StreamsTest, SpdyStreamsCarryBothDirections) {
    auto body = [this](async::Scope& scope) -> Task<void> {
        SpdyConnection connection(*ours, 4);
        scope.spawn("connection", connection.run());
        co_await send(open_frame(encoder, 1) + data_frame(1, "hel") +
                      data_frame(1, "lo", SpdyFin::yes));
        auto stream = co_await connection.next_stream(soon());
        EXPECT_TRUE(stream);
        EXPECT_EQ((*stream)->headers().find("streamType"), "data");
        EXPECT_TRUE(co_await (*stream)->accept());
        std::string got;
        while (true) {
            auto part = co_await (*stream)->take();
            if (!part || part->empty()) {
                break;
            }
            got += *part;
        }
        EXPECT_EQ(got, "hello");
        EXPECT_TRUE(co_await (*stream)->write("world"));
        EXPECT_TRUE(co_await (*stream)->finish());
        EXPECT_TRUE(co_await (*stream)->finish());
        EXPECT_FALSE(co_await (*stream)->write("more"));

        std::string data;
        SpdyFrame frame = co_await next_frame(data);
        EXPECT_EQ(frame.kind, SpdyFrame::Kind::syn_reply);
        frame = co_await next_frame(data);
        EXPECT_EQ(data, "world");
        frame = co_await next_frame(data);
        EXPECT_TRUE(frame.fin && data.empty());
        stream->reset();
        hang_up();
        EXPECT_TRUE(co_await connection.ended().wait(soon()));
    };
    run(body);
}

TEST_F(StreamsTest, SpdyAnswersPingsAndRefusesTooManyStreams) {
    auto body = [this](async::Scope& scope) -> Task<void> {
        SpdyConnection connection(*ours, 1);
        scope.spawn("connection", connection.run());
        std::string ping;
        SpdyEncoder::append_ping(ping, 7);
        SpdyEncoder::append_ping(ping, 8);  // would be an answer to one of ours
        co_await send(ping + open_frame(encoder, 1) + open_frame(encoder, 3));
        std::string data;
        SpdyFrame frame = co_await next_frame(data);
        EXPECT_EQ(frame.kind, SpdyFrame::Kind::ping);
        EXPECT_EQ(frame.value, 7U);
        frame = co_await next_frame(data);
        EXPECT_EQ(frame.kind, SpdyFrame::Kind::rst_stream);
        EXPECT_EQ(frame.stream, 3U);
        EXPECT_EQ(frame.value, static_cast<std::uint32_t>(SpdyReset::refused_stream));
        // Data of the refused stream were on their way already.
        co_await send(data_frame(3, "late"));
        auto stream = co_await connection.next_stream(soon());
        EXPECT_TRUE(stream && (*stream)->id() == 1);
        // A number that was used already ends the connection, and what waits on it.
        co_await send(open_frame(encoder, 1));
        auto taken = co_await (*stream)->take();
        EXPECT_FALSE(taken);
        EXPECT_EQ(taken.error().code, Code::unavailable);
        EXPECT_FALSE(co_await connection.next_stream(soon()));
    };
    run(body);
}

TEST_F(StreamsTest, SpdyReadsNoMoreThanItsConsumersTake) {
    auto body = [this](async::Scope& scope) -> Task<void> {
        SpdyConnection connection(*ours, 4);
        scope.spawn("connection", connection.run());
        const std::string piece(60'000, 'x');
        std::string all = open_frame(encoder, 1);
        for (int i = 0; i < 100; ++i) {
            all += data_frame(1, piece);
        }
        all += data_frame(1, "", SpdyFin::yes);
        scope.spawn("peer", send(std::move(all)));
        auto stream = co_await connection.next_stream(soon());
        EXPECT_TRUE(stream);
        std::size_t got = 0;
        std::size_t most = 0;
        while (true) {
            for (int i = 0; i < 20; ++i) {
                co_await async::yield_now();
            }
            auto part = co_await (*stream)->take();
            EXPECT_TRUE(part);
            if (!part || part->empty()) {
                break;
            }
            got += part->size();
            most = std::max(most, part->size());
        }
        EXPECT_EQ(got, 100 * piece.size());
        EXPECT_LE(most, kInboxBytesMax + (32U << 10));
        EXPECT_GT(most, kInboxBytesMax / 2);
        stream->reset();
        hang_up();
        EXPECT_TRUE(co_await connection.ended().wait(soon()));
    };
    run(body);
}

TEST_F(StreamsTest, SpdyNoticesAPeerThatLeftWhileAConsumerIsBehind) {
    auto body = [this](async::Scope& scope) -> Task<void> {
        SpdyConnection connection(*ours, 4);
        scope.spawn("connection", connection.run());
        co_await send(open_frame(encoder, 1) + data_frame(1, std::string(100'000, 'x')));
        auto stream = co_await connection.next_stream(soon());
        EXPECT_TRUE(stream);
        hang_up();
        // Nobody takes: only a ping can find out.
        EXPECT_TRUE(co_await connection.ended().wait(soon()));
        stream->reset();
    };
    run(body);
}

TEST_F(StreamsTest, SpdyFinishWaitsForThePeerToHangUp) {
    auto body = [this](async::Scope& scope) -> Task<void> {
        SpdyConnection connection(*ours, 4);
        scope.spawn("connection", connection.run());
        co_await send(open_frame(encoder, 1) + data_frame(1, std::string(200'000, 'x')));
        auto stream = co_await connection.next_stream(soon());
        EXPECT_TRUE(stream);
        auto finished = [](SpdyConnection* its, async::Event* done) -> Task<void> {
            co_await its->finish(soon());
            done->set();
        };
        async::Event done;
        scope.spawn("finish", finished(&connection, &done));
        std::string data;
        SpdyFrame frame = co_await next_frame(data);
        EXPECT_EQ(frame.kind, SpdyFrame::Kind::goaway);
        EXPECT_EQ(frame.stream, 1U);
        EXPECT_FALSE(done.is_set());
        hang_up();
        EXPECT_TRUE(co_await done.wait(soon()));
        EXPECT_TRUE(connection.ended().is_set());
        stream->reset();
    };
    run(body);
}

TEST_F(StreamsTest, WebSocketsCarryAStreamOfBytes) {
    auto body = [this](async::Scope&) -> Task<void> {
        SeededRandom random(1);
        WebSocketEncoder client(WebSocketRole::client, &random);
        std::string bytes;
        client.append(bytes, WebSocketKind::binary, "one ");
        client.append(bytes, WebSocketKind::ping, "are you there");
        client.append(bytes, WebSocketKind::binary, "two");
        client.append_close(bytes, kWebSocketNormal, "bye");
        co_await send(std::move(bytes));

        WebSocketConnection connection(*ours);
        WebSocketByteStream stream(connection);
        std::vector<char> buffer(3);
        std::string got;
        while (true) {
            auto count = co_await stream.read_some(buffer, soon());
            EXPECT_TRUE(count);
            if (!count || *count == 0) {
                break;
            }
            got.append(buffer.data(), *count);
        }
        EXPECT_EQ(got, "one two");
        EXPECT_FALSE(co_await stream.write_all("too late", soon()));
        std::vector<char> answers(1000);
        auto count = co_await peer->read_some(answers, soon());
        EXPECT_TRUE(count);
        EXPECT_EQ(std::string(answers.data(), *count),
                  std::string("\x8a\x0d") + "are you there" + std::string("\x88\x02\x03\xe8"));
    };
    run(body);
}

TEST_F(StreamsTest, WebSocketsTellAPeerWhatItBroke) {
    auto body = [this](async::Scope&) -> Task<void> {
        co_await send(
            "\x82\x05"
            "plain");
        WebSocketConnection connection(*ours);
        auto piece = co_await connection.read();
        EXPECT_FALSE(piece);
        std::vector<char> answers(1000);
        auto count = co_await peer->read_some(answers, soon());
        EXPECT_TRUE(count && *count > 4);
        EXPECT_EQ(std::string(answers.data() + 2, 2), "\x03\xea");
    };
    run(body);
}

}  // namespace
}  // namespace skiff::http
