#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>

#include "sandbox/syscalls.h"

namespace skiff::sandbox {

namespace {

// mmap, mprotect and pkey_mprotect have their protection in the same argument.
constexpr std::uint32_t kProtectionOffset = offsetof(seccomp_data, args) + 2 * sizeof(__u64);

// `arch`: an audit architecture, which is what libseccomp's numbers are.
std::array<sock_filter, 10> program_for(std::uint32_t arch) {
    return {
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arch, 0, 6),
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mmap, 2, 0),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mprotect, 1, 0),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_pkey_mprotect, 0, 3),
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kProtectionOffset),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
        sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
}

}  // namespace

Result<void> forbid_executable_memory() {
    auto filter = program_for(seccomp_arch_native());
    const sock_fprog program{filter.size(), filter.data()};
    if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0) {
        return fail_errno(errno, "forbid executable memory");
    }
    return {};
}

}  // namespace skiff::sandbox
