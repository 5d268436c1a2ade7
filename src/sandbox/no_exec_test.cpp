#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/syscalls.h"

namespace skiff::sandbox {
namespace {

// The wait status of a child that forbids itself executable memory and then does `act`.
template <typename Act>
int status_after(Act act) {
    const pid_t child = ::fork();
    if (child == 0) {
        (void)::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (!forbid_executable_memory()) {
            ::_exit(1);
        }
        act();
        ::_exit(0);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return status;
}

void* map(int protection) {
    return ::mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

TEST(NoExecutableMemory, KillsWhoMapsItAndWhoMakesItSo) {
    const int mapped = status_after([] { map(PROT_READ | PROT_EXEC); });
    ASSERT_TRUE(WIFSIGNALED(mapped));
    EXPECT_EQ(WTERMSIG(mapped), SIGSYS);
    const int changed = status_after([] { ::mprotect(map(PROT_READ), 4096, PROT_EXEC); });
    ASSERT_TRUE(WIFSIGNALED(changed));
    EXPECT_EQ(WTERMSIG(changed), SIGSYS);
    const int by_key =
        status_after([] { ::pkey_mprotect(map(PROT_READ), 4096, PROT_READ | PROT_EXEC, -1); });
    ASSERT_TRUE(WIFSIGNALED(by_key));
}

TEST(NoExecutableMemory, LeavesAllElseAlone) {
    const int status = status_after([] {
        void* memory = map(PROT_READ | PROT_WRITE);
        if (memory == MAP_FAILED || ::mprotect(memory, 4096, PROT_READ) != 0) {
            ::_exit(2);
        }
    });
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace skiff::sandbox
