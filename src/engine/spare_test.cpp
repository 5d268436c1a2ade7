// The runner that waits for the next start.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <filesystem>

#include "base/text.h"
#include "engine/testing.h"
#include "os/file.h"
#include "os/process.h"

namespace skiff::engine {
namespace {

namespace fs = std::filesystem;
using testing::Agent;
using testing::KeeperProcess;
using testing::plain_grant;

std::vector<pid_t> children_of(pid_t pid) {
    std::vector<pid_t> children;
    const auto text = os::read_kernel_file(fmt::format("/proc/{0}/task/{0}/children", pid));
    for (const auto word : split(trim(text.value_or("")), ' ')) {
        if (const auto number = parse_int(word)) {
            children.push_back(static_cast<pid_t>(*number));
        }
    }
    return children;
}

bool comes_true(const std::function<bool()>& condition) {
    for (int tries = 0; tries < 2000; ++tries) {
        if (condition()) {
            return true;
        }
        ::poll(nullptr, 0, 5);
    }
    return false;
}

class Spare : public ::testing::Test {
protected:
    static void SetUpTestSuite() { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }

    pid_t wait_for_spare() {
        EXPECT_TRUE(comes_true([this] { return children_of(keeper_.pid()).size() == 1; }));
        return children_of(keeper_.pid())[0];
    }

    KeeperProcess keeper_;
};

TEST_F(Spare, IsMadeWhenItIsQuietAndTakesTheNextStart) {
    Agent agent(keeper_);
    const pid_t first = wait_for_spare();
    agent.start("a", "actor", plain_grant({"actor", "hold"}));
    EXPECT_EQ(agent.expect<wire::Started>().pid, static_cast<std::uint32_t>(first));
    // The next one waits beside the guest.
    ASSERT_TRUE(comes_true([this] { return children_of(keeper_.pid()).size() == 2; }));
    agent.send(wire::Kill{"a"});
    agent.expect<wire::Exited>();
    const pid_t second = wait_for_spare();
    EXPECT_NE(second, first);
    agent.start("b", "actor", plain_grant({"actor", "exit", "3"}));
    EXPECT_EQ(agent.expect<wire::Started>().pid, static_cast<std::uint32_t>(second));
    EXPECT_EQ(agent.expect<wire::Exited>().exit_code, 3);
}

TEST_F(Spare, ThatDiedDelaysNoStart) {
    Agent agent(keeper_);
    const pid_t spare = wait_for_spare();
    ASSERT_EQ(::kill(spare, SIGKILL), 0);
    ASSERT_TRUE(comes_true([this] { return children_of(keeper_.pid()).empty(); }));
    EXPECT_EQ(agent.run("a", "actor", plain_grant({"actor", "exit", "3"})).exit_code, 3);
    EXPECT_EQ(agent.run("b", "actor", plain_grant({"actor", "exit", "4"})).exit_code, 4);
}

TEST_F(Spare, KnowsNothingOfEarlierStarts) {
    Agent agent(keeper_);
    agent.start("a", "actor", plain_grant({"actor", "hold"}));
    const auto runner = agent.expect<wire::Started>().pid;
    ASSERT_TRUE(comes_true([this] { return children_of(keeper_.pid()).size() == 2; }));
    for (const pid_t pid : children_of(keeper_.pid())) {
        if (static_cast<std::uint32_t>(pid) == runner) {
            continue;
        }
        // It is born with the keeper's descriptors and closes them as its first act.
        EXPECT_TRUE(comes_true([pid] {
            std::error_code error;
            for (const auto& entry : fs::directory_iterator(fmt::format("/proc/{}/fd", pid))) {
                const auto target = fs::read_symlink(entry.path(), error).string();
                if (target.find("memfd") != std::string::npos ||
                    target.find("log-") != std::string::npos ||
                    target.find("runners") != std::string::npos ||
                    target.find("eventfd") != std::string::npos ||
                    target.find("signalfd") != std::string::npos) {
                    return false;
                }
            }
            return true;
        }));
    }
    agent.send(wire::Kill{"a"});
    agent.expect<wire::Exited>();
}

TEST_F(Spare, EndsWithItsKeeperAndDoesNotHoldUpADrain) {
    const pid_t spare = wait_for_spare();
    keeper_.kill();
    EXPECT_TRUE(comes_true([spare] {
        return !os::start_time_of(spare) || ::kill(spare, 0) != 0 ||
               ::waitpid(spare, nullptr, WNOHANG) == spare;
    }));
    KeeperProcess second;
    ASSERT_TRUE(comes_true([&] { return children_of(second.pid()).size() == 1; }));
    {
        Agent agent(second);
        agent.send(wire::Shutdown{wire::ShutdownMode::when_empty});
    }
    second.wait_ended();
}

}  // namespace
}  // namespace skiff::engine
