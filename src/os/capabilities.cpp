#include "os/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>

namespace skiff::os {

namespace {

// In the order of their numbers.
constexpr std::string_view kNames[] = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};
static_assert(std::size(kNames) == CAP_CHECKPOINT_RESTORE + 1);
static_assert(kNames[CAP_SYS_ADMIN] == "SYS_ADMIN" && kNames[CAP_SETFCAP] == "SETFCAP");

constexpr int kNumbers = 64;

using Words = std::array<__user_cap_data_struct, 2>;

__user_cap_header_struct header() {
    return {_LINUX_CAPABILITY_VERSION_3, 0};
}

CapabilitySet joined(std::uint32_t low, std::uint32_t high) {
    return CapabilitySet::from_bits(low | std::uint64_t{high} << 32);
}

}  // namespace

std::string names_of(CapabilitySet set) {
    std::string names;
    for (int number = 0; number < kNumbers; ++number) {
        if (!set.contains(number)) {
            continue;
        }
        const auto index = static_cast<std::size_t>(number);
        names += names.empty() ? "" : ", ";
        names += index < std::size(kNames) ? fmt::format("CAP_{}", kNames[index])
                                           : fmt::format("{}", number);
    }
    return names;
}

Result<CapabilitySet> permitted_capabilities() {
    Words words{};
    auto head = header();
    if (::syscall(SYS_capget, &head, words.data()) < 0) {
        return fail_errno(errno, "read the capabilities");
    }
    return joined(words[0].permitted, words[1].permitted);
}

CapabilitySet bounding_capabilities() {
    std::uint64_t bits = 0;
    for (int number = 0; number < kNumbers; ++number) {
        if (::prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1) {
            bits |= std::uint64_t{1} << number;
        }
    }
    return CapabilitySet::from_bits(bits);
}

Result<void> keep_capabilities(CapabilitySet own, CapabilitySet started) {
    SKIFF_TRY(const CapabilitySet had, permitted_capabilities());
    if (had.contains(CAP_SETPCAP)) {
        const CapabilitySet surplus = bounding_capabilities() - (own | started);
        for (int number = 0; number < kNumbers; ++number) {
            if (surplus.contains(number) && ::prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0) {
                return fail_errno(errno, "drop a capability from the bounding set");
            }
        }
    }
    const CapabilitySet kept = had & own;
    const auto low = static_cast<std::uint32_t>(kept.bits());
    const auto high = static_cast<std::uint32_t>(kept.bits() >> 32);
    // With the inheritable ones the ambient ones go, too.
    const Words words{{{low, low, 0}, {high, high, 0}}};
    auto head = header();
    if (::syscall(SYS_capset, &head, words.data()) < 0) {
        return fail_errno(errno, "give up capabilities");
    }
    return {};
}

}  // namespace skiff::os
