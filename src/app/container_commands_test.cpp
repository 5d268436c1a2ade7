#include "app/container_commands.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "async/scope.h"
#include "os/fd.h"
#include "pods/fakes.h"

namespace skiff::app {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Containers whose commands say something at once, and end when the test says so.
class Talkers final : public pods::fakes::Guests {
public:
    using Guests::Guests;
    pods::Task<Result<std::unique_ptr<pods::ExecSession>>> exec(pods::ExecSpec spec) override {
        (void)os::write_all(spec.stdout_fd, out);
        (void)os::write_all(spec.stderr_fd, err);
        auto session = co_await Guests::exec(std::move(spec));
        if (session && ends) {
            end_command(*ends);
        }
        co_return session;
    }
    std::string out;
    std::string err;
    std::optional<int> ends = 0;
};

class ContainerCommandsTest : public ::testing::Test {
protected:
    ContainerCommandsTest() {
        pods::ContainerRecord record;
        record.id = ContainerId("c1");
        record.name = "main";
        record.phase = pods::ContainerRecord::Phase::started;
        guests.records.push_back(record);
    }
    Result<pods::CommandEnd> run(Duration timeout = seconds(30)) {
        pods::CommandRun its;
        its.container = ContainerId("c1");
        its.command = {"check"};
        its.timeout = timeout;
        return async::run_to_end(reactor, commands.run(std::move(its)));
    }

    ManualClock clock{WallTime(seconds(1'800'000'000))};
    async::Reactor reactor;
    pods::fakes::ImageStore images;
    Talkers guests{clock};
    ContainerCommands commands{images, guests};
};

TEST_F(ContainerCommandsTest, KeepsBothStreamsAndTheExitCode) {
    guests.out = "one\n";
    guests.err = "two\n";
    guests.ends = 3;
    auto end = run();
    ASSERT_TRUE(end) << format_as(end.error());
    EXPECT_EQ(end->exit_code, 3);
    EXPECT_EQ(end->output, "one\ntwo\n");
    EXPECT_EQ(guests.commands.at(0).command, std::vector<std::string>{"check"});
    EXPECT_EQ(guests.commands.at(0).stdin_fd, -1);
}

TEST_F(ContainerCommandsTest, OfALongOutputKeepsTheBeginning) {
    guests.out = std::string(30'000, 'x');
    auto end = run();
    ASSERT_TRUE(end) << format_as(end.error());
    EXPECT_EQ(end->output, std::string(pods::Commands::kOutputBytesMax, 'x'));
}

TEST_F(ContainerCommandsTest, ACommandThatLastsTooLongIsKilled) {
    guests.ends.reset();
    auto end = run(milliseconds(20));
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, Code::timeout);
    EXPECT_TRUE(guests.sessions.at(0)->ended.is_set());
    EXPECT_EQ(guests.sessions.at(0)->exit.kind, pods::ExitKind::killed);
}

TEST_F(ContainerCommandsTest, ACommandThatCannotRunSaysWhy) {
    guests.records.clear();
    auto end = run();
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, Code::conflict);
}

}  // namespace
}  // namespace skiff::app
