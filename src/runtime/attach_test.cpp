// Clients of consoles, with the real engine and real guests.
#include "runtime/live_fixture.h"

namespace skiff::runtime {
namespace {

using pods::OutputStream;
using testing::HasSubstr;
using Kind = pods::Console::Kind;
using Input = pods::Console::Input;

class Attach : public Live {
public:
    // The toolbox's shell, which says when it reads.
    Task<ContainerId> shell(Kind kind, Input input) {
        spec_.console = {kind, input};
        spec_.tty = kind == Kind::terminal;
        std::vector<std::string> words = {"sh"};
        auto started = co_await start_guest("toolbox.wasm", std::move(words));
        if (!started) {
            ADD_FAILURE() << format_as(started.error());
            co_return ContainerId();
        }
        co_return std::move(*started);
    }
    Task<std::unique_ptr<pods::AttachSession>> attach(ContainerId id, bool sends = true) {
        pods::AttachSpec spec;
        spec.container = std::move(id);
        spec.sends = sends;
        auto session = co_await runtime_->attach(std::move(spec));
        if (!session) {
            ADD_FAILURE() << format_as(session.error());
            co_return nullptr;
        }
        co_return std::move(*session);
    }
    Task<Code> refusal(ContainerId id) {
        pods::AttachSpec spec;
        spec.container = std::move(id);
        auto session = co_await runtime_->attach(std::move(spec));
        EXPECT_FALSE(session);
        co_return session ? Code::internal : session.error().code;
    }
    // Says `line` until `answer` comes: a shell may be at any place.
    static Task<void> says(pods::AttachSession* session, std::string line, std::string answer) {
        CO_REQUIRE(session != nullptr, "no session");
        auto written = co_await session->write_stdin(std::move(line));
        CO_REQUIRE_OK(written);
        std::string all;
        while (all.find(answer) == std::string::npos) {
            auto more = co_await session->read(OutputStream::out);
            CO_REQUIRE(more && !more->empty(), all);
            all += *more;
        }
    }
};

TEST_F(Attach, AClientTalksToAShellWhoseInputEndsWithIt) {
    auto body = [](Attach* t) -> Task<void> {
        co_await t->boot();
        ContainerId id = co_await t->shell(Kind::pipes, Input::once);
        auto session = co_await t->attach(id);
        co_await says(session.get(), "echo ahoy\n", "ahoy\n");
        session->close_stdin();
        EXPECT_TRUE(co_await session->wait());
        auto record = co_await t->ended(id);
        EXPECT_EQ(record.exit->exit_code, 0);
        EXPECT_EQ(printed(record.log_path), "ahoy\n") << "the log has it as well";
        EXPECT_TRUE(os::list_folder(t->paths_.consoles())->empty());
        EXPECT_EQ(co_await t->refusal(id), Code::conflict);
    };
    run(body(this));
}

TEST_F(Attach, AnOpenInputOutlivesItsClientsAndTheAgent) {
    auto body = [](Attach* t) -> Task<void> {
        co_await t->boot();
        ContainerId id = co_await t->shell(Kind::pipes, Input::open);
        auto session = co_await t->attach(id);
        co_await says(session.get(), "a=1; echo first\n", "first\n");
        session.reset();
        session = co_await t->attach(id);
        co_await says(session.get(), "a=$a-2; echo $a\n", "1-2\n");
        session.reset();
        co_await t->crash();
        co_await t->boot();
        session = co_await t->attach(id);
        co_await says(session.get(), "echo $a-3\n", "1-2-3\n");
        co_await says(session.get(), "exit 7\n", "");
        EXPECT_TRUE(co_await session->wait());
        EXPECT_EQ((co_await t->ended(id)).exit->exit_code, 7);
    };
    run(body(this));
}

TEST_F(Attach, ATerminalOutlivesTheAgentThatDiesWithAClient) {
    auto body = [](Attach* t) -> Task<void> {
        co_await t->boot();
        ContainerId id = co_await t->shell(Kind::terminal, Input::once);
        auto session = co_await t->attach(id);
        co_await says(session.get(), "a=kept\recho $a\r", "kept\r\n$ ");
        co_await t->crash();
        EXPECT_TRUE(co_await session->wait()) << "the client sees its session end";
        session.reset();
        co_await t->boot();
        session = co_await t->attach(id);
        co_await says(session.get(), "echo \"still $a\"\r", "still kept\r\n");
        co_await says(session.get(), "exit 3\r", "");
        EXPECT_EQ((co_await t->ended(id)).exit->exit_code, 3);
    };
    run(body(this));
}

TEST_F(Attach, AnInputThatIsOnceEndsWithTheAgentOfItsClientAndNotBefore) {
    auto body = [](Attach* t) -> Task<void> {
        co_await t->boot();
        ContainerId id = co_await t->shell(Kind::pipes, Input::once);
        co_await t->crash();
        co_await t->boot();
        auto session = co_await t->attach(id);
        co_await says(session.get(), "echo here\n", "here\n");
        // As after SIGKILL: nobody has ended the input of a client that went with its agent.
        co_await t->crash();
        co_await t->boot();
        EXPECT_EQ((co_await t->ended(id)).exit->exit_code, 0);
    };
    run(body(this));
}

TEST_F(Attach, AGuestWithoutClientsWaitsForNobody) {
    auto body = [](Attach* t) -> Task<void> {
        co_await t->boot();
        for (Kind kind : {Kind::pipes, Kind::terminal}) {
            t->spec_.console = {kind, Input::open};
            auto id = co_await t->start_actor("flood 20000 100");
            CO_REQUIRE_OK(id);
            EXPECT_EQ((co_await t->ended(*id)).exit->exit_code, 0);
        }
    };
    run(body(this));
}

TEST_F(Attach, AGuestThatWaitsForItsClientGoesOnWhenTheAgentDies) {
    auto body = [](Attach* t) -> Task<void> {
        co_await t->boot();
        for (Kind kind : {Kind::pipes, Kind::terminal}) {
            t->spec_.console = {kind, Input::once};
            auto id = co_await t->start_actor("stdin ; flood 20000 100");
            CO_REQUIRE_OK(id);
            auto session = co_await t->attach(*id);
            CO_REQUIRE(session != nullptr, "no session");
            // The end of the input: a terminal's is a key.
            if (kind == Kind::terminal) {
                auto typed = co_await session->write_stdin("\x04");
                CO_REQUIRE_OK(typed);
            } else {
                session->close_stdin();
            }
            auto first = co_await session->read(OutputStream::out);
            CO_REQUIRE_OK(first);
            EXPECT_TRUE(t->record(*id)->runs()) << "two megabytes cannot have been read yet";
            co_await t->crash();
            session.reset();
            co_await t->boot();
            EXPECT_EQ((co_await t->ended(*id)).exit->exit_code, 0);
        }
    };
    run(body(this));
}

TEST_F(Attach, AConsoleIsLostOnlyWithAgentAndKeeper) {
    auto body = [](Attach* t) -> Task<void> {
        co_await t->boot();
        t->spec_.console = {Kind::terminal, Input::open};
        auto id = co_await t->start_actor("hold");
        CO_REQUIRE_OK(id);
        ::kill(t->keeper_pid(), SIGKILL);
        auto session = co_await t->attach(*id);
        co_await says(session.get(), "anybody\r", "anybody\r\n");
        session.reset();
        co_await t->crash();
        co_await t->boot();
        EXPECT_EQ(co_await t->refusal(*id), Code::unavailable);
        EXPECT_TRUE(t->record(*id)->runs()) << "the guest itself goes on";
    };
    run(body(this));
}

TEST_F(Attach, AContainerWithoutAConsoleIsNotAttachedTo) {
    auto body = [](Attach* t) -> Task<void> {
        co_await t->boot();
        auto id = co_await t->start_actor("hold");
        CO_REQUIRE_OK(id);
        EXPECT_EQ(co_await t->refusal(*id), Code::unsupported);
        EXPECT_FALSE(fs::exists(t->paths_.consoles()));
    };
    run(body(this));
}

}  // namespace
}  // namespace skiff::runtime
