// Commands in containers, with the real engine.
#include <fcntl.h>

#include "runtime/live_fixture.h"

namespace skiff::runtime {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// A container that has written a note and waits, and commands in it.
class Exec : public Live {
public:
    Task<ContainerId> container() {
        auto started = co_await start_actor("write /note hello ; print ready ; hold");
        if (!started) {
            ADD_FAILURE() << format_as(started.error());
            co_return ContainerId();
        }
        co_await wrote(*started, "ready");
        co_return std::move(*started);
    }

    // `script` as actor.c reads it, split at blanks.
    pods::ExecSpec command(const ContainerId& id, std::string_view script) {
        pods::ExecSpec spec;
        spec.container = id;
        spec.command = {"actor"};
        for (auto word : split(script, ' ')) {
            spec.command.emplace_back(word);
        }
        auto fd = os::open(guest("actor.wasm"), O_RDONLY);
        auto hash = state::hash_file(fd->get());
        spec.module = pods::ModuleFile{guest("actor.wasm"), "sha256:" + hash->hex, hash->size};
        spec.stdout_fd = out_.write.get();
        spec.stderr_fd = out_.write.get();
        return spec;
    }
    // What commands have written since the last call.
    std::string output() {
        std::string text(64 << 10, '\0');
        ::fcntl(out_.read.get(), F_SETFL, O_NONBLOCK);
        auto size = ::read(out_.read.get(), text.data(), text.size());
        text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
        return text;
    }
    Task<void> says(std::string text) {
        auto deadline = soon();
        std::string all;
        while ((all += output()).find(text) == std::string::npos) {
            CO_REQUIRE(std::chrono::steady_clock::now() < deadline, "no such output: " + text);
            (void)co_await async::sleep_for(std::chrono::milliseconds(2));
        }
    }
    // A command that runs until it is ended, and has begun.
    Task<Result<std::unique_ptr<pods::ExecSession>>> hold(ContainerId id) {
        auto spec = command(id, "print here ; hold");
        auto session = co_await runtime_->exec(std::move(spec));
        if (session) {
            co_await says("here");
        }
        co_return std::move(session);
    }
    Task<pods::ContainerExit> run_command(pods::ExecSpec spec) {
        auto session = co_await runtime_->exec(std::move(spec));
        if (!session) {
            ADD_FAILURE() << format_as(session.error());
            co_return pods::ContainerExit{};
        }
        auto exit = co_await (*session)->wait();
        co_return std::move(*exit);
    }
    std::vector<std::string> pages() { return *os::list_folder(paths_.run_dir / "runners"); }
    // Processes in the container's group.
    std::vector<int> processes(const ContainerId& id) {
        auto tree = open_cgroups(*instance_, settings_.cgroup_root);
        return tree->processes(pod_cgroup(PodUid("uid-1")) + "/" + id.str().substr(0, 16));
    }
    // The same while there is no agent.
    std::vector<int> processes_now(const ContainerId& id) {
        instance_ = std::move(*state::Instance::open(paths_, random_));
        auto found = processes(id);
        instance_.reset();
        return found;
    }
    // Until the keeper has removed what told the command's end.
    Task<void> forgotten() {
        auto deadline = soon();
        while (!os::list_folder(paths_.run_dir / "exits")->empty()) {
            CO_REQUIRE(std::chrono::steady_clock::now() < deadline, "an end is not forgotten");
            (void)co_await async::sleep_for(std::chrono::milliseconds(2));
        }
    }
    Task<void> alone(ContainerId id) {
        auto deadline = soon();
        while (processes(id).size() > 1) {
            CO_REQUIRE(std::chrono::steady_clock::now() < deadline, "commands do not end");
            (void)co_await async::sleep_for(std::chrono::milliseconds(2));
        }
    }

    os::Pipe out_ = *os::make_pipe();
};

TEST_F(Exec, RunsBesideTheContainerWithItsFilesAndReturnsTheExitCode) {
    spec_.env = {"COLOR=blue"};
    spec_.uid = 7;
    auto body = [](Exec* t) -> Task<void> {
        co_await t->boot();
        ContainerId id = co_await t->container();
        auto spec = t->command(id, "read /note ; env COLOR ; write /answer 42 ; exit 7");
        auto exit = co_await t->run_command(std::move(spec));
        EXPECT_EQ(exit.exit_code, 7) << exit.message;
        EXPECT_EQ(exit.kind, pods::ExitKind::exited);
        EXPECT_THAT(t->output(), HasSubstr("hello\nCOLOR=blue\n"));
        // Its end leaves nothing, and it was no container.
        EXPECT_THAT(t->pages(), SizeIs(1));
        co_await t->forgotten();
        EXPECT_THAT(t->runtime_->containers(PodUid("uid-1")), SizeIs(1));
        auto pid = t->record(id)->pid;
        EXPECT_EQ(contents(fmt::format("/proc/{}/root/answer", pid)), "42\n");
        EXPECT_EQ(t->processes(id), std::vector<int>{pid});
    };
    run(body(this));
}

TEST_F(Exec, PassesStandardInput) {
    auto body = [](Exec* t) -> Task<void> {
        co_await t->boot();
        ContainerId id = co_await t->container();
        auto in = *os::make_pipe();
        EXPECT_EQ(::write(in.write.get(), "ahoy\n", 5), 5);
        in.write.reset();
        auto spec = t->command(id, "stdin");
        spec.stdin_fd = in.read.get();
        auto exit = co_await t->run_command(std::move(spec));
        EXPECT_EQ(exit.exit_code, 0);
        EXPECT_EQ(t->output(), "ahoy\n");
        // Without, there is nothing to read.
        auto without = t->command(id, "stdin ; print end");
        exit = co_await t->run_command(std::move(without));
        EXPECT_EQ(exit.exit_code, 0);
        EXPECT_EQ(t->output(), "end\n");
    };
    run(body(this));
}

TEST_F(Exec, EndsWithItsSession) {
    auto body = [](Exec* t) -> Task<void> {
        co_await t->boot();
        ContainerId id = co_await t->container();
        auto session = co_await t->hold(id);
        CO_REQUIRE_OK(session);
        EXPECT_THAT(t->processes(id), SizeIs(2));
        session->reset();
        co_await t->alone(id);
        EXPECT_FALSE(t->record(id)->exit);
    };
    run(body(this));
}

TEST_F(Exec, EndsWhenNobodyReadsItsOutput) {
    auto body = [](Exec* t) -> Task<void> {
        co_await t->boot();
        ContainerId id = co_await t->container();
        auto pipe = os::make_pipe();
        CO_REQUIRE_OK(pipe);
        pipe->read.reset();
        // It never looks whether a write succeeds.
        auto spec = t->command(id, "flood 1000000000 10 ; hold");
        spec.stdout_fd = pipe->write.get();
        auto session = co_await t->runtime_->exec(std::move(spec));
        CO_REQUIRE_OK(session);
        auto exit = co_await (*session)->wait();
        CO_REQUIRE_OK(exit);
        EXPECT_EQ(exit->exit_code, 141);
        EXPECT_FALSE(t->record(id)->exit);
    };
    run(body(this));
}

TEST_F(Exec, EndsWithItsContainer) {
    auto body = [](Exec* t) -> Task<void> {
        co_await t->boot();
        ContainerId id = co_await t->container();
        auto session = co_await t->hold(id);
        CO_REQUIRE_OK(session);
        auto stopped = co_await t->runtime_->stop(id, Duration::zero());
        CO_REQUIRE_OK(stopped);
        // stop() has waited for it.
        EXPECT_THAT(t->pages(), SizeIs(1));
        auto exit = co_await (*session)->wait();
        EXPECT_EQ(exit->exit_code, 137);
        EXPECT_EQ(exit->kind, pods::ExitKind::killed);
        auto late = t->command(id, "print late");
        auto refused = co_await t->runtime_->exec(std::move(late));
        CO_REQUIRE(!refused, "a command runs in a container that has ended");
        EXPECT_EQ(refused.error().code, Code::conflict);
        EXPECT_EQ(refused.error().message, "container \"c\" is not running");
        EXPECT_THAT(*os::list_folder(t->paths_.grants()), IsEmpty());
    };
    run(body(this));
}

TEST_F(Exec, HasTheContainersMemoryLimit) {
    spec_.limits.memory = 16_MiB;
    auto body = [](Exec* t) -> Task<void> {
        co_await t->boot();
        ContainerId id = co_await t->container();
        auto spec = t->command(id, "grow 64");
        auto exit = co_await t->run_command(std::move(spec));
        EXPECT_EQ(exit.kind, pods::ExitKind::out_of_memory) << exit.message;
        EXPECT_EQ(exit.exit_code, 137);
        EXPECT_FALSE(t->record(id)->exit);
    };
    run(body(this));
}

TEST_F(Exec, OfAnAgentThatIsGoneIsEndedByTheNext) {
    auto body = [](Exec* t) -> Task<void> {
        co_await t->boot();
        ContainerId id = co_await t->container();
        auto session = co_await t->hold(id);
        CO_REQUIRE_OK(session);
        auto before = t->processes(id);
        EXPECT_THAT(before, SizeIs(2));
        // What SIGKILL of the agent leaves: the command runs on.
        co_await t->crash();
        co_await t->boot();
        co_await t->alone(id);
        EXPECT_FALSE(t->record(id)->exit);
        EXPECT_THAT(t->runtime_->containers(PodUid("uid-1")), SizeIs(1));
        // And it takes new ones.
        auto again = t->command(id, "read /note");
        auto exit = co_await t->run_command(std::move(again));
        EXPECT_EQ(exit.exit_code, 0) << exit.message;
        EXPECT_THAT(t->output(), HasSubstr("hello\n"));
    };
    run(body(this));
}

TEST_F(Exec, OfAnAgentAndAKeeperThatAreGoneIsEndedByTheNext) {
    auto body = [](Exec* t) -> Task<void> {
        co_await t->boot();
        ContainerId id = co_await t->container();
        auto session = co_await t->hold(id);
        CO_REQUIRE_OK(session);
        auto pid = t->record(id)->pid;
        auto keeper = os::open_pidfd(t->keeper_pid());
        co_await t->crash();
        CO_REQUIRE_OK(os::send_signal(keeper->get(), SIGKILL));
        (void)co_await async::wait_readable(keeper->get(), soon());
        EXPECT_THAT(t->processes_now(id), SizeIs(2));
        co_await t->boot();
        co_await t->alone(id);
        EXPECT_EQ(t->record(id)->pid, pid);
        EXPECT_FALSE(t->record(id)->exit);
        auto again = t->command(id, "read /note");
        auto exit = co_await t->run_command(std::move(again));
        EXPECT_EQ(exit.exit_code, 0) << exit.message;
    };
    run(body(this));
}

TEST_F(Exec, IsLostWithItsKeeperAndTheContainerIsNot) {
    auto body = [](Exec* t) -> Task<void> {
        co_await t->boot();
        ContainerId id = co_await t->container();
        auto session = co_await t->hold(id);
        CO_REQUIRE_OK(session);
        ::kill(t->keeper_pid(), SIGKILL);
        auto exit = co_await (*session)->wait();
        CO_REQUIRE_OK(exit);
        EXPECT_EQ(exit->kind, pods::ExitKind::lost);
        co_await t->alone(id);
        EXPECT_FALSE(t->record(id)->exit);
        EXPECT_THAT(t->pages(), SizeIs(1));
    };
    run(body(this));
}

TEST_F(Exec, IsRefusedWithAReason) {
    auto body = [](Exec* t) -> Task<void> {
        co_await t->boot();
        ContainerId id = co_await t->container();
        auto spec = t->command(id, "print x");
        spec.command.clear();
        auto refused = co_await t->runtime_->exec(std::move(spec));
        CO_REQUIRE(!refused, "without a command");
        EXPECT_EQ(refused.error().code, Code::invalid);
        // What is no Wasm is left to the toolbox.
        auto script = t->command(id, "print x");
        script.module->path = "/bin/sh";
        refused = co_await t->runtime_->exec(std::move(script));
        CO_REQUIRE(!refused, "without a toolbox");
        EXPECT_EQ(refused.error().code, Code::unsupported);
        EXPECT_THAT(refused.error().message, HasSubstr("toolbox"));
        // A container of an older agent.
        CO_REQUIRE_OK(os::remove_file(t->paths_.grant(id)));
        auto old = t->command(id, "print x");
        refused = co_await t->runtime_->exec(std::move(old));
        CO_REQUIRE(!refused, "without a grant");
        EXPECT_EQ(refused.error().code, Code::unsupported);
        auto unknown = t->command(ContainerId("00"), "print x");
        refused = co_await t->runtime_->exec(std::move(unknown));
        CO_REQUIRE(!refused, "without a container");
        EXPECT_EQ(refused.error().code, Code::conflict);
    };
    run(body(this));
}

TEST_F(Exec, IsBoundedForEachContainer) {
    auto body = [](Exec* t) -> Task<void> {
        co_await t->boot();
        ContainerId id = co_await t->container();
        std::vector<std::unique_ptr<pods::ExecSession>> sessions;
        for (std::size_t i = 0; i < Execs::kSessionsOfContainerMax; ++i) {
            auto spec = t->command(id, "hold");
            auto session = co_await t->runtime_->exec(std::move(spec));
            CO_REQUIRE_OK(session);
            sessions.push_back(std::move(*session));
        }
        auto spec = t->command(id, "hold");
        auto refused = co_await t->runtime_->exec(std::move(spec));
        CO_REQUIRE(!refused, "one too many");
        EXPECT_EQ(refused.error().code, Code::exhausted);
        sessions.clear();
        co_await t->alone(id);
    };
    run(body(this));
}

TEST_F(Exec, RunsTheToolboxForWhatTheImageDoesNotHave) {
    // Any module can play it: what it does with its arguments is its own affair.
    settings_.toolbox_folder = folder_ / "libexec";
    fs::create_directories(settings_.toolbox_folder);
    fs::copy_file(guest("actor.wasm"), settings_.toolbox_folder / "toolbox-component.wasm");
    auto body = [](Exec* t) -> Task<void> {
        co_await t->boot();
        ContainerId id = co_await t->container();
        auto spec = t->command(id, "read /note ; args ; exit 5");
        spec.module.reset();
        auto exit = co_await t->run_command(std::move(spec));
        EXPECT_EQ(exit.exit_code, 5) << exit.message;
        EXPECT_THAT(t->output(), HasSubstr("hello\n"));
        EXPECT_EQ(t->runtime_->image_of(id)->kind, pods::ImageKind::artifact);
        // It is in no image, so no image's end makes it stale.
        auto stopped = co_await t->runtime_->stop(id, Duration::zero());
        CO_REQUIRE_OK(stopped);
        std::set<std::string> none;
        auto dropped = co_await t->runtime_->drop_artifacts(std::move(none));
        EXPECT_TRUE(dropped && dropped->value == 0);
    };
    run(body(this));
}

}  // namespace
}  // namespace skiff::runtime
