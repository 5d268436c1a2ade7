// For tests of this room: a child that confines itself exactly as a runner does, and then
// misbehaves.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <functional>
#include <string>

#include "base/sanitizer_testing.h"
#include "os/file.h"
#include "sandbox/confinement.h"

namespace skiff::sandbox {

namespace fs = std::filesystem;
constexpr std::uint32_t kBase = 0x20000000;

struct Ending {
    int code = -1;
    int signal = 0;
    std::string error;  // of the confinement, if it failed
};

class Cage : public ::testing::Test {
protected:
    void SetUp() override {
        SKIFF_NOT_UNDER_THREAD_SANITIZER("forks are put into a cage");
        if (!can_confine()) {
            GTEST_SKIP() << "needs CAP_SYS_ADMIN";
        }
        std::string pattern = fs::temp_directory_path() / "skiff-cage-XXXXXX";
        folder_ = ::mkdtemp(pattern.data());
        ::chmod(folder_.c_str(), 0755);
        shared_ = *make_shared_parts(folder_ / "stage");
    }
    void TearDown() override {
        if (!folder_.empty()) {
            ASSERT_TRUE(os::remove_tree(folder_));
        }
    }

    static PolicyBuilder plain() {
        PolicyBuilder builder;
        builder.map_ids({kBase, 65536}).run_as({0, 0, {}}).use_empty_root(0);
        return builder;
    }

    // Forks a child into a pid namespace of its own, confines it and runs `act` there.
    Ending run(const Policy& policy, const std::function<int()>& act) {
        return wait(start(policy, act));
    }
    struct Caged {
        pid_t pid = -1;
        os::Fd errors;
    };
    Caged start(const Policy& policy, const std::function<int()>& act) {
        SyscallFilter filter = *SyscallFilter::build(policy.syscalls);
        auto pipe = *os::make_pipe();
        auto home = *os::open("/proc/self/ns/pid", O_RDONLY);
        EXPECT_EQ(::unshare(CLONE_NEWPID), 0);
        const pid_t pid = ::fork();
        if (pid == 0) {
            Confinement confinement(policy, shared_, filter);
            auto done = confinement.build();
            done = done ? confinement.enter() : done;
            done = done ? confinement.lock() : done;
            if (!done) {
                const std::string text = done.error().reason + ": " + done.error().message;
                (void)!::write(pipe.write.get(), text.data(), text.size());
                ::_exit(99);
            }
            ::_exit(act());
        }
        EXPECT_EQ(::setns(home.get(), CLONE_NEWPID), 0);
        return {pid, std::move(pipe.read)};
    }
    // Until it ends.
    static Ending wait(Caged caged) {
        Ending ending;
        ending.error = *os::read_all(caged.errors.get(), 64_KiB);
        int status = 0;
        EXPECT_EQ(::waitpid(caged.pid, &status, 0), caged.pid);
        ending.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        ending.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        return ending;
    }

    // The act must not get anywhere: it dies of the filter.
    void expect_killed(const char* what, const std::function<int()>& act) {
        const Ending ending = run(*plain().build(), act);
        EXPECT_EQ(ending.error, "");
        EXPECT_EQ(ending.signal, SIGSYS) << what << " ended with " << ending.code;
    }

    fs::path folder_;
    Shared shared_;
};

inline int failed_with(long result) {
    return result < 0 ? errno : 0;
}

}  // namespace skiff::sandbox
