// A tunnel against a server in memory that speaks remotedialer: what it may dial, how its
// connections end, and that nobody's slowness is held in memory.
#include "node/tunnel_session.h"

#include <gtest/gtest.h>

#include "async/scope.h"
#include "http/test_stream.h"

namespace skiff::node {
namespace {

using async::Task;
using Kind = http::WebSocketKind;
using Type = DialMessageType;
using namespace std::chrono_literals;

// What the peer saw: the message with its payload owned.
struct Seen {
    std::int64_t connection = 0;
    Type type = Type::data;
    std::string payload;
};

class TunnelSessionTest : public ::testing::Test {
protected:
    TunnelSessionTest() {
        limits_.ping_every = 1h;
        limits_.silence_max = 1h;
    }

    // Runs `body` beside a session; what run() returned is then in ended_.
    template <typename F>
    void with_session(F body, std::size_t wire_bytes = 64U << 10) {
        auto ends = http::testing::join_streams(wire_bytes);
        server_ = std::move(ends.far);
        auto socket = std::make_unique<http::WebSocketClient>(std::move(ends.near), std::string(),
                                                              random_, kTunnelMessageBytesMax);
        TunnelTarget target;
        target.port = 10250;
        target.hosts = {"127.0.0.1", "10.0.0.7"};
        target.dial = [this] { return dial(); };
        session_ = std::make_unique<TunnelSession>(reactor_.executor(), std::move(socket),
                                                   std::move(target), limits_);
        auto both = [&]() -> Task<void> {
            async::Scope scope(reactor_.executor());
            auto run = [this]() -> Task<void> {
                auto ended = co_await session_->run();
                ended_.emplace(std::move(ended));
                over_.set();
            };
            scope.spawn("session", run());
            co_await body();
            server_.reset();
            EXPECT_TRUE(co_await over_.wait(after(20s)));
            co_await scope.stop();
        };
        async::run_to_end(reactor_, both());
        EXPECT_EQ(session_->connections(), 0U);
    }

    Task<Result<std::unique_ptr<http::ByteStream>>> dial() {
        if (refuses_) {
            co_return fail(Code::unavailable, "connection refused");
        }
        auto ends = http::testing::join_streams(kubelet_bytes_);
        kubelets_.push_back(std::move(ends.far));
        dialled_.set();
        co_return std::unique_ptr<http::ByteStream>(std::move(ends.near));
    }
    // The kubelet's end of the connection of that number.
    Task<http::testing::TestStream*> kubelet(std::size_t index) {
        while (kubelets_.size() <= index) {
            dialled_.reset();
            EXPECT_TRUE(co_await dialled_.wait(after(20s)));
        }
        co_return kubelets_[index].get();
    }

    Task<void> send(std::int64_t connection, Type type, std::string payload = {}) {
        DialMessage message;
        message.id = 1;
        message.connection = connection;
        message.type = type;
        message.payload = payload;
        std::string bytes;
        encoder_.append(bytes, Kind::binary, format_dial_message(message));
        co_await write(bytes);
    }
    Task<void> connect(std::int64_t connection, std::string address = "tcp/127.0.0.1:10250") {
        return send(connection, Type::connect, std::move(address));
    }
    Task<void> write(std::string bytes) {
        EXPECT_TRUE(co_await server_->write_all(bytes, after(20s)));
    }
    // The next frame from the session.
    Task<http::WebSocketMessage> frame() {
        http::WebSocketMessage message;
        while (true) {
            auto piece = decoder_.next(unread_);
            if (!piece) {
                ADD_FAILURE() << piece.error().message;
                co_return message;
            }
            if (*piece) {
                EXPECT_TRUE((*piece)->first && (*piece)->last);
                message.kind = (*piece)->kind;
                message.payload = (*piece)->payload;
                co_return message;
            }
            auto count = co_await server_->read_some(buffer_, after(20s));
            if (!count || *count == 0) {
                ADD_FAILURE() << "the session sent nothing";
                co_return message;
            }
            unread_ = std::span(buffer_).first(*count);
        }
    }
    Task<Seen> receive() {
        const auto message = co_await frame();
        EXPECT_EQ(message.kind, Kind::binary);
        auto parsed = parse_dial_message(message.payload);
        EXPECT_TRUE(parsed);
        Seen seen;
        if (parsed) {
            seen = Seen{parsed->connection, parsed->type, std::string(parsed->payload)};
        }
        co_return seen;
    }
    // Data of the connection until its error; the error's text at the end after a bar.
    Task<std::string> receive_to_end(std::int64_t connection) {
        std::string all;
        while (true) {
            const Seen seen = co_await receive();
            if (seen.connection != connection || seen.type == Type::pause ||
                seen.type == Type::resume) {
                continue;
            }
            if (seen.type != Type::data) {
                co_return all + "|" + seen.payload;
            }
            all += seen.payload;
        }
    }
    static Task<std::string> read_to_end(http::testing::TestStream& stream) {
        std::string all;
        std::string buffer(4096, '\0');
        while (true) {
            auto count = co_await stream.read_some(buffer, after(20s));
            EXPECT_TRUE(count);
            if (!count || *count == 0) {
                co_return all;
            }
            all.append(buffer, 0, *count);
        }
    }

    async::Reactor reactor_;
    SeededRandom random_{3};
    TunnelLimits limits_;
    bool refuses_ = false;
    std::size_t kubelet_bytes_ = 64U << 10;
    std::vector<std::unique_ptr<http::testing::TestStream>> kubelets_;
    async::Event dialled_;
    std::unique_ptr<http::testing::TestStream> server_;
    http::WebSocketEncoder encoder_{http::WebSocketRole::server};
    http::WebSocketDecoder decoder_{http::WebSocketRole::server, kTunnelMessageBytesMax};
    std::string buffer_ = std::string(64U << 10, '\0');
    std::span<char> unread_;
    std::unique_ptr<TunnelSession> session_;
    async::Event over_;
    std::optional<Result<void>> ended_;
};

TEST_F(TunnelSessionTest, CarriesAConnectionToTheKubeletAndBack) {
    with_session([&]() -> Task<void> {
        co_await connect(5);
        co_await send(5, Type::data, "GET / ");
        co_await send(5, Type::data, "HTTP/1.1");
        auto* kubelet_end = co_await kubelet(0);
        std::string buffer(14, '\0');
        std::string got;
        while (got.size() < buffer.size()) {
            auto count = co_await kubelet_end->read_some(buffer, after(20s));
            got.append(buffer, 0, count.value_or(14));
        }
        EXPECT_EQ(got, "GET / HTTP/1.1");
        EXPECT_TRUE(co_await kubelet_end->write_all("200 OK", after(20s)));
        const Seen answer = co_await receive();
        EXPECT_EQ(answer.connection, 5);
        EXPECT_EQ(answer.payload, "200 OK");
        EXPECT_EQ(session_->connections(), 1U);
        kubelets_[0].reset();
        EXPECT_EQ(co_await receive_to_end(5), "|EOF");
        EXPECT_EQ(session_->connections(), 0U);
        // Data that was under way when it ended is nobody's.
        co_await send(5, Type::data, "late");
        co_await connect(6);
        (void)co_await kubelet(1);
    });
    EXPECT_EQ(ended_->error().code, Code::unavailable);
}

TEST_F(TunnelSessionTest, TheKubeletGetsAllThatTheServerSentBeforeItsEnd) {
    kubelet_bytes_ = 16;
    with_session([&]() -> Task<void> {
        co_await connect(1);
        const std::string sent(100'000, 'u');
        co_await send(1, Type::data, sent);
        co_await send(1, Type::error, "EOF");
        EXPECT_EQ(co_await read_to_end(*co_await kubelet(0)), sent);
    });
}

TEST_F(TunnelSessionTest, DialsNothingButThisNodesKubelet) {
    with_session([&]() -> Task<void> {
        for (const char* address : {"tcp/127.0.0.1:10249", "tcp/127.0.0.1:22", "tcp/10.0.0.8:10250",
                                    "udp/127.0.0.1:10250", "unix//run/skiff/skiff.sock",
                                    "tcp/localhost:10250", "tcp/127.0.0.1:10250/x", ""}) {
            co_await connect(9, address);
            const Seen seen = co_await receive();
            EXPECT_EQ(seen.connection, 9);
            EXPECT_EQ(seen.type, Type::error);
            EXPECT_EQ(seen.payload, "refused: only this node's port 10250 is reached here")
                << address;
        }
        EXPECT_TRUE(kubelets_.empty());
        // The tunnel itself goes on.
        co_await connect(10, "tcp/10.0.0.7:10250");
        (void)co_await kubelet(0);
    });
}

TEST_F(TunnelSessionTest, SaysWhyTheKubeletWasNotReached) {
    refuses_ = true;
    with_session([&]() -> Task<void> {
        co_await connect(1);
        EXPECT_EQ(co_await receive_to_end(1), "|connection refused");
    });
}

TEST_F(TunnelSessionTest, ReadsNoMoreOfTheKubeletWhileTheServerPauses) {
    with_session([&]() -> Task<void> {
        co_await connect(1);
        auto* kubelet_end = co_await kubelet(0);
        co_await send(1, Type::pause);
        // Answered in order, so the pause has been seen.
        co_await connect(2, "tcp/127.0.0.1:1");
        (void)co_await receive();
        // One read may be under way.
        EXPECT_TRUE(co_await kubelet_end->write_all("first", after(20s)));
        EXPECT_EQ((co_await receive()).payload, "first");
        EXPECT_TRUE(co_await kubelet_end->write_all("second", after(20s)));
        co_await connect(3, "tcp/127.0.0.1:1");
        EXPECT_EQ((co_await receive()).connection, 3);
        co_await send(1, Type::resume);
        EXPECT_EQ((co_await receive()).payload, "second");
    });
}

TEST_F(TunnelSessionTest, AsksTheServerToPauseWhileTheKubeletDoesNotRead) {
    kubelet_bytes_ = 1;
    limits_.pause_bytes = 100;
    limits_.resume_bytes = 10;
    with_session([&]() -> Task<void> {
        co_await connect(1);
        auto* kubelet_end = co_await kubelet(0);
        co_await send(1, Type::data, "x");
        co_await send(1, Type::data, std::string(200, 'y'));
        Seen seen = co_await receive();
        EXPECT_EQ(seen.type, Type::pause);
        EXPECT_EQ(seen.connection, 1);
        std::string buffer(1000, '\0');
        std::size_t taken = 0;
        while (taken < 201) {
            auto count = co_await kubelet_end->read_some(buffer, after(20s));
            taken += count.value_or(201);
        }
        seen = co_await receive();
        EXPECT_EQ(seen.type, Type::resume);
    });
}

TEST_F(TunnelSessionTest, AConnectionThatHoldsUpTheOthersIsEnded) {
    kubelet_bytes_ = 1;
    limits_.held_bytes_max = 1000;
    limits_.stall_max = 1ms;
    with_session([&]() -> Task<void> {
        co_await connect(1);
        (void)co_await kubelet(0);
        co_await send(1, Type::data, std::string(2000, 'x'));
        co_await send(1, Type::data, std::string(2000, 'x'));
        EXPECT_EQ(co_await receive_to_end(1), "|EOF");
        co_await connect(2);
        co_await send(2, Type::data, "through");
        std::string buffer(100, '\0');
        auto count = co_await (co_await kubelet(1))->read_some(buffer, after(20s));
        EXPECT_EQ(buffer.substr(0, count.value_or(0)), "through");
    });
}

TEST_F(TunnelSessionTest, TakesSoManyConnectionsAndRefusesTheNext) {
    limits_.connections_max = 2;
    with_session([&]() -> Task<void> {
        co_await connect(1);
        co_await connect(2);
        co_await connect(3);
        const Seen seen = co_await receive();
        EXPECT_EQ(seen.connection, 3);
        EXPECT_EQ(seen.payload, "refused: 2 connections are open");
    });
}

TEST_F(TunnelSessionTest, AServerThatDoesNotReadIsGivenUp) {
    limits_.unsent_bytes_max = 1000;
    with_session(
        [&]() -> Task<void> {
            std::string bytes;
            for (int i = 0; i < 200; ++i) {
                encoder_.append(bytes, Kind::ping, "are you there?");
            }
            co_await write(bytes);
            EXPECT_TRUE(co_await over_.wait(after(20s)));
        },
        1);
    EXPECT_EQ(ended_->error().code, Code::exhausted);
}

TEST_F(TunnelSessionTest, AnswersPingsAndSendsItsOwn) {
    limits_.ping_every = 1ms;
    with_session([&]() -> Task<void> {
        std::string bytes;
        encoder_.append(bytes, Kind::ping, "server");
        co_await write(bytes);
        bool ping = false;
        bool pong = false;
        while (!ping || !pong) {
            const auto message = co_await frame();
            ping |= message.kind == Kind::ping;
            pong |= message.kind == Kind::pong && message.payload == "server";
        }
    });
}

TEST_F(TunnelSessionTest, ASilentServerIsGivenUp) {
    limits_.silence_max = 1ms;
    with_session([&]() -> Task<void> { EXPECT_TRUE(co_await over_.wait(after(20s))); });
    EXPECT_EQ(ended_->error().code, Code::timeout);
}

TEST_F(TunnelSessionTest, EndsOnWhatIsNoMessage) {
    auto ends_with = [&](Kind kind, std::string payload) {
        over_.reset();
        ended_.reset();
        decoder_ = http::WebSocketDecoder(http::WebSocketRole::server, kTunnelMessageBytesMax);
        with_session([&]() -> Task<void> {
            std::string bytes;
            encoder_.append(bytes, kind, payload);
            co_await write(bytes);
            EXPECT_TRUE(co_await over_.wait(after(20s)));
        });
        return ended_->error().code;
    };
    EXPECT_EQ(ends_with(Kind::text, "hello"), Code::invalid);
    EXPECT_EQ(ends_with(Kind::binary, "\xff"), Code::invalid);
    EXPECT_EQ(ends_with(Kind::binary, std::string(kTunnelMessageBytesMax + 1, 'x')),
              Code::exhausted);
    EXPECT_EQ(ends_with(Kind::close, std::string("\x03\xe9", 2)), Code::unavailable);
}

TEST_F(TunnelSessionTest, EndsWhenAConnectionIsOpenedTwice) {
    with_session([&]() -> Task<void> {
        co_await connect(1);
        co_await connect(1);
        EXPECT_TRUE(co_await over_.wait(after(20s)));
    });
    EXPECT_EQ(ended_->error().code, Code::invalid);
}

TEST_F(TunnelSessionTest, ARetiredOneEndsWithItsLastConnection) {
    with_session([&]() -> Task<void> {
        co_await connect(1);
        auto* kubelet_end = co_await kubelet(0);
        session_->retire();
        EXPECT_TRUE(co_await kubelet_end->write_all("still here", after(20s)));
        EXPECT_EQ((co_await receive()).payload, "still here");
        EXPECT_FALSE(over_.is_set());
        kubelets_[0].reset();
        EXPECT_TRUE(co_await over_.wait(after(20s)));
    });
    EXPECT_TRUE(*ended_);
}

}  // namespace
}  // namespace skiff::node
