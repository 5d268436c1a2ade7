#include "sandbox/landlock.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "os/fd.h"

namespace skiff::sandbox {

namespace {

// Debian 12's headers know ABI 2; these are the kernel's numbers up to ABI 6.
struct RulesetAttributes {
    std::uint64_t handled_access_fs = 0;
    std::uint64_t handled_access_net = 0;  // ABI 4
    std::uint64_t scoped = 0;              // ABI 6
};
struct [[gnu::packed]] PathAttributes {
    std::uint64_t allowed_access = 0;
    std::int32_t parent_fd = -1;
};
constexpr long kCreateRuleset = 444;
constexpr long kAddRule = 445;
constexpr long kRestrictSelf = 446;
constexpr unsigned kVersionFlag = 1;
constexpr int kRulePathBeneath = 1;

constexpr std::uint64_t kExecute = 1U << 0;
constexpr std::uint64_t kMakeChar = 1U << 6;
constexpr std::uint64_t kMakeSocket = 1U << 9;
constexpr std::uint64_t kMakeBlock = 1U << 11;
constexpr std::uint64_t kIoctlDevice = 1U << 15;
constexpr std::uint64_t kTcpBindConnect = 3;
constexpr std::uint64_t kScopeAbstractAndSignal = 3;

// Every right on files that this version of Landlock can take away.
std::uint64_t file_rights(int abi) {
    std::uint64_t rights = (1U << 13) - 1;  // ABI 1: execute … make a symbolic link
    if (abi >= 2) {
        rights |= 1U << 13;  // refer: link and rename between folders
    }
    if (abi >= 3) {
        rights |= 1U << 14;  // truncate
    }
    if (abi >= 5) {
        rights |= kIoctlDevice;
    }
    return rights;
}

}  // namespace

int landlock_abi() {
    const long abi = ::syscall(kCreateRuleset, nullptr, 0, kVersionFlag);
    return abi < 0 ? 0 : static_cast<int>(abi);
}

Result<void> restrict_to(const std::string& root, TcpAccess tcp) {
    const int abi = landlock_abi();
    if (abi == 0) {
        return {};
    }
    RulesetAttributes attributes;
    attributes.handled_access_fs = file_rights(abi);
    std::size_t size = 8;
    if (abi >= 4) {
        size = 16;
        attributes.handled_access_net = tcp == TcpAccess::none ? kTcpBindConnect : 0;
    }
    if (abi >= 6) {
        size = 24;
        attributes.scoped = kScopeAbstractAndSignal;
    }
    const os::Fd ruleset(static_cast<int>(::syscall(kCreateRuleset, &attributes, size, 0)));
    if (!ruleset.valid()) {
        return fail_errno(errno, "make a Landlock ruleset");
    }
    SKIFF_TRY(auto folder, os::open(root, O_PATH | O_DIRECTORY));
    PathAttributes path;
    path.allowed_access = attributes.handled_access_fs &
                          ~(kExecute | kMakeChar | kMakeSocket | kMakeBlock | kIoctlDevice);
    path.parent_fd = folder.get();
    if (::syscall(kAddRule, ruleset.get(), kRulePathBeneath, &path, 0) < 0) {
        return fail_errno(errno, "add a Landlock rule");
    }
    if (::syscall(kRestrictSelf, ruleset.get(), 0) < 0) {
        return fail_errno(errno, "apply Landlock");
    }
    return {};
}

}  // namespace skiff::sandbox
