// Clients of a console whose guest is the test itself.
#include "runtime/consoles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/random.h"
#include "os/file.h"
#include "runtime/console_files.h"

namespace skiff::runtime {
namespace {

namespace fs = std::filesystem;
using async::Task;
using pods::OutputStream;
using Kind = pods::Console::Kind;
using Input = pods::Console::Input;

#define CO_REQUIRE_OK(result)                                                \
    do {                                                                     \
        if (!(result)) {                                                     \
            ADD_FAILURE() << #result << ": " << format_as((result).error()); \
            co_return;                                                       \
        }                                                                    \
    } while (false)

class ConsoleTest : public testing::Test {
public:
    void SetUp() override {
        ::signal(SIGPIPE, SIG_IGN);  // as a runner does
        SystemRandom random;
        paths_.run_dir = fs::temp_directory_path() / ("skiff-consoles-" + random.hex(4));
        fs::create_directory(paths_.run_dir);
    }
    void TearDown() override { EXPECT_TRUE(os::remove_tree(paths_.run_dir)); }

    void run(Task<void> task) { async::run_to_end(reactor_, std::move(task)); }

    // A container that runs, whose guest is this test.
    void open(Kind kind, Input input) {
        container_.id = "abc";
        container_.name = "main";
        container_.console = {kind, input};
        auto made = make_console_files(paths_, ContainerId("abc"), container_.console);
        ASSERT_TRUE(made) << format_as(made.error());
        files_ = std::move(*made);
        consoles_.emplace(paths_, stuck_max_);
        consoles_->add(container_, std::move(files_.far_end));
    }
    Task<Result<std::unique_ptr<pods::AttachSession>>> attach(bool sends) {
        pods::AttachSpec spec;
        spec.container = ContainerId("abc");
        spec.sends = sends;
        return attach_as(std::move(spec));
    }
    Task<Result<std::unique_ptr<pods::AttachSession>>> attach_as(pods::AttachSpec spec) {
        auto on_use = [this](const std::string&) { ++uses_; };
        return consoles_->attach(std::move(spec), container_, std::move(on_use), scope_);
    }
    // What the guest reads next; "" at the end of its input, "-" when it would wait.
    std::string guest_reads() {
        pollfd entry{files_.input.get(), POLLIN, 0};
        if (::poll(&entry, 1, 0) == 0) {
            return "-";
        }
        std::array<char, 4096> buffer;
        const ssize_t size = ::read(files_.input.get(), buffer.data(), buffer.size());
        return size < 0 ? "-" : std::string(buffer.data(), static_cast<std::size_t>(size));
    }
    // As the runner does; the number of bytes that went, -1 without a reader.
    static ssize_t guest_writes(const os::Fd& fd, std::string_view text) {
        return ::write(fd.get(), text.data(), text.size());
    }
    // Whether the runner sees somebody.
    bool has_audience() const {
        pollfd entry{files_.audience.valid() ? files_.audience.get() : files_.out.get(), 0, 0};
        return ::poll(&entry, 1, 0) == 0;
    }
    void guest_ends() {
        files_ = ConsoleFiles();
        consoles_->remove("abc");
    }
    // What comes until `text` has come, or the session is over.
    static Task<std::string> until(pods::AttachSession* session, OutputStream stream,
                                   std::string text) {
        std::string all;
        while (all.find(text) == std::string::npos) {
            auto more = co_await session->read(stream);
            if (!more || more->empty()) {
                ADD_FAILURE() << "only " << all;
                break;
            }
            all += *more;
        }
        co_return all;
    }
    Task<void> end() { co_await scope_.stop(); }
    Task<void> deserted() {
        while (has_audience()) {
            co_await async::yield_now();
        }
    }

    async::Reactor reactor_;
    state::Paths paths_;
    async::Scope scope_{reactor_.executor()};
    Duration stuck_max_ = std::chrono::hours(1);
    std::optional<Consoles> consoles_;
    StoredContainer container_;
    ConsoleFiles files_;
    int uses_ = 0;
};

TEST_F(ConsoleTest, PassesInputAndBothStreams) {
    auto body = [](ConsoleTest* t) -> Task<void> {
        t->open(Kind::pipes, Input::open);
        EXPECT_FALSE(t->has_audience());
        EXPECT_LT(guest_writes(t->files_.out, "before\n"), 0);
        auto session = co_await t->attach(true);
        CO_REQUIRE_OK(session);
        EXPECT_TRUE(t->has_audience());
        EXPECT_TRUE(co_await (*session)->write_stdin("hello\n"));
        EXPECT_EQ(t->guest_reads(), "hello\n");
        guest_writes(t->files_.out, "out\n");
        guest_writes(t->files_.err, "err\n");
        EXPECT_EQ(co_await until(session->get(), OutputStream::out, "out\n"), "out\n");
        EXPECT_EQ(co_await until(session->get(), OutputStream::err, "err\n"), "err\n");
        session->reset();
        co_await t->deserted();
        EXPECT_EQ(t->guest_reads(), "-") << "an open input waits for the next client";
        EXPECT_EQ(t->uses_, 0);
        co_await t->end();
    };
    run(body(this));
}

TEST_F(ConsoleTest, AnInputThatIsOnceEndsWithItsClient) {
    auto body = [](ConsoleTest* t) -> Task<void> {
        t->open(Kind::pipes, Input::once);
        auto watching = co_await t->attach(false);
        CO_REQUIRE_OK(watching);
        watching->reset();
        EXPECT_EQ(t->guest_reads(), "-") << "one who only watches ends nothing";
        EXPECT_EQ(t->uses_, 0);
        auto session = co_await t->attach(true);
        CO_REQUIRE_OK(session);
        EXPECT_EQ(t->uses_, 1);
        EXPECT_TRUE(co_await (*session)->write_stdin("last"));
        (*session)->close_stdin();
        EXPECT_EQ(t->guest_reads(), "last");
        EXPECT_EQ(t->guest_reads(), "");
        // Its output goes on coming, and a later client sends nothing.
        guest_writes(t->files_.out, "answer");
        EXPECT_EQ(co_await until(session->get(), OutputStream::out, "answer"), "answer");
        auto late = co_await t->attach(true);
        CO_REQUIRE_OK(late);
        EXPECT_TRUE(co_await (*late)->write_stdin("late"));
        EXPECT_EQ(t->guest_reads(), "");
        EXPECT_EQ(t->uses_, 1);
        co_await t->end();
    };
    run(body(this));
}

TEST_F(ConsoleTest, AnInputThatIsOnceEndsWhenItsClientVanishes) {
    auto body = [](ConsoleTest* t) -> Task<void> {
        t->open(Kind::pipes, Input::once);
        auto session = co_await t->attach(true);
        CO_REQUIRE_OK(session);
        session->reset();
        EXPECT_EQ(t->guest_reads(), "");
        co_await t->end();
    };
    run(body(this));
}

TEST_F(ConsoleTest, AnInputThatWasInUseWhenTheAgentDiedHasEnded) {
    container_.input_used = true;
    open(Kind::pipes, Input::once);
    EXPECT_EQ(guest_reads(), "");
}

TEST_F(ConsoleTest, ClosingAnOpenInputEndsTheSessionAndNotTheInput) {
    auto body = [](ConsoleTest* t) -> Task<void> {
        t->open(Kind::pipes, Input::open);
        auto session = co_await t->attach(true);
        CO_REQUIRE_OK(session);
        guest_writes(t->files_.out, "seen");
        EXPECT_EQ(co_await until(session->get(), OutputStream::out, "seen"), "seen");
        (*session)->close_stdin();
        EXPECT_TRUE(co_await (*session)->wait());
        auto rest = co_await (*session)->read(OutputStream::out);
        CO_REQUIRE_OK(rest);
        EXPECT_EQ(*rest, "");
        EXPECT_EQ(t->guest_reads(), "-");
        co_await t->end();
    };
    run(body(this));
}

TEST_F(ConsoleTest, ATerminalEchoesAndEditsAndHasASize) {
    auto body = [](ConsoleTest* t) -> Task<void> {
        t->open(Kind::terminal, Input::once);
        auto session = co_await t->attach(true);
        CO_REQUIRE_OK(session);
        (*session)->resize({120, 40});
        (*session)->resize({0, 40});
        winsize size{};
        EXPECT_EQ(::ioctl(t->files_.input.get(), TIOCGWINSZ, &size), 0);
        EXPECT_EQ(size.ws_col, 120);
        EXPECT_EQ(size.ws_row, 40);
        // Ctrl-S stops nothing, Ctrl-C drops the line, DEL the letter before it.
        EXPECT_TRUE(co_await (*session)->write_stdin("\x13oops\x03helx\x7flo\r"));
        co_await until(session->get(), OutputStream::out, "lo\r\n");
        EXPECT_EQ(t->guest_reads(), "hello\n");
        guest_writes(t->files_.out, "hi\n");
        EXPECT_EQ(co_await until(session->get(), OutputStream::out, "hi\r\n"), "hi\r\n");
        // It stays open for who comes back, whatever the pod says of once.
        session->reset();
        co_await t->deserted();
        auto again = co_await t->attach(true);
        CO_REQUIRE_OK(again);
        EXPECT_TRUE(co_await (*again)->write_stdin("back\r"));
        co_await until(again->get(), OutputStream::out, "back\r\n");
        EXPECT_EQ(t->guest_reads(), "back\n");
        EXPECT_EQ(t->uses_, 0);
        co_await t->end();
    };
    run(body(this));
}

TEST_F(ConsoleTest, NobodyTypesAtATerminalWithoutInput) {
    auto body = [](ConsoleTest* t) -> Task<void> {
        t->open(Kind::terminal, Input::none);
        auto session = co_await t->attach(true);
        CO_REQUIRE_OK(session);
        EXPECT_TRUE(co_await (*session)->write_stdin("hello\r"));
        guest_writes(t->files_.out, "hi\n");
        EXPECT_EQ(co_await until(session->get(), OutputStream::out, "hi\r\n"), "hi\r\n");
        EXPECT_EQ(t->guest_reads(), "-");
        co_await t->end();
    };
    run(body(this));
}

TEST_F(ConsoleTest, EveryClientGetsEverything) {
    auto body = [](ConsoleTest* t) -> Task<void> {
        t->open(Kind::pipes, Input::open);
        std::vector<std::unique_ptr<pods::AttachSession>> sessions;
        for (std::size_t i = 0; i < Consoles::kClientsMax; ++i) {
            auto session = co_await t->attach(true);
            CO_REQUIRE_OK(session);
            sessions.push_back(std::move(*session));
        }
        auto refused = co_await t->attach(true);
        EXPECT_FALSE(refused);
        EXPECT_EQ(refused.error().code, Code::exhausted);
        guest_writes(t->files_.out, "all\n");
        for (auto& session : sessions) {
            EXPECT_EQ(co_await until(session.get(), OutputStream::out, "all\n"), "all\n");
        }
        sessions.pop_back();
        EXPECT_TRUE(t->has_audience());
        sessions.clear();
        co_await t->end();
    };
    run(body(this));
}

constexpr std::size_t kMuch = 1 << 20;

// Writes for as long as it may, at most kMuch.
static Task<std::size_t> fill(ConsoleTest* t) {
    const std::string block(4096, 'x');
    std::size_t sum = 0;
    for (int idle = 0; idle < 50 && sum < kMuch; ++idle) {
        const ssize_t count = ConsoleTest::guest_writes(t->files_.out, block);
        if (count > 0) {
            sum += static_cast<std::size_t>(count);
            idle = 0;
        } else {
            co_await async::yield_now();
        }
    }
    co_return sum;
}

TEST_F(ConsoleTest, AGuestWaitsForAClientWhoReadsSlowly) {
    auto body = [](ConsoleTest* t) -> Task<void> {
        t->open(Kind::pipes, Input::open);
        auto slow = co_await t->attach(false);
        CO_REQUIRE_OK(slow);
        auto quick = co_await t->attach(false);
        CO_REQUIRE_OK(quick);
        const std::size_t taken = co_await fill(t);
        EXPECT_GE(taken, Consoles::kUnreadBytesMax / 2);
        EXPECT_LE(taken, Consoles::kUnreadBytesMax + (128U << 10)) << "and a FIFO's own";
        auto read = co_await (*quick)->read(OutputStream::out);
        CO_REQUIRE_OK(read);
        EXPECT_LE(co_await fill(t), 4096U) << "the other one has not read";
        read = co_await (*slow)->read(OutputStream::out);
        CO_REQUIRE_OK(read);
        EXPECT_GT(co_await fill(t), 4096U);
        co_await t->end();
    };
    run(body(this));
}

TEST_F(ConsoleTest, AGuestDoesNotWaitForEverForAClientWhoDoesNotRead) {
    stuck_max_ = std::chrono::milliseconds(20);
    auto body = [](ConsoleTest* t) -> Task<void> {
        t->open(Kind::pipes, Input::open);
        auto stuck = co_await t->attach(false);
        CO_REQUIRE_OK(stuck);
        pods::AttachSpec indifferent;
        indifferent.container = ContainerId("abc");
        indifferent.reads_out = false;
        auto other = co_await t->attach_as(std::move(indifferent));
        CO_REQUIRE_OK(other);
        (void)co_await fill(t);
        auto over = co_await (*stuck)->wait();
        EXPECT_FALSE(over);
        EXPECT_EQ(over.error().code, Code::exhausted);
        EXPECT_EQ(co_await fill(t), kMuch) << "who reads nothing of it holds nobody up";
        // What it had is still there, then the reason.
        auto had = co_await (*stuck)->read(OutputStream::out);
        CO_REQUIRE_OK(had);
        EXPECT_FALSE(had->empty());
        auto nothing = co_await (*stuck)->read(OutputStream::out);
        EXPECT_FALSE(nothing);
        co_await t->end();
    };
    run(body(this));
}

TEST_F(ConsoleTest, WhatIsLeftIsReadWhenTheContainerHasEnded) {
    for (const Kind kind : {Kind::pipes, Kind::terminal}) {
        auto body = [](ConsoleTest* t, Kind its) -> Task<void> {
            t->open(its, Input::open);
            auto session = co_await t->attach(true);
            CO_REQUIRE_OK(session);
            guest_writes(t->files_.out, "farewell");
            t->guest_ends();
            EXPECT_TRUE(co_await (*session)->wait());
            auto last = co_await (*session)->read(OutputStream::out);
            CO_REQUIRE_OK(last);
            EXPECT_EQ(*last, "farewell");
            last = co_await (*session)->read(OutputStream::out);
            CO_REQUIRE_OK(last);
            EXPECT_EQ(*last, "");
            EXPECT_TRUE(co_await (*session)->write_stdin("too late"));
            (void)remove_console_files(t->paths_, ContainerId("abc"));
        };
        run(body(this, kind));
    }
    run(end());
}

TEST_F(ConsoleTest, AConsoleThatNobodyHoldsAnyMoreSaysSo) {
    auto body = [](ConsoleTest* t) -> Task<void> {
        t->container_.id = "abc";
        t->container_.console = {Kind::terminal, Input::open};
        t->consoles_.emplace(t->paths_);
        t->consoles_->add(t->container_, os::Fd());
        auto session = co_await t->attach(true);
        EXPECT_FALSE(session);
        EXPECT_EQ(session.error().code, Code::unavailable);
        t->container_.console = {};
        session = co_await t->attach(true);
        EXPECT_FALSE(session);
        EXPECT_EQ(session.error().code, Code::unsupported);
    };
    run(body(this));
}

}  // namespace
}  // namespace skiff::runtime
