#include "sandbox/confinement.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "os/file.h"
#include "sandbox/landlock.h"
#include "sandbox/privileges.h"
#include "sandbox/user_namespace.h"

namespace skiff::sandbox {

namespace {

// Runs a step and names the stage it belongs to.
Result<void> at(std::string_view stage, Result<void> result) {
    if (!result) {
        return fail(std::move(result.error()).with_reason(std::string(stage)));
    }
    return result;
}

Result<void> join_namespace(int fd, int kind, std::string_view what) {
    if (::setns(fd, kind) < 0) {
        return fail_errno(errno, what);
    }
    return {};
}

}  // namespace

bool can_confine() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> sets{};
    if (::syscall(SYS_capget, &header, sets.data()) < 0) {
        return false;
    }
    return (sets[0].effective & (1U << CAP_SYS_ADMIN)) != 0;
}

void close_all_but(std::vector<int> kept) {
    std::ranges::sort(kept);
    unsigned from = 3;
    for (const int fd : kept) {
        if (fd < 3) {
            continue;
        }
        if (static_cast<unsigned>(fd) > from) {
            ::close_range(from, static_cast<unsigned>(fd) - 1, 0);
        }
        from = static_cast<unsigned>(fd) + 1;
    }
    ::close_range(from, ~0U, 0);
}

Result<void> leave_ipc() {
    if (::unshare(CLONE_NEWIPC) < 0) {
        return fail_errno(errno, "make an empty IPC namespace");
    }
    return {};
}

Result<Shared> make_shared_parts(std::string stage) {
    SKIFF_CHECK(os::make_folders(stage, 0700));
    Shared shared;
    shared.stage = std::move(stage);
    SKIFF_CHECK(leave_ipc());
    if (has_single_id()) {
        return shared;
    }
    // A moment in a new namespace and back: the namespace lives on behind the descriptor.
    SKIFF_TRY(auto home, os::open("/proc/self/ns/net", O_RDONLY));
    if (::unshare(CLONE_NEWNET) < 0) {
        return fail_errno(errno, "make an empty network namespace");
    }
    auto made = os::open("/proc/self/ns/net", O_RDONLY);
    SKIFF_CHECK(join_namespace(home.get(), CLONE_NEWNET, "return to the own network namespace"));
    if (!made) {
        return fail(std::move(made.error()));
    }
    shared.empty_network = std::move(*made);
    return shared;
}

Result<Groundwork> lay_groundwork(GivesIds ids) {
    if (::unshare(CLONE_NEWUTS) < 0) {
        return fail_errno(errno, "make a namespace for the host's name");
    }
    Groundwork ground;
    if (ids == GivesIds::yes) {
        SKIFF_TRY(ground.ids, os::UnmappedUserNamespace::create());
    }
    return ground;
}

Result<void> Confinement::join_cgroups() {
    for (const std::string& folder : policy_.cgroups) {
        // "0" is the writing thread or process, in every pid namespace. Where there is a file for
        // single threads (version 1), this process is one, and it moves without the lock over all
        // forks of the machine that cgroup.procs takes: some 10 ms of waiting for other CPUs.
        auto joined = os::write_kernel_file(folder + "/tasks", "0");
        if (!joined && joined.error().code == Code::not_found) {
            joined = os::write_kernel_file(folder + "/cgroup.procs", "0");
        }
        SKIFF_CHECK(std::move(joined));
    }
    return {};
}

Result<void> Confinement::join_network() {
    switch (policy_.network.kind) {
        case NetworkPlan::Kind::host:
            return {};
        case NetworkPlan::Kind::isolated:
            if (shared_.empty_network.valid()) {
                return join_namespace(shared_.empty_network.get(), CLONE_NEWNET,
                                      "join the empty network");
            }
            if (::unshare(CLONE_NEWNET) < 0) {
                return fail_errno(errno, "make an empty network");
            }
            return {};
        case NetworkPlan::Kind::joined:
            break;
    }
    if (policy_.network.fd >= 0) {
        return join_namespace(policy_.network.fd, CLONE_NEWNET, "join the pod's network");
    }
    SKIFF_TRY(auto fd, os::open(policy_.network.path, O_RDONLY));
    return join_namespace(fd.get(), CLONE_NEWNET, "join the pod's network");
}

Result<void> Confinement::make_mount_namespace() {
    if (::unshare(CLONE_NEWNS) < 0) {
        return fail_errno(errno, "make a mount namespace");
    }
    // Nothing that is mounted from here on may show on the machine, and nothing of the machine
    // here.
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) {
        return fail_errno(errno, "make the mounts private");
    }
    if (!policy_.hostname.empty() &&
        ::sethostname(policy_.hostname.data(), policy_.hostname.size()) < 0) {
        return fail_errno(errno, fmt::format("set the host name '{}'", policy_.hostname));
    }
    return {};
}

Result<void> Confinement::take_ids() {
    const bool gives_ids = policy_.ids.count > 0;
    if (!ground_) {
        SKIFF_TRY(ground_, lay_groundwork(gives_ids ? GivesIds::yes : GivesIds::no));
    }
    if (gives_ids && !policy_.join) {
        if (!ground_->ids) {
            return fail(Code::internal, "the groundwork has no user namespace");
        }
        SKIFF_TRY(user_namespace_, ground_->ids->map(id_maps(policy_)));
    }
    // Its descriptors must not outlive the caller's close_all_but().
    ground_.reset();
    return {};
}

// The caller's descriptors are closed before the cage is entered.
Result<void> Confinement::hold_cage() {
    const auto hold = [](int fd) -> Result<os::Fd> {
        os::Fd own(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
        if (!own.valid()) {
            return fail_errno(errno, "hold a namespace of the container");
        }
        return own;
    };
    const JoinPlan& join = *policy_.join;
    for (const int fd : {join.mount, join.network, join.hostname}) {
        SKIFF_TRY(auto held, hold(fd));
        cage_.push_back(std::move(held));
    }
    if (join.user >= 0) {
        SKIFF_TRY(user_namespace_, hold(join.user));
    }
    return {};
}

// Root and working folder become those of the mount namespace: what its own process pivoted to.
Result<void> Confinement::enter_cage() {
    constexpr std::array kKinds = {CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWUTS};
    for (std::size_t i = 0; i < kKinds.size(); ++i) {
        SKIFF_CHECK(join_namespace(cage_[i].get(), kKinds[i], "join the running container"));
    }
    cage_.clear();
    return {};
}

Result<void> Confinement::build() {
    SKIFF_CHECK(at("cgroup", join_cgroups()));
    SKIFF_CHECK(at("identity", take_ids()));
    if (policy_.join) {
        return at("root", hold_cage());
    }
    // Sources are taken in the machine's mount namespace: its mounts cannot be cloned from another.
    SKIFF_CHECK(at("mounts", tree_.open()));
    SKIFF_CHECK(at("network", join_network()));
    SKIFF_CHECK(at("root", make_mount_namespace()));
    return at("mounts", tree_.assemble(shared_.stage));
}

Result<void> Confinement::enter() {
    return at("root", policy_.join ? enter_cage() : tree_.enter());
}

std::vector<int> Confinement::descriptors() const {
    std::vector<int> own = tree_.descriptors();
    own.push_back(user_namespace_.get());
    for (const auto& held : cage_) {
        own.push_back(held.get());
    }
    return own;
}

Result<void> Confinement::lock() {
    SKIFF_CHECK(at("lockdown", set_limits(policy_.limits)));
    // A pod's own namespace is the keeper's work; without one an ordinary user may be at it.
    const auto old = user_namespace_.valid() ? OldGroups::drop : OldGroups::keep_if_forbidden;
    if (user_namespace_.valid()) {
        SKIFF_CHECK(at("identity", join_namespace(user_namespace_.get(), CLONE_NEWUSER,
                                                  "join the pod's user namespace")));
        user_namespace_.reset();
    }
    ::umask(022);
    SKIFF_CHECK(at("identity", drop_to(policy_.who, file_credentials(policy_), old)));
    // A change of ids clears this wish, so it comes after it.
    if (policy_.on_parent_death == OnParentDeath::die &&
        ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) {
        return at("lockdown", fail_errno(errno, "ask to die with the parent"));
    }
    if (policy_.landlock == Landlock::on) {
        const TcpAccess tcp =
            policy_.syscalls == SyscallProfile::command_network ? TcpAccess::all : TcpAccess::none;
        SKIFF_CHECK(at("lockdown", restrict_to("/", tcp)));
    }
    return at("lockdown", filter_.install());
}

}  // namespace skiff::sandbox
