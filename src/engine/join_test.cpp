// A second runner in the container of a first one: what `kubectl exec` is made of.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/sanitizer_testing.h"
#include "engine/testing.h"
#include "os/file.h"

namespace skiff::engine {
namespace {

namespace fs = std::filesystem;
using testing::Agent;
using testing::KeeperProcess;
using testing::plain_grant;

class SecondRunner : public ::testing::Test {
protected:
    void SetUp() override {
        SKIFF_NOT_UNDER_THREAD_SANITIZER("the keeper's runners are in cages");
        if (::geteuid() != 0) {
            GTEST_SKIP() << "needs root";
        }
    }

    // Descriptors of a runner's namespaces, and the grant of one that joins them.
    struct Target {
        std::vector<os::Fd> held;
        [[nodiscard]] std::vector<int> fds() const {
            std::vector<int> numbers;
            for (const auto& fd : held) {
                numbers.push_back(fd.get());
            }
            return numbers;
        }
    };
    static Target look_at(std::uint32_t pid) {
        Target target;
        for (const char* name : {"mnt", "net", "uts", "user"}) {
            target.held.push_back(*os::open(fmt::format("/proc/{}/ns/{}", pid, name), O_RDONLY));
        }
        return target;
    }
    static wire::Grant joining(std::vector<std::string> args) {
        auto grant = plain_grant(std::move(args));
        constexpr auto kFirst = Agent::kPassedFd;
        grant.join = {kFirst, kFirst + 1, kFirst + 2, kFirst + 3};
        grant.identity.uid = 7;
        grant.identity.gid = 8;
        return grant;
    }
    // The container: it writes into memory of its own and waits.
    static wire::Grant container() {
        auto grant = plain_grant({"actor", "write", "/mem/note", "hello", ";", "hold"});
        grant.identity.uid = 7;
        grant.identity.gid = 8;
        wire::Mount memory;
        memory.kind = wire::MountKind::tmpfs;
        memory.target = "/mem";
        memory.access = wire::Access::read_write;
        memory.bytes_max = 1 << 20;
        grant.mounts.push_back(memory);
        return grant;
    }
    // Until the container has written its note.
    static void await_note(std::uint32_t pid) {
        const auto note = fmt::format("/proc/{}/root/mem/note", pid);
        for (int tries = 0; !os::read_file(note, 64_KiB).value_or("").ends_with("\n"); ++tries) {
            ASSERT_LT(tries, 5000) << note;
            ::poll(nullptr, 0, 2);
        }
    }
};

TEST_F(SecondRunner, SeesTheContainersFilesAsItsUser) {
    KeeperProcess keeper;
    Agent agent(keeper);
    agent.start("c", "actor", container());
    const auto pid = agent.expect<wire::Started>().pid;
    await_note(pid);
    const Target target = look_at(pid);
    agent.pass(target.fds());
    auto exited = agent.run("exec-1", "actor",
                            joining({"actor", "read", "/mem/note", ";", "write", "/mem/answer",
                                     "42", ";", "stat", "/mem/answer", ";", "exit", "3"}));
    EXPECT_EQ(exited.exit_code, 3) << exited.message << agent.log_of("exec-1");
    const std::string log = agent.log_of("exec-1");
    EXPECT_TRUE(log.starts_with("hello\n")) << log;
    // The first one's memory has it, with the second one's ids.
    struct stat facts{};
    const auto answer = fmt::format("/proc/{}/root/mem/answer", pid);
    ASSERT_EQ(::stat(answer.c_str(), &facts), 0);
    EXPECT_EQ(facts.st_uid, 0x30000000U + 7);
    EXPECT_EQ(facts.st_gid, 0x30000000U + 8);
}

TEST_F(SecondRunner, SharesNamespacesAndNotTheProcesses) {
    KeeperProcess keeper;
    Agent agent(keeper);
    agent.start("c", "actor", container());
    const auto first = agent.expect<wire::Started>().pid;
    const Target target = look_at(first);
    agent.pass(target.fds());
    // A component, too: its libc opens folders by itself.
    agent.start("exec-1", "actor-component", joining({"actor", "hold"}));
    const auto second = agent.expect<wire::Started>().pid;
    const auto link = [](std::uint32_t pid, const char* name) {
        return fs::read_symlink(fmt::format("/proc/{}/ns/{}", pid, name)).string();
    };
    for (const char* name : {"mnt", "net", "uts", "user", "ipc"}) {
        EXPECT_EQ(link(second, name), link(first, name)) << name;
    }
    EXPECT_NE(link(second, "pid"), link(first, "pid"));
    const auto status = *os::read_kernel_file(fmt::format("/proc/{}/status", second));
    EXPECT_NE(status.find("CapEff:\t0000000000000000"), std::string::npos) << status;
    EXPECT_NE(status.find("CapBnd:\t0000000000000000"), std::string::npos) << status;
    EXPECT_NE(status.find("NoNewPrivs:\t1"), std::string::npos) << status;
    EXPECT_NE(status.find("Seccomp:\t2"), std::string::npos) << status;
    // No namespace stays open for it.
    for (const auto& entry : fs::directory_iterator(fmt::format("/proc/{}/fd", second))) {
        const std::string what = fs::read_symlink(entry.path());
        EXPECT_FALSE(what.starts_with("mnt:") || what.starts_with("user:")) << what;
    }
}

TEST_F(SecondRunner, IsRefusedWithoutAWholeContainer) {
    KeeperProcess keeper;
    Agent agent(keeper);
    const Target target = look_at(static_cast<std::uint32_t>(::getpid()));
    agent.pass(target.fds());
    auto grant = joining({"actor", "exit", "0"});
    grant.join.network_fd = -1;
    agent.start("exec-1", "actor", grant);
    auto failed = agent.expect<wire::StartFailed>();
    EXPECT_EQ(failed.stage, "grant");
    // The machine's own namespaces are no container: its ids cannot be entered.
    agent.start("exec-2", "actor", joining({"actor", "exit", "0"}));
    failed = agent.expect<wire::StartFailed>();
    EXPECT_EQ(failed.stage, "identity") << failed.message;
}

}  // namespace
}  // namespace skiff::engine
