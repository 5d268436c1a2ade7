// exec and port-forward from the upgrade to the goodbye, over a pair of sockets.
#include "server/streaming.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>

#include "async/with_scope.h"
#include "base/text.h"
#include "http/fd_stream.h"
#include "http/spdy_frames.h"
#include "http/websocket_frames.h"

namespace skiff::server {
namespace {

using async::Task;

SteadyTime soon() {
    return after(std::chrono::seconds(20));
}

// A request, and the server's end of its connection.
class FakeExchange final : public http::Exchange {
public:
    explicit FakeExchange(int fd) : stream_(fd) {}
    const http::ServerRequest& request() const override { return asked; }
    Task<Result<std::string>> read_body() override { co_return std::string(); }
    Task<Result<void>> respond(http::ServerResponse response) override {
        answer = std::move(response);
        co_return Result<void>{};
    }
    Task<Result<void>> begin(int, http::Headers) override {
        co_return fail(Code::internal, "not used");
    }
    Task<Result<void>> write(std::string_view) override {
        co_return fail(Code::internal, "not used");
    }
    Task<Result<void>> end() override { co_return fail(Code::internal, "not used"); }
    bool begun() const override { return answer.has_value(); }
    Task<Result<http::ByteStream*>> take_over(int status, http::Headers headers) override {
        answer = http::ServerResponse{status, std::move(headers), {}};
        co_return static_cast<http::ByteStream*>(&stream_);
    }
    http::ServerRequest asked;
    std::optional<http::ServerResponse> answer;

private:
    http::FdStream stream_;
};

// What a command does is its first word: `cat` says what it reads and ends with it, `exit` ends
// with the code that follows, `wait` lasts until it is killed.
tl::unexpected<Error> no_attach() {
    return fail(Code::unsupported, "attach is not supported by this version of Skiff");
}

class FakeCommands final : public RemoteCommands {
public:
    class Session;
    Result<void> check_exec(const RemoteTarget& target) const override {
        if (target.pod.name != "web") {
            return fail(Code::not_found, "no pod \"{}\"", target.pod.name);
        }
        return {};
    }
    Task<Result<std::unique_ptr<RemoteSession>>> exec(RemoteTarget target,
                                                      std::vector<std::string> command) override;
    Result<void> check_attach(const RemoteTarget&) const override { return no_attach(); }
    Task<Result<std::unique_ptr<RemoteSession>>> attach(RemoteTarget) override {
        co_return no_attach();
    }
    int alive = 0;
    std::string kept;  // stdin of `wait`
    std::vector<TerminalSize> sizes;
};

class FakeCommands::Session final : public RemoteSession {
public:
    Session(FakeCommands& owner, std::vector<std::string> command)
        : owner_(owner), command_(std::move(command)) {
        ++owner_.alive;
        if (command_[0] == "exit") {
            ended_.set();
            output_ = "out";
            changed_.set();
        }
    }
    ~Session() override { --owner_.alive; }
    Task<Result<void>> write_stdin(std::string_view bytes) override {
        (command_[0] == "cat" ? output_ : owner_.kept) += bytes;
        changed_.set();
        co_return Result<void>{};
    }
    void close_stdin() override {
        if (command_[0] == "cat") {
            ended_.set();
            changed_.set();
        }
    }
    Task<Result<std::size_t>> read(Output which, std::span<char> into) override {
        if (which == Output::err) {
            auto ended = co_await ended_.wait();
            std::string_view text = command_[0] == "exit" ? "err" : "";
            text.remove_prefix(std::min(told_, text.size()));
            std::copy(text.begin(), text.end(), into.begin());
            told_ += text.size();
            co_return text.size();
        }
        while (output_.empty() && !ended_.is_set()) {
            changed_.reset();
            SKIFF_CO_CHECK(co_await changed_.wait());
        }
        std::size_t count = std::min(into.size(), output_.size());
        std::copy_n(output_.begin(), count, into.begin());
        output_.erase(0, count);
        co_return count;
    }
    void resize(TerminalSize size) override { owner_.sizes.push_back(size); }
    Task<Result<pods::ContainerExit>> wait() override {
        SKIFF_CO_CHECK(co_await ended_.wait());
        pods::ContainerExit exit;
        exit.exit_code = command_[0] == "exit" ? static_cast<int>(*parse_int(command_[1])) : 0;
        co_return exit;
    }

private:
    FakeCommands& owner_;
    std::vector<std::string> command_;
    std::string output_;
    std::size_t told_ = 0;
    async::Event changed_;
    async::Event ended_;
};

Task<Result<std::unique_ptr<RemoteSession>>> FakeCommands::exec(RemoteTarget,
                                                                std::vector<std::string> command) {
    if (command[0] == "none") {
        co_return fail(Code::not_found, "no such command");
    }
    co_return std::make_unique<Session>(*this, std::move(command));
}

// A pod with an echo on port 7, which ends when its client does; nobody listens elsewhere.
class FakePorts final : public PodPorts {
public:
    class Echo final : public PodConnection {
    public:
        explicit Echo(int& alive) : alive_(alive) { ++alive_; }
        ~Echo() override { --alive_; }
        Task<Result<std::size_t>> read_some(std::span<char> into, SteadyTime) override {
            std::size_t count = std::min(into.size(), bytes_.size());
            std::copy_n(bytes_.begin(), count, into.begin());
            bytes_.erase(0, count);
            if (bytes_.empty() && !ended_) {
                changed_.reset();
            }
            co_return count;
        }
        Task<Result<void>> write_all(std::string_view bytes, SteadyTime) override {
            bytes_ += bytes;
            changed_.set();
            co_return Result<void>{};
        }
        Task<Result<void>> wait_readable() override { return changed_.wait(); }
        void end_writing() override {
            ended_ = true;
            changed_.set();
        }

    private:
        int& alive_;
        std::string bytes_;
        bool ended_ = false;
        async::Event changed_;
    };
    Result<void> check(const PodName& pod, const std::optional<PodUid>&) const override {
        if (pod.name != "web") {
            return fail(Code::not_found, "no pod \"{}\"", pod.name);
        }
        return {};
    }
    Task<Result<std::unique_ptr<PodConnection>>> dial(PodName, std::optional<PodUid>,
                                                      std::uint16_t port) override {
        if (port != 7) {
            co_return fail(Code::unavailable, "connection refused");
        }
        co_return std::make_unique<Echo>(alive);
    }
    int alive = 0;
};

class StreamingTest : public ::testing::Test {
protected:
    StreamingTest() {
        ::signal(SIGPIPE, SIG_IGN);
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds_), 0);
        exchange.emplace(fds_[0]);
        client.emplace(fds_[1]);
    }
    ~StreamingTest() override {
        ::close(fds_[0]);
        hang_up();
    }
    void hang_up() {
        if (fds_[1] >= 0) {
            ::close(std::exchange(fds_[1], -1));
        }
    }
    // Serves `path` while `body` is the client.
    void serve(const std::string& path, std::function<Task<void>()> body) {
        auto target = parse_target(path);
        ASSERT_TRUE(target);
        async::Reactor reactor;
        async::run_to_end(
            reactor, async::with_scope([this, &target, &body](async::Scope& scope) -> Task<void> {
                scope.spawn("client", body());
                return routes.serve(*exchange, *target);
            }));
        EXPECT_EQ(commands.alive, 0);
        EXPECT_EQ(ports.alive, 0);
        EXPECT_EQ(routes.streams(), 0U);
    }
    void ask_by_spdy(std::string version) {
        exchange->asked.method = "POST";
        exchange->asked.headers = http::Headers{{"Connection", "Upgrade"},
                                                {"Upgrade", "SPDY/3.1"},
                                                {"X-Stream-Protocol-Version", version}};
    }
    void ask_by_websocket(std::string protocol) {
        exchange->asked.method = "GET";
        exchange->asked.headers = http::Headers{{"Connection", "Upgrade"},
                                                {"Upgrade", "websocket"},
                                                {"Sec-WebSocket-Version", "13"},
                                                {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}};
        if (!protocol.empty()) {
            exchange->asked.headers.set("Sec-WebSocket-Protocol", protocol);
        }
    }
    Task<void> send(std::string bytes) {
        auto sent = co_await client->write_all(bytes, soon());
        EXPECT_TRUE(sent);
    }
    Task<std::string> receive() {
        std::vector<char> buffer(65536);
        auto count = co_await client->read_some(buffer, soon());
        EXPECT_TRUE(count);
        co_return count ? std::string(buffer.data(), *count) : std::string();
    }
    std::string open_stream(http::SpdyStreamId id, http::Headers headers) {
        std::string frame;
        spdy.append_syn_stream(frame, id, headers);
        return frame;
    }
    static std::string data(http::SpdyStreamId id, std::string_view bytes,
                            http::SpdyFin fin = http::SpdyFin::no) {
        std::string frame;
        http::SpdyEncoder::append_data_header(frame, id, bytes.size(), fin);
        return frame.append(bytes);
    }
    // What came on each stream until the server's GOAWAY, or until `streams` of them have ended.
    Task<void> read_spdy(std::map<http::SpdyStreamId, std::string>* got, std::size_t streams) {
        std::size_t ended = 0;
        while (ended < streams) {
            std::string bytes = co_await receive();
            if (bytes.empty()) {
                co_return;
            }
            std::string_view rest = bytes;
            while (true) {
                auto frame = spdy_decoder.next(rest);
                EXPECT_TRUE(frame);
                if (!frame || !*frame) {
                    break;
                }
                if ((*frame)->kind == http::SpdyFrame::Kind::data) {
                    (*got)[(*frame)->stream] += (*frame)->data;
                    ended += (*frame)->fin ? 1 : 0;
                }
            }
        }
    }
    // Whole messages until the server's close.
    Task<void> read_messages(std::vector<std::string>* got) {
        http::WebSocketDecoder decoder(http::WebSocketRole::client, 1U << 20);
        http::WebSocketAssembler assembler;
        while (true) {
            std::string bytes = co_await receive();
            if (bytes.empty()) {
                co_return;
            }
            std::span<char> rest(bytes);
            while (true) {
                auto piece = decoder.next(rest);
                EXPECT_TRUE(piece);
                if (!piece || !*piece) {
                    break;
                }
                if ((*piece)->kind == http::WebSocketKind::close) {
                    co_return;
                }
                if (auto whole = assembler.add(**piece)) {
                    got->push_back(std::move(*whole));
                }
            }
        }
    }
    std::string message(std::string_view payload,
                        http::WebSocketKind kind = http::WebSocketKind::binary) {
        std::string frame;
        websocket.append(frame, kind, payload);
        return frame;
    }

    FakeCommands commands;
    FakePorts ports;
    StreamingRoutes routes{commands, ports};
    std::optional<FakeExchange> exchange;
    std::optional<http::FdStream> client;
    http::SpdyEncoder spdy;
    http::SpdyDecoder spdy_decoder;
    SeededRandom random{1};
    http::WebSocketEncoder websocket{http::WebSocketRole::client, &random};

private:
    int fds_[2] = {-1, -1};
};

TEST_F(StreamingTest, SpdyCarriesACommandToItsStatus) {
    ask_by_spdy("v4.channel.k8s.io");
    auto body = [this]() -> Task<void> {
        std::string opening = open_stream(1, {{"streamtype", "error"}}) +
                              open_stream(3, {{"streamtype", "stdin"}}) +
                              open_stream(5, {{"streamtype", "stdout"}}) + data(3, "ahoy ") +
                              data(3, "sailor", http::SpdyFin::yes);
        co_await send(opening);
        std::map<http::SpdyStreamId, std::string> got;
        co_await read_spdy(&got, 2);
        EXPECT_EQ(got[5], "ahoy sailor");
        EXPECT_NE(got[1].find("\"status\":\"Success\""), std::string::npos) << got[1];
        hang_up();
    };
    serve("/exec/ns/web/main?command=cat&input=1&output=1", body);
    EXPECT_EQ(exchange->answer->status, 101);
}

TEST_F(StreamingTest, OldSpdyClientsGetTheirExitInWords) {
    ask_by_spdy("channel.k8s.io");
    auto body = [this]() -> Task<void> {
        std::string opening = open_stream(1, {{"streamtype", "error"}}) +
                              open_stream(3, {{"streamtype", "stdout"}}) +
                              open_stream(5, {{"streamtype", "stderr"}});
        co_await send(opening);
        std::map<http::SpdyStreamId, std::string> got;
        co_await read_spdy(&got, 3);
        EXPECT_EQ(got[3], "out");
        EXPECT_EQ(got[5], "err");
        EXPECT_EQ(got[1], "command terminated with non-zero exit code: 3");
        hang_up();
    };
    serve("/exec/ns/web/main?command=exit&command=3&output=1&error=1", body);
}

TEST_F(StreamingTest, ATerminalIsResized) {
    ask_by_spdy("v4.channel.k8s.io");
    auto body = [this]() -> Task<void> {
        std::string opening =
            open_stream(1, {{"streamtype", "error"}}) + open_stream(3, {{"streamtype", "resize"}}) +
            open_stream(5, {{"streamtype", "stdout"}}) + open_stream(7, {{"streamtype", "stdin"}}) +
            data(3, R"({"Width":100,"Height":40})");
        co_await send(opening);
        while (commands.sizes.empty()) {
            co_await async::yield_now();
        }
        co_await send(data(7, "", http::SpdyFin::yes));
        std::map<http::SpdyStreamId, std::string> got;
        co_await read_spdy(&got, 2);
        hang_up();
    };
    serve("/exec/ns/web/main?command=cat&input=1&output=1&tty=1", body);
    EXPECT_EQ(commands.sizes, (std::vector<TerminalSize>{{100, 40}}));
}

TEST_F(StreamingTest, ACommandEndsWithItsCaller) {
    ask_by_spdy("v4.channel.k8s.io");
    auto body = [this]() -> Task<void> {
        std::string opening = open_stream(1, {{"streamtype", "error"}}) +
                              open_stream(3, {{"streamtype", "stdin"}}) + data(3, "held");
        co_await send(opening);
        while (commands.kept.empty()) {
            co_await async::yield_now();
        }
        EXPECT_EQ(commands.alive, 1);
        hang_up();
    };
    serve("/exec/ns/web/main?command=wait&input=1", body);
}

TEST_F(StreamingTest, WhatCannotStartIsToldOnTheErrorChannel) {
    ask_by_websocket("v4.channel.k8s.io");
    auto body = [this]() -> Task<void> {
        std::vector<std::string> got;
        co_await read_messages(&got);
        EXPECT_EQ(got.size(), 2U);
        EXPECT_EQ(got.front(), std::string(1, '\1'));
        EXPECT_NE(got.back().find("InternalError"), std::string::npos);
        EXPECT_NE(got.back().find("no such command"), std::string::npos);
        hang_up();
    };
    serve("/exec/ns/web/main?command=none&output=1", body);
}

TEST_F(StreamingTest, WebSocketVersion5EndsStdin) {
    ask_by_websocket("v5.channel.k8s.io");
    auto body = [this]() -> Task<void> {
        co_await send(message(std::string("\0ahoy", 5)) + message(std::string("\xff\0", 2)));
        std::vector<std::string> got;
        co_await read_messages(&got);
        EXPECT_EQ(got.size(), 3U);
        EXPECT_EQ(got[0], std::string(1, '\1'));
        EXPECT_EQ(got[1], "\1ahoy");
        EXPECT_TRUE(got[2].starts_with("\3{")) << got[2];
        co_await send(message(std::string("\x03\xe8", 2), http::WebSocketKind::close));
        hang_up();
    };
    serve("/exec/ns/web/main?command=cat&input=1&output=1", body);
}

TEST_F(StreamingTest, WebSocketInBase64) {
    ask_by_websocket("v4.base64.channel.k8s.io");
    auto body = [this]() -> Task<void> {
        // "ahoy, sailor" cut where its base64 is not whole.
        std::string frames;
        websocket.append_part(frames, {http::WebSocketKind::text, "0YWhv", true, false});
        websocket.append_part(frames, {http::WebSocketKind::text, "eSwgc2FpbG9y", false, true});
        co_await send(frames);
        while (commands.kept != "ahoy, sailor") {
            co_await async::yield_now();
        }
        hang_up();
    };
    serve("/exec/ns/web/main?command=wait&input=1", body);
    EXPECT_EQ(exchange->answer->headers.find("Sec-WebSocket-Protocol"), "v4.base64.channel.k8s.io");
}

TEST_F(StreamingTest, AMessageForNoChannelEndsTheConnection) {
    ask_by_websocket("channel.k8s.io");
    auto body = [this]() -> Task<void> {
        co_await send(message("\x07what"));
        std::vector<std::string> got;
        co_await read_messages(&got);
        hang_up();
    };
    serve("/exec/ns/web/main?command=wait&input=1", body);
}

TEST_F(StreamingTest, RefusesBeforeItUpgrades) {
    const struct {
        const char* path;
        int status;
    } cases[] = {{"/exec/ns/none/main?command=ls&output=1", 404},
                 {"/exec/ns/web/main?command=ls", 400},
                 {"/exec/ns/web?command=ls&output=1", 404},
                 {"/attach/ns/web/main?output=1", 501},
                 {"/portForward/ns/none", 404},
                 {"/portForward/ns/web", 400},
                 {"/portForward/ns/web?port=0", 400}};
    auto nobody = []() -> Task<void> { co_return; };
    for (const auto& [path, status] : cases) {
        ask_by_websocket("");
        serve(path, nobody);
        EXPECT_EQ(exchange->answer->status, status) << path;
    }
}

TEST_F(StreamingTest, SpdyForwardsAPort) {
    ask_by_spdy("portforward.k8s.io");
    auto body = [this]() -> Task<void> {
        const auto pair = [this](http::SpdyStreamId first, std::string port, std::string request) {
            return open_stream(first,
                               {{"streamtype", "error"}, {"port", port}, {"requestid", request}}) +
                   open_stream(first + 2,
                               {{"streamtype", "data"}, {"port", port}, {"requestid", request}});
        };
        co_await send(pair(1, "7", "0") + data(3, "ahoy", http::SpdyFin::yes));
        std::map<http::SpdyStreamId, std::string> got;
        co_await read_spdy(&got, 2);
        EXPECT_EQ(got[3], "ahoy");
        EXPECT_EQ(got[1], "");
        co_await send(pair(5, "9", "1"));
        co_await read_spdy(&got, 2);
        EXPECT_EQ(got[5], "error forwarding port 9 to pod ns/web: connection refused");
        // One that is open when the client leaves.
        co_await send(pair(9, "7", "2"));
        while (ports.alive == 0) {
            co_await async::yield_now();
        }
        hang_up();
    };
    serve("/portForward/ns/web", body);
}

TEST_F(StreamingTest, SpdyInAWebSocketForwardsAPort) {
    ask_by_websocket("SPDY/3.1+portforward.k8s.io");
    auto body = [this]() -> Task<void> {
        std::string frames =
            open_stream(1, {{"streamtype", "error"}, {"port", "7"}, {"requestid", "0"}}) +
            open_stream(3, {{"streamtype", "data"}, {"port", "7"}, {"requestid", "0"}}) +
            data(3, "ahoy", http::SpdyFin::yes);
        // Frames need not stand in messages of their own.
        co_await send(message(frames.substr(0, 20)) + message(frames.substr(20)));
        std::string all;
        while (all.find("ahoy") == std::string::npos) {
            all += co_await receive();
        }
        hang_up();
    };
    serve("/portForward/ns/web", body);
}

TEST_F(StreamingTest, WebSocketChannelsForwardPorts) {
    ask_by_websocket("v4.channel.k8s.io");
    auto body = [this]() -> Task<void> {
        co_await send(message(std::string("\0ahoy", 5)));
        std::string all;
        while (all.find("ahoy") == std::string::npos || all.find("refused") == std::string::npos) {
            all += co_await receive();
        }
        // Each channel begins with its port.
        for (const char* first : {"\x82\x03\x00\x07\x00", "\x82\x03\x01\x07\x00",
                                  "\x82\x03\x02\x09\x00", "\x82\x03\x03\x09\x00"}) {
            EXPECT_NE(all.find(std::string(first, 5)), std::string::npos);
        }
        hang_up();
    };
    serve("/portForward/ns/web?port=7,9", body);
}

}  // namespace
}  // namespace skiff::server
