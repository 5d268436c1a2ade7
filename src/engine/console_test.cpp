// What a keeper holds of a container for the agents to come, and where a runner's output goes.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sanitizer_testing.h"
#include "engine/testing.h"

namespace skiff::engine {
namespace {

using testing::Agent;
using testing::KeeperProcess;
using testing::plain_grant;

// Reads to the end.
std::string rest_of(int fd) {
    std::string all;
    std::array<char, 4096> buffer;
    ssize_t size = 0;
    while ((size = ::read(fd, buffer.data(), buffer.size())) > 0) {
        all.append(buffer.data(), static_cast<std::size_t>(size));
    }
    return all;
}

wire::Start with_console() {
    wire::Start start;
    start.has_console = true;
    return start;
}

TEST(KeeperConsole, IsLentToEachAgentThroughExecutionsUntilTheContainerEnds) {
    SKIFF_NOT_UNDER_THREAD_SANITIZER("the keeper's runners are in cages");
    KeeperProcess keeper({"--starts-max=1"});
    auto pipe = *os::make_pipe();
    {
        Agent agent(keeper);
        agent.pass({pipe.write.get()});
        agent.start("a", "actor", plain_grant({"actor", "hold"}), with_console());
        agent.expect<wire::Started>();
        pipe.write.reset();
    }
    // The keeper has executed itself anew before it answers.
    Agent agent(keeper);
    os::Fd lent = agent.borrow("a");
    ASSERT_TRUE(lent.valid());
    EXPECT_EQ(::write(lent.get(), "kept", 4), 4);
    lent.reset();
    EXPECT_TRUE(Agent(keeper).borrow("a").valid());
    agent.send(wire::Kill{"a"});
    agent.expect<wire::Exited>();
    EXPECT_FALSE(agent.borrow("a").valid());
    // Nobody has it any more, the runner never had.
    EXPECT_EQ(rest_of(pipe.read.get()), "kept");
}

TEST(KeeperConsole, NothingIsLentOfAContainerWithoutOne) {
    SKIFF_NOT_UNDER_THREAD_SANITIZER("the keeper's runners are in cages");
    KeeperProcess keeper;
    Agent agent(keeper);
    agent.start("a", "actor", plain_grant({"actor", "hold"}));
    agent.expect<wire::Started>();
    EXPECT_FALSE(agent.borrow("a").valid());
    EXPECT_FALSE(agent.borrow("b").valid());
}

// A runner's stdout to a FIFO that is its audience as well.
class RunnerAudience : public ::testing::Test {
public:
    void SetUp() override {
        SKIFF_NOT_UNDER_THREAD_SANITIZER("the keeper's runners are in cages");
        path_ = keeper_.folder() / "out";
        ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
        reader_ = *os::open(path_, O_RDONLY | O_NONBLOCK);
        writer_ = *os::open(path_, O_WRONLY | O_NONBLOCK);
    }
    void start(std::vector<std::string> args) {
        wire::Grant grant = plain_grant(std::move(args));
        grant.log.stdout_fd = grant.log.audience_fd = Agent::kPassedFd;
        grant.stdin_fd = Agent::kPassedFd + 1;
        agent_.pass({writer_.get(), input_.read.get()});
        agent_.start("a", "actor", grant);
        agent_.expect<wire::Started>();
        writer_.reset();
        input_.read.reset();
    }

    KeeperProcess keeper_;
    Agent agent_{keeper_};
    std::filesystem::path path_;
    os::Fd reader_;
    os::Fd writer_;
    os::Pipe input_ = *os::make_pipe();
};

TEST_F(RunnerAudience, GetsAllWhileItListens) {
    start({"actor", "flood", "3000", "100"});
    ::fcntl(reader_.get(), F_SETFL, 0);
    EXPECT_EQ(rest_of(reader_.get()).size(), 300'000U);
    EXPECT_EQ(agent_.expect<wire::Exited>().exit_code, 0);
}

TEST_F(RunnerAudience, IsNotWaitedForWhenItIsGone) {
    reader_.reset();
    start({"actor", "flood", "3000", "100"});
    EXPECT_EQ(agent_.expect<wire::Exited>().exit_code, 0);
}

TEST_F(RunnerAudience, LetsTheGuestGoOnWhenItGoesAndMayComeBack) {
    start({"actor", "flood", "3000", "100", ";", "stdin", ";", "print", "again"});
    // It blocks in the middle of the flood.
    pollfd full{reader_.get(), POLLIN, 0};
    ASSERT_EQ(::poll(&full, 1, 10'000), 1);
    reader_.reset();
    for (int tries = 0; agent_.log_of("a").find("\n000002999 ") == std::string::npos; ++tries) {
        ASSERT_LT(tries, 2000);
        ::poll(nullptr, 0, 5);
    }
    const os::Fd back = *os::open(path_, O_RDONLY);
    input_.write.reset();
    EXPECT_THAT(rest_of(back.get()), ::testing::EndsWith("again\n"));
    EXPECT_EQ(agent_.expect<wire::Exited>().exit_code, 0);
    EXPECT_THAT(agent_.log_of("a"), ::testing::EndsWith("again\n"));
}

}  // namespace
}  // namespace skiff::engine
