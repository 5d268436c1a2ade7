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
    const std::string text =
        os::read_kernel_file(fmt::format("/proc/{0}/task/{0}/children", pid)).value_or("");
    for (const auto word : split(trim(text), ' ')) {
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

// What the descriptors above 2 are of: "socket", "net", "uid_map" …
std::vector<std::string> descriptors_of(pid_t pid) {
    std::vector<std::string> kinds;
    const auto names =
        os::list_folder(fmt::format("/proc/{}/fd", pid)).value_or(std::vector<std::string>{});
    for (const auto& name : names) {
        std::error_code error;
        const auto target = fs::read_symlink(fmt::format("/proc/{}/fd/{}", pid, name), error);
        if (parse_int(name).value_or(0) > 2) {
            const std::string last = target.filename().string();
            kinds.push_back(last.substr(0, last.find(':')));
        }
    }
    std::ranges::sort(kinds);
    return kinds;
}

// Its end of the keeper's socket, /dev/null, the empty network, and a user namespace with the files
// of its maps.
const std::vector<std::string> kOfASpare = {"gid_map", "net", "null", "socket", "uid_map", "user"};

class Spare : public ::testing::Test {
protected:
    static void SetUpTestSuite() { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }

    pid_t wait_for_spare() {
        EXPECT_TRUE(comes_true([this] { return children_of(keeper_.pid()).size() == 1; }));
        const auto children = children_of(keeper_.pid());
        return children.empty() ? -1 : children[0];
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
        EXPECT_TRUE(comes_true([pid] { return descriptors_of(pid) == kOfASpare; }))
            << fmt::format("{}", fmt::join(descriptors_of(pid), " "));
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
