#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "os/clone.h"
#include "os/process.h"

namespace skiff::os {

namespace {

constexpr std::size_t kStackBytes = 256 * 1024;
constexpr int kPassedMax = 64;
// Sources are moved out of the way of the numbers they are to get; those end below this.
constexpr int kParkingFirst = 200;

// Everything the child touches: made before, because the child shares the parent's memory and other
// threads go on running; it must not allocate, lock or throw.
struct ChildPlan {
    const char* program = nullptr;
    char* const* argv = nullptr;
    char* const* env = nullptr;
    const SpawnSpec* spec = nullptr;
    const int* cgroup_fds = nullptr;
    std::size_t cgroup_count = 0;
    int null_fd = -1;
    pid_t parent = 0;
    sigset_t mask_before{};
    // Written by the child when it fails.
    int failed_errno = 0;
    const char* failed_step = "";
};

int give_up(ChildPlan& plan, const char* step) {
    plan.failed_errno = errno;
    plan.failed_step = step;
    return 127;
}

bool arrange_fds(ChildPlan& plan) {
    int parked[kPassedMax + 1];
    int count = static_cast<int>(plan.spec->fds.size());
    int parked_null = ::fcntl(plan.null_fd, F_DUPFD_CLOEXEC, kParkingFirst);
    for (int i = 0; i < count; ++i) {
        parked[i] =
            ::fcntl(plan.spec->fds[static_cast<std::size_t>(i)].fd, F_DUPFD_CLOEXEC, kParkingFirst);
        if (parked[i] < 0) {
            return false;
        }
    }
    for (int number = 0; number < 3; ++number) {
        if (::dup2(parked_null, number) < 0) {
            return false;
        }
    }
    // All that is open closes at exec, except what is put in place after this.
    ::syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
    for (int i = 0; i < count; ++i) {
        if (::dup2(parked[i], plan.spec->fds[static_cast<std::size_t>(i)].number) < 0) {
            return false;
        }
    }
    return true;
}

void reset_signals() {
    // The bare call, with the kernel's idea of a struct sigaction, all zeros: whoever stands before
    // it (ThreadSanitizer does) keeps a table of handlers in the memory that is our parent's, too.
    const std::array<std::uint64_t, 8> standard{};
    for (int signal = 1; signal < NSIG; ++signal) {
        ::syscall(SYS_rt_sigaction, signal, standard.data(), nullptr, sizeof(std::uint64_t));
    }
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

SKIFF_SHARES_MEMORY int child_main(void* argument) {
    auto& plan = *static_cast<ChildPlan*>(argument);
    const SpawnSpec& spec = *plan.spec;
    if (spec.session == Session::own && ::setsid() < 0) {
        return give_up(plan, "setsid");
    }
    if (spec.on_parent_death == OnParentDeath::die) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (::getppid() != plan.parent) {
            return give_up(plan, "parent is gone");
        }
    }
    for (std::size_t i = 0; i < plan.cgroup_count; ++i) {
        (void)!::write(plan.cgroup_fds[i], "0", 1);
    }
    if (spec.schedule == Schedule::idle) {
        struct sched_param parameters{};
        ::sched_setscheduler(0, SCHED_IDLE, &parameters);
        ::setpriority(PRIO_PROCESS, 0, 19);
    }
    if (!arrange_fds(plan)) {
        return give_up(plan, "pass descriptors");
    }
    reset_signals();
    ::execve(plan.program, plan.argv, plan.env);
    return give_up(plan, "exec");
}

std::vector<char*> c_strings(const std::vector<std::string>& texts) {
    std::vector<char*> pointers;
    pointers.reserve(texts.size() + 1);
    for (const auto& text : texts) {
        pointers.push_back(const_cast<char*>(text.c_str()));  // NOLINT: execve's type
    }
    pointers.push_back(nullptr);
    return pointers;
}

// A stack for the child, unmapped when the child has left it.
class Stack {
public:
    Stack()
        : base_(::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0)) {}
    ~Stack() {
        if (valid()) {
            ::munmap(base_, kStackBytes);
        }
    }
    Stack(const Stack&) = delete;
    Stack& operator=(const Stack&) = delete;
    [[nodiscard]] bool valid() const { return base_ != MAP_FAILED; }
    [[nodiscard]] void* top() const { return static_cast<char*>(base_) + kStackBytes; }

private:
    void* base_;
};

Result<void> check(const SpawnSpec& spec) {
    if (spec.fds.size() > kPassedMax) {
        return fail(Code::invalid, "more than {} descriptors to pass", kPassedMax);
    }
    for (const auto& passed : spec.fds) {
        if (passed.fd < 0 || passed.number < 0 || passed.number >= kParkingFirst) {
            return fail(Code::invalid, "descriptor {} cannot become {}", passed.fd, passed.number);
        }
    }
    return {};
}

}  // namespace

Result<Spawned> spawn(const SpawnSpec& spec) {
    SKIFF_CHECK(check(spec));
    std::vector<Fd> cgroups;
    std::vector<int> cgroup_numbers;
    for (const auto& folder : spec.cgroup_folders) {
        if (auto fd = open(folder / "cgroup.procs", O_WRONLY)) {
            cgroup_numbers.push_back(fd->get());
            cgroups.push_back(std::move(*fd));
        }
    }
    SKIFF_TRY(Fd null, open("/dev/null", O_RDWR));
    auto argv = c_strings(spec.argv);
    auto env = c_strings(spec.env);
    Stack stack;
    if (!stack.valid()) {
        return fail_errno(errno, "map a stack");
    }
    ChildPlan plan;
    plan.program = spec.program.c_str();
    plan.argv = argv.data();
    plan.env = env.data();
    plan.spec = &spec;
    plan.cgroup_fds = cgroup_numbers.data();
    plan.cgroup_count = cgroup_numbers.size();
    plan.null_fd = null.get();
    plan.parent = ::getpid();
    // No handler of ours may run in the child while it shares our memory.
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, &plan.mask_before);
    int pidfd = -1;
    pid_t pid = clone_sharing_memory(child_main, stack.top(),
                                     CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &plan, &pidfd);
    int clone_errno = errno;
    ::pthread_sigmask(SIG_SETMASK, &plan.mask_before, nullptr);
    if (pid < 0) {
        return fail_errno(clone_errno, "clone");
    }
    Spawned spawned{pid, Fd(pidfd)};
    if (plan.failed_errno != 0) {
        int status = 0;
        while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
        return fail_errno(plan.failed_errno,
                          fmt::format("start {}: {}", spec.program.string(), plan.failed_step));
    }
    return spawned;
}

}  // namespace skiff::os
