// How a keeper comes to life, and how it does so again without its runners noticing.
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>

#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "base/log_format.h"
#include "engine/fresh.h"
#include "engine/identity.h"
#include "engine/keeper.h"
#include "os/capabilities.h"
#include "os/file.h"
#include "os/packet.h"
#include "os/process.h"
#include "wire/paths.h"
#include "wire/powers.h"

namespace skiff::engine {

namespace {

constexpr Bytes kStateBytesMax = 64_MiB;

// Signals reach a keeper only on purpose: its agent's terminal and service are not its own.
Result<os::Fd> take_signals() {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) {
        ::signal(signal, SIG_IGN);
    }
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    if (::sigprocmask(SIG_SETMASK, &children, nullptr) < 0) {
        return fail_errno(errno, "block SIGCHLD");
    }
    os::Fd fd(::signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd.valid()) {
        return fail_errno(errno, "make a signal descriptor");
    }
    return fd;
}

// Four descriptors for each runner, at most.
void raise_open_files() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)::setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void keep_through_exec(int fd) {
    if (fd >= 0) {
        ::fcntl(fd, F_SETFD, 0);
    }
}

void close_on_exec(int fd) {
    if (fd >= 0) {
        ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
}

// Everything that a runner needs before its last lock, and no more. What is missing was the agent's
// to warn of.
Result<void> keep_powers() {
    os::CapabilitySet wanted;
    for (const int number : wire::kKeeperCapabilities) {
        wanted = wanted | os::CapabilitySet{number};
    }
    return os::keep_capabilities(wanted, {});
}

Result<os::Fd> take_lock(const std::string& path) {
    SKIFF_TRY(auto fd, os::open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) < 0) {
        return fail(Code::exists, "a keeper of this build serves the folder already");
    }
    return fd;
}

}  // namespace

Result<std::unique_ptr<Keeper>> Keeper::create(const KeeperSettings& settings) {
    std::unique_ptr<Keeper> keeper(new Keeper(settings));
    SKIFF_CHECK(keeper->set_up());
    return keeper;
}

Result<void> Keeper::set_up() {
    raise_open_files();
    SKIFF_CHECK(os::make_folders(settings_.run_dir, 0700));
    SKIFF_CHECK(os::make_folders(wire::exits_folder(settings_.run_dir), 0700));
    SKIFF_CHECK(os::make_folders(wire::runners_folder(settings_.run_dir), 0700));
    const std::string socket = wire::keeper_socket(settings_.run_dir, build_id());
    if (settings_.resume_fd >= 0) {
        SKIFF_CHECK(take_over(settings_.resume_fd));
    } else {
        SKIFF_TRY(lock_, take_lock(socket + ".lock"));
        if (settings_.lifetime == Lifetime::with_keeper) {
            SKIFF_TRY(parent_, os::open_pidfd(::getppid()));
        }
    }
    SKIFF_TRY(signals_, take_signals());
    SKIFF_TRY(parts_, make_runner_parts(settings_.run_dir));
    parts_->lifetime = settings_.lifetime;
    SKIFF_CHECK(keep_powers());
    SKIFF_TRY(own_pid_namespace_, os::open("/proc/self/ns/pid", O_RDONLY));
    if (!listener_.valid()) {
        SKIFF_TRY(listener_, os::listen_packets(socket));
    }
    fill_heap();
    log::info("keeper serves", log::kv("build", build_id()), log::kv("run_dir", settings_.run_dir),
              log::kv("executions", executions_), log::kv("containers", children_.size()));
    return {};
}

Result<void> Keeper::take_over(int state_fd) {
    const os::Fd owned(state_fd);
    SKIFF_TRY(const auto bytes, os::read_all(state_fd, kStateBytesMax));
    SKIFF_TRY(auto state, wire::decode<KeeperState>(bytes));
    listener_.reset(state.listen_fd);
    lock_.reset(state.lock_fd);
    parent_.reset(state.parent_fd);
    for (const int fd : {state.listen_fd, state.lock_fd, state.parent_fd}) {
        close_on_exec(fd);
    }
    for (const int fd : state.connection_fds) {
        close_on_exec(fd);
        connections_.push_back(std::make_unique<Connection>(os::Fd(fd)));
    }
    for (Child& child : state.children) {
        close_on_exec(child.stop_fd);
        close_on_exec(child.console_fd);
        children_.emplace(child.container_id, std::move(child));
    }
    exits_ = std::move(state.exits);
    executions_ = state.executions;
    return {};
}

KeeperState Keeper::state() const {
    KeeperState state;
    state.listen_fd = listener_.get();
    state.lock_fd = lock_.get();
    state.parent_fd = parent_.get();
    for (const auto& connection : connections_) {
        state.connection_fds.push_back(connection->fd());
    }
    for (const auto& [id, child] : children_) {
        state.children.push_back(child);
    }
    state.exits = exits_;
    state.executions = executions_ + 1;
    return state;
}

void Keeper::execute_anew() {
    // What waits to be sent would be lost with this memory: next time.
    for (const auto& connection : connections_) {
        if (connection->has_backlog()) {
            return;
        }
    }
    starts_ = 0;
    const KeeperState state = this->state();
    auto memory = os::make_sealed_memfd("keeper-state", wire::encode(state));
    if (!memory) {
        log::warn("keeper stays as it is", log::kv("error", memory.error().message));
        return;
    }
    std::vector<int> fds = {memory->get(), state.listen_fd, state.lock_fd, state.parent_fd};
    fds.insert(fds.end(), state.connection_fds.begin(), state.connection_fds.end());
    for (const Child& child : state.children) {
        fds.push_back(child.stop_fd);
        fds.push_back(child.console_fd);
    }
    for (const int fd : fds) {
        keep_through_exec(fd);
    }
    std::vector<std::string> words = {"skiff-engine", "keep", "--run-dir=" + settings_.run_dir,
                                      fmt::format("--starts-max={}", settings_.starts_max),
                                      fmt::format("--resume-fd={}", memory->get())};
    if (settings_.lifetime == Lifetime::with_keeper) {
        words.emplace_back("--die-with-parent");
    }
    std::ranges::move(log::inherited_arguments(), std::back_inserter(words));
    std::vector<char*> argv;
    for (auto& word : words) {
        argv.push_back(word.data());
    }
    argv.push_back(nullptr);
    // The running file itself, also when an upgrade has replaced its name.
    ::execv("/proc/self/exe", argv.data());
    log::warn("keeper stays as it is", log::kv("error", strerror(errno)));
    for (const int fd : fds) {
        close_on_exec(fd);
    }
}

}  // namespace skiff::engine
