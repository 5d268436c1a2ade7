#include "app/check_kernel.h"

#include <fmt/ranges.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "app/powers.h"
#include "os/file.h"
#include "os/id_map_probe.h"
#include "os/machine.h"
#include "os/user_namespace.h"

namespace skiff::app {

namespace {

struct Call {
    std::string_view name;
    long number;
    std::string_view needed_for;
};
constexpr Call kCalls[] = {
    {"pidfd_open", SYS_pidfd_open, "following runners over an agent's restart"},
    {"pidfd_send_signal", SYS_pidfd_send_signal, "ending runners"},
    {"memfd_create", SYS_memfd_create, "what a runner is told"},
    {"close_range", SYS_close_range, "starting programs"},
    {"openat2", SYS_openat2, "subPath volumes and images"},
    {"mount_setattr", SYS_mount_setattr, "volumes with the pod's ids"},
    {"clone3", SYS_clone3, "starting programs"},
};

struct Namespace {
    std::string_view kind;
    std::string_view option;
};
constexpr Namespace kNamespaces[] = {
    {"user", "CONFIG_USER_NS"}, {"mnt", "CONFIG_NAMESPACES"}, {"pid", "CONFIG_PID_NS"},
    {"net", "CONFIG_NET_NS"},   {"ipc", "CONFIG_IPC_NS"},     {"uts", "CONFIG_UTS_NS"},
};

// A kernel that does not know a call says so before it looks at what it is given.
bool has_call(long number) {
    return ::syscall(number, -1, -1, -1, -1, -1) >= 0 || errno != ENOSYS;
}

bool has_seccomp_filter() {
    std::uint32_t action = SECCOMP_RET_ERRNO;
    return ::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

int landlock_abi() {
    constexpr std::uint32_t kVersion = 1;  // LANDLOCK_CREATE_RULESET_VERSION
    long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, kVersion);
    return abi < 0 ? 0 : static_cast<int>(abi);
}

std::string error_of_user_namespace() {
    constexpr std::uint32_t kFirst = 100'000;
    os::IdMaps maps;
    maps.users = {{0, kFirst, 65'536}};
    maps.groups = maps.users;
    auto made = os::create_user_namespace(maps);
    return made ? "" : made.error().message;
}

}  // namespace

KernelFacts observe_kernel() {
    KernelFacts facts;
    facts.root = ::geteuid() == 0;
    facts.release = os::kernel().release;
    facts.proc = os::read_kernel_file("/proc/self/stat").has_value();
    for (const Namespace& kind : kNamespaces) {
        if (::access(fmt::format("/proc/self/ns/{}", kind.kind).c_str(), F_OK) == 0) {
            facts.namespaces.emplace(kind.kind);
        }
    }
    facts.user_namespace_error = error_of_user_namespace();
    if (auto probe = os::IdMapProbe::create(); !probe) {
        facts.idmapped_mounts_error = probe.error().message;
    }
    facts.landlock_abi = landlock_abi();
    facts.seccomp_filter = has_seccomp_filter();
    for (const Call& call : kCalls) {
        if (has_call(call.number)) {
            facts.calls.emplace(call.name);
        }
    }
    os::CapabilitySet wanted = agent_capabilities() | started_capabilities();
    auto had = os::permitted_capabilities();
    os::CapabilitySet missing = had ? wanted - *had : wanted;
    if (!missing.empty()) {
        facts.missing_capabilities.push_back(os::names_of(missing));
    }
    return facts;
}

static Finding judge_powers(const KernelFacts& facts) {
    if (!facts.root) {
        return {"kernel: powers", Verdict::fail, "this is not root",
                "Run the node (and this check) as root."};
    }
    if (!facts.missing_capabilities.empty()) {
        return {"kernel: powers", Verdict::warn,
                fmt::format("missing: {}", fmt::join(facts.missing_capabilities, ", ")),
                "Give the service or container these capabilities; what needs them is left out."};
    }
    return fine("kernel: powers", "root with all capabilities that the node uses");
}

Findings judge_kernel(const KernelFacts& facts) {
    Findings all;
    all.push_back(judge_powers(facts));
    all.push_back(facts.proc ? fine("kernel: /proc", facts.release)
                             : Finding{"kernel: /proc", Verdict::fail,
                                       "it does not tell of this process", "Mount proc on /proc."});
    for (const Namespace& kind : kNamespaces) {
        std::string check = fmt::format("kernel: {} namespaces", kind.kind);
        if (facts.namespaces.contains(std::string(kind.kind))) {
            all.push_back(fine(check, "there"));
        } else {
            all.push_back({check, Verdict::fail, "the kernel has none",
                           fmt::format("Use a kernel with {}.", kind.option)});
        }
    }
    all.push_back(
        facts.user_namespace_error.empty()
            ? fine("kernel: ids of pods", "a user namespace with 65,536 ids was made")
            : Finding{"kernel: ids of pods", Verdict::fail, facts.user_namespace_error,
                      "Allow user namespaces: sysctl user.max_user_namespaces above 0, and "
                      "CAP_SETUID and CAP_SETGID."});
    all.push_back(facts.idmapped_mounts_error.empty()
                      ? fine("kernel: idmapped mounts", "there")
                      : Finding{"kernel: idmapped mounts", Verdict::warn,
                                facts.idmapped_mounts_error,
                                "Use Linux 5.12 or newer; without, volumes are chowned and foreign "
                                "filesystems opened with real ids."});
    all.push_back(facts.landlock_abi > 0
                      ? fine("kernel: Landlock", fmt::format("version {}", facts.landlock_abi))
                      : Finding{"kernel: Landlock", Verdict::warn, "not there",
                                "Use a kernel with CONFIG_SECURITY_LANDLOCK, and landlock in the "
                                "boot parameter lsm=; without, guests have one lock less."});
    all.push_back(facts.seccomp_filter ? fine("kernel: seccomp", "filters are there")
                                       : Finding{"kernel: seccomp", Verdict::fail, "no filters",
                                                 "Use a kernel with CONFIG_SECCOMP_FILTER."});
    for (const Call& call : kCalls) {
        std::string check = fmt::format("kernel: {}", call.name);
        if (facts.calls.contains(std::string(call.name))) {
            all.push_back(fine(check, "there"));
        } else {
            all.push_back(
                {check, Verdict::fail,
                 fmt::format("not there; it is needed for {}", call.needed_for),
                 "Use Linux 5.12 or newer, and a container runtime that lets it through."});
        }
    }
    return all;
}

}  // namespace skiff::app
