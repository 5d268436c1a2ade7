// A second process in a cage that somebody lives in.
#include <fcntl.h>
#include <sys/utsname.h>

#include "sandbox/cage_fixture.h"

namespace skiff::sandbox {
namespace {

// A caged process that waits until it may end, so that others can look at it meanwhile.
class Join : public Cage {
protected:
    static Credentials who() { return {7, 8, {9}}; }

    static PolicyBuilder with_memory() {
        TreeEntry memory;
        memory.kind = TreeEntry::Kind::tmpfs;
        memory.target = "/mem";
        memory.access = Access::read_write;
        memory.bytes_max = 1 << 20;
        memory.mode = 01777;
        auto builder = plain();
        builder.run_as(who()).name_host("boat").add(memory);
        return builder;
    }
    static PolicyBuilder joining(const JoinPlan& plan) {
        PolicyBuilder builder;
        builder.map_ids({kBase, 65536}).run_as(who()).join_cage(plan, RunningCage{});
        return builder;
    }
    // Says that it is where it wants to be, and waits for leave to go on.
    struct Gate {
        os::Pipe ready = *os::make_pipe();
        os::Pipe leave = *os::make_pipe();
        void pass() const {
            (void)!::write(ready.write.get(), "x", 1);
            char byte = 0;
            (void)!::read(leave.read.get(), &byte, 1);
        }
        void await() const {
            char byte = 0;
            EXPECT_EQ(::read(ready.read.get(), &byte, 1), 1);
        }
        void open() { (void)!::write(leave.write.get(), "x", 1); }
    };

    struct Namespaces {
        os::Fd mount;
        os::Fd network;
        os::Fd hostname;
        os::Fd user;
        [[nodiscard]] JoinPlan plan() const {
            return {mount.get(), network.get(), hostname.get(), user.get()};
        }
    };
    static os::Fd name_space(pid_t pid, const char* name) {
        return *os::open(fmt::format("/proc/{}/ns/{}", pid, name), O_RDONLY);
    }
    static Namespaces namespaces_of(pid_t pid) {
        return {name_space(pid, "mnt"), name_space(pid, "net"), name_space(pid, "uts"),
                name_space(pid, "user")};
    }
    static std::string link(pid_t pid, const char* name) {
        return fs::read_symlink(fmt::format("/proc/{}/ns/{}", pid, name));
    }
};

TEST_F(Join, SeesTheFilesAndTheNamesOfTheOneInside) {
    Gate first_gate;
    auto first = start(*with_memory().build(), [&] {
        const int file = ::open("/mem/note", O_WRONLY | O_CREAT, 0644);
        const bool written = ::write(file, "hello", 5) == 5;
        first_gate.pass();
        return written ? 0 : 1;
    });
    first_gate.await();
    const Namespaces inside = namespaces_of(first.pid);
    Gate second_gate;
    auto second = start(*joining(inside.plan()).build(), [&] {
        second_gate.pass();
        std::array<char, 16> text{};
        const int file = ::open("/mem/note", O_RDONLY);
        if (::read(file, text.data(), text.size()) != 5 || std::string(text.data()) != "hello") {
            return 1;
        }
        struct stat facts{};
        if (::fstat(file, &facts) < 0 || facts.st_uid != 7 || facts.st_gid != 8) {
            return 2;
        }
        // It writes where the first can read.
        return ::open("/mem/answer", O_WRONLY | O_CREAT, 0644) >= 0 ? 0 : 3;
    });
    second_gate.await();
    for (const char* name : {"mnt", "net", "uts", "user"}) {
        EXPECT_EQ(link(second.pid, name), link(first.pid, name)) << name;
        EXPECT_NE(link(second.pid, name), link(::getpid(), name)) << name;
    }
    EXPECT_NE(link(second.pid, "pid"), link(first.pid, "pid"));
    EXPECT_EQ(fs::read_symlink(fmt::format("/proc/{}/cwd", second.pid)), "/");
    second_gate.open();
    const Ending ending = wait(std::move(second));
    EXPECT_EQ(ending.error, "");
    EXPECT_EQ(ending.code, 0);
    first_gate.open();
    EXPECT_EQ(wait(std::move(first)).code, 0);
}

TEST_F(Join, HasNoMoreThanTheOneInside) {
    Gate gate;
    auto first = start(*with_memory().build(), [&] {
        gate.pass();
        return 0;
    });
    gate.await();
    const Namespaces inside = namespaces_of(first.pid);
    const auto policy = *joining(inside.plan()).build();
    const fs::path outside = folder_ / "outside";
    ASSERT_TRUE(os::write_file_atomic(outside, "x", 0666, os::Durability::process));
    const std::string machines = outside;
    EXPECT_EQ(run(policy, [&] { return failed_with(::open(machines.c_str(), O_RDONLY)); }).code,
              ENOENT);
    EXPECT_EQ(run(policy, [] { return failed_with(::open("/../proc/self/stat", O_RDONLY)); }).code,
              ENOENT);
    EXPECT_EQ(
        run(policy, [] { return failed_with(::open("/new", O_WRONLY | O_CREAT, 0644)); }).code,
        EROFS);
    // The descriptors of the namespaces are not left to it.
    const auto fds = {inside.mount.get(), inside.network.get(), inside.user.get()};
    for (const int fd : fds) {
        EXPECT_EQ(run(policy, [fd] { return failed_with(::setns(fd, 0)); }).signal, SIGSYS);
    }
    EXPECT_EQ(run(policy, [] { return failed_with(::unshare(CLONE_NEWNS)); }).signal, SIGSYS);
    gate.open();
    EXPECT_EQ(wait(std::move(first)).code, 0);
}

TEST_F(Join, FailsInAStageWhenTheDescriptorIsNoNamespace) {
    auto null_device = *os::open("/dev/null", O_RDONLY);
    const int fd = null_device.get();
    const Ending ending = run(*joining({fd, fd, fd, fd}).build(), [] { return 0; });
    EXPECT_EQ(ending.code, 99);
    EXPECT_TRUE(ending.error.starts_with("root: ")) << ending.error;
}

TEST(JoinPolicy, IsAPowerThatIsNamedAndWhole) {
    PolicyBuilder builder;
    builder.map_ids({kBase, 65536}).run_as({1, 2, {}}).join_cage({3, 4, 5, 6}, RunningCage{});
    EXPECT_NE(dump(*builder.build()).find("files, network and host name of a cage that runs\n"),
              std::string::npos);
    const auto builds = [](const JoinPlan& plan, bool with_tree) {
        PolicyBuilder other;
        other.map_ids({kBase, 10}).join_cage(plan, RunningCage{});
        if (with_tree) {
            TreeEntry entry;
            entry.kind = TreeEntry::Kind::tmpfs;
            entry.target = "/mem";
            other.add(entry);
        }
        return other.build().has_value();
    };
    EXPECT_TRUE(builds({3, 4, 5, 6}, false));
    EXPECT_FALSE(builds({3, 4, 5, 6}, true));
    EXPECT_FALSE(builds({-1, 4, 5, 6}, false));
    EXPECT_FALSE(builds({3, -1, 5, 6}, false));
    EXPECT_FALSE(builds({3, 4, -1, 6}, false));
    EXPECT_FALSE(builds({3, 4, 5, -1}, false));
}

}  // namespace
}  // namespace skiff::sandbox
