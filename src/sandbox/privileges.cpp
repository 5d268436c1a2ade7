#include "sandbox/privileges.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace skiff::sandbox {

namespace {

Result<void> lower(__rlimit_resource resource, std::uint64_t value, std::string_view what) {
    rlimit limit{};
    if (::getrlimit(resource, &limit) < 0) {
        return fail_errno(errno, what);
    }
    // Raising a hard limit needs CAP_SYS_RESOURCE, which is not always there; nobody needs it.
    limit.rlim_max = std::min<rlim_t>(limit.rlim_max, value);
    limit.rlim_cur = limit.rlim_max;
    if (::setrlimit(resource, &limit) < 0) {
        return fail_errno(errno, what);
    }
    return {};
}

Result<void> drop_bounding_set() {
    for (int capability = 0; capability <= 63; ++capability) {
        if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) {
            if (errno == EINVAL) {
                return {};  // beyond the kernel's last capability
            }
            return fail_errno(errno, "drop a capability from the bounding set");
        }
    }
    return {};
}

// setfsuid(2) and setfsgid(2) tell no failure but by what they answer the next time.
Result<void> open_files_as(const Credentials& files) {
    ::syscall(SYS_setfsgid, files.gid);
    ::syscall(SYS_setfsuid, files.uid);
    if (::syscall(SYS_setfsgid, -1) != static_cast<long>(files.gid) ||
        ::syscall(SYS_setfsuid, -1) != static_cast<long>(files.uid)) {
        return fail(Code::denied, "the ids for files cannot be taken");
    }
    return {};
}

Result<void> clear_capabilities() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    const std::array<__user_cap_data_struct, 2> none{};
    if (::syscall(SYS_capset, &header, none.data()) < 0) {
        return fail_errno(errno, "clear the capabilities");
    }
    return {};
}

}  // namespace

Result<void> set_limits(const Limits& limits) {
    SKIFF_CHECK(lower(RLIMIT_CORE, 0, "limit core dumps"));
    SKIFF_CHECK(lower(RLIMIT_NOFILE, limits.open_files_max, "limit open files"));
    SKIFF_CHECK(lower(RLIMIT_NPROC, limits.threads_max, "limit threads"));
    SKIFF_CHECK(lower(RLIMIT_MEMLOCK, 0, "limit locked memory"));
    SKIFF_CHECK(lower(RLIMIT_MSGQUEUE, 0, "limit message queues"));
    if (limits.address_space_bytes) {
        SKIFF_CHECK(lower(RLIMIT_AS, *limits.address_space_bytes, "limit the address space"));
    }
    if (limits.cpu_seconds) {
        SKIFF_CHECK(lower(RLIMIT_CPU, *limits.cpu_seconds, "limit the CPU time"));
    }
    return {};
}

Result<void> drop_to(const Credentials& who, const std::optional<Credentials>& files,
                     OldGroups old) {
    SKIFF_CHECK(drop_bounding_set());
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) {
        return fail_errno(errno, "clear the ambient capabilities");
    }
    // NO_SETUID_FIXUP: no change of ids takes a capability by itself, which would come too early
    // for the next one; all are cleared below.
    constexpr unsigned long kNoRoot = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
                                      SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
                                      SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                                      SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    if (::prctl(PR_SET_SECUREBITS, kNoRoot, 0, 0, 0) < 0) {
        return fail_errno(errno, "take root its power");
    }
    // Raw calls: glibc's would look for other threads to change as well, and there are none.
    const std::vector<std::uint32_t>& groups = files ? files->groups : who.groups;
    const long grouped = ::syscall(SYS_setgroups, groups.size(), groups.data());
    if (grouped < 0 && !(errno == EPERM && old == OldGroups::keep_if_forbidden)) {
        return fail_errno(errno, "set the groups");
    }
    if (::syscall(SYS_setresgid, who.gid, who.gid, who.gid) < 0) {
        return fail_errno(errno, fmt::format("become group {}", who.gid));
    }
    if (::syscall(SYS_setresuid, who.uid, who.uid, who.uid) < 0) {
        return fail_errno(errno, fmt::format("become user {}", who.uid));
    }
    if (files) {
        SKIFF_CHECK(open_files_as(*files));
    }
    SKIFF_CHECK(clear_capabilities());
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return fail_errno(errno, "give up new privileges");
    }
    return {};
}

}  // namespace skiff::sandbox
