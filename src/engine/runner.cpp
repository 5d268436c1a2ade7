#include "engine/runner.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include "base/log.h"
#include "base/text.h"
#include "engine/fresh.h"
#include "engine/log_pace.h"
#include "engine/log_writer.h"
#include "engine/runner_policy.h"
#include "os/file.h"
#include "os/listen.h"
#include "os/packet.h"
#include "sandbox/user_namespace.h"
#include "wire/message.h"
#include "wire/paths.h"
#include "wire/runner_page.h"

namespace skiff::engine {

namespace {

// Exit statuses of a runner; what the page says tells them from a guest's own.
constexpr int kTrapped = 134;
constexpr int kOutOfMemory = 137;
constexpr int kStartFailed = 128;
constexpr int kOutputLost = 128 + SIGPIPE;

// Instances of a server that may live at once, where the grant does not say: address space only.
constexpr std::uint32_t kInstancesMax = 256;

std::int64_t clock_ns(clockid_t clock) {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

template <typename T>
void store(T& where, T value) {
    std::atomic_ref<T>(where).store(value, std::memory_order_release);
}

// Default signal handling, except that a broken pipe is an error and no death. Everything that the
// keeper blocks or ignores is undone.
void reset_signals() {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD}) {
        ::signal(signal, SIG_DFL);
    }
    ::signal(SIGPIPE, SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Whether anybody reads the FIFO of which this is the writing end.
bool has_reader(int fifo) {
    pollfd entry{fifo, 0, 0};
    return ::poll(&entry, 1, 0) <= 0 || (entry.revents & POLLERR) == 0;
}

// False, with errno, when not everything could be written; EPIPE when the audience went (-1: there
// is none that could). Who gave the descriptor may have made it one that does not wait.
bool write_patiently(int fd, std::string_view bytes, int audience) {
    while (!bytes.empty()) {
        if (audience >= 0 && !has_reader(audience)) {
            errno = EPIPE;
            return false;
        }
        const ssize_t count = ::write(fd, bytes.data(), bytes.size());
        if (count >= 0) {
            bytes.remove_prefix(static_cast<std::size_t>(count));
        } else if (errno == EAGAIN) {
            std::array<pollfd, 2> waits = {pollfd{fd, POLLOUT, 0}, pollfd{audience, 0, 0}};
            (void)::poll(waits.data(), waits.size(), -1);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

// One runner on its way. Members are plain: the process ends with _exit.
class Runner {
public:
    Runner(const RunnerParts& parts, int keeper) : parts_(parts), keeper_(keeper) {}

    [[noreturn]] void run() {
        auto ground = sandbox::lay_groundwork(
            parts_.privilege == Privilege::full ? sandbox::GivesIds::yes : sandbox::GivesIds::no);
        await_order();
        if (!ground) {
            give_up(std::move(ground.error()).with_reason("root"));
        }
        const auto ready = prepare(std::move(*ground));
        if (!ready) {
            give_up(ready.error());
        }
        report_ready();
        finish(listen_fd_ < 0 ? wasm::run(*module_, guest_)
                              : wasm::serve(*module_, guest_, server_settings()));
    }

private:
    void await_order();
    Result<void> prepare(sandbox::Groundwork ground);
    Result<void> map_page();
    Result<void> read_grant();
    Result<void> take_oom_score();
    Result<void> forbid_native_code();
    Result<void> load_artifact();
    wasm::EngineSettings engine_settings() const;
    Result<void> listen_for_requests();
    wasm::ServerSettings server_settings() const;
    void open_certificates();
    void open_log();
    void prepare_guest();
    int fd_of(std::int32_t index) const {
        return index < 0 ? -1 : fds_[static_cast<std::size_t>(index)];
    }
    std::vector<int> guests_fds() const;
    // False when it did not go out whole: the keeper is gone.
    [[nodiscard]] bool report(const RunnerReport& report) const;
    void report_ready();
    [[noreturn]] void give_up(const Error& error);
    [[noreturn]] void finish(const wasm::Outcome& outcome);
    void lose_reader(int error);

    // Output to the log and, where the grant says so, to a terminal or pipe as well: while somebody
    // listens, if it has an audience.
    class Output final : public wasm::OutputSink {
    public:
        explicit Output(Runner& runner)
            : runner_(runner),
              copies_{runner.fd_of(runner.grant_.log.stdout_fd),
                      runner.fd_of(runner.grant_.log.stderr_fd)},
              audience_(runner.fd_of(runner.grant_.log.audience_fd)),
              pace_(runner.grant_.log.bytes_per_second_max) {}
        void write(int stream, std::string_view bytes) override {
            keep_pace();
            LogWriter& log = *runner_.log_;
            const std::uint64_t before = log.bytes_written();
            log.write(stream, bytes);
            pace_.spend(log.bytes_written() - before, runner_.clock_.steady_now());
            int& copy = copies_[stream == 2 ? 1 : 0];
            if (copy < 0 || write_patiently(copy, bytes, audience_)) {
                return;
            }
            if (audience_ < 0 || errno != EPIPE) {
                runner_.lose_reader(errno);
                copy = -1;  // Whoever listened is gone; the guest and its log go on.
            }
        }

    private:
        // What was written before is at everybody's by now.
        void keep_pace() {
            const Duration wait = pace_.wait(runner_.clock_.steady_now());
            if (wait == Duration::zero()) {
                return;
            }
            // tidy: allow banned: it is the guest that waits, on its own thread
            std::this_thread::sleep_for(wait);
            waited_ += wait;
            std::atomic_ref(runner_.page_->log_wait_us)
                .store(static_cast<std::uint64_t>(waited_ / std::chrono::microseconds(1)),
                       std::memory_order_release);
        }

        Runner& runner_;
        std::array<int, 2> copies_;
        int audience_;
        LogPace pace_;
        Duration waited_{};
    };

    const RunnerParts& parts_;
    int keeper_;
    std::vector<int> fds_;  // of the Start message
    int stop_fd_ = -1;
    int listen_fd_ = -1;        // of a server
    int certificates_fd_ = -1;  // the machine's, of a guest that makes requests
    std::int64_t ordered_ns_ = 0;
    wire::RunnerPage* page_ = nullptr;
    char* page_message_ = nullptr;
    wire::Grant grant_;
    SystemClock clock_;
    std::optional<wasm::Engine> own_engine_;
    std::optional<wasm::Module> module_;
    std::optional<LogWriter> log_;
    std::optional<Output> output_;
    wasm::GuestGrant guest_;
};

void Runner::await_order() {
    std::array<char, kReportBytesMax> buffer;
    auto packet = os::receive_packet(keeper_, buffer, os::Wait::yes);
    ordered_ns_ = clock_ns(CLOCK_MONOTONIC);
    if (!packet || packet->size == 0) {
        ::_exit(kStartFailed);
    }
    const auto order = wire::decode<RunnerOrder>({buffer.data(), packet->size});
    for (auto& fd : packet->fds) {
        fds_.push_back(fd.release());
    }
    if (!order || fds_.size() < wire::kFirstFreeFd + (order->has_stop ? 1U : 0U)) {
        Error error;
        error.message = "the keeper's order cannot be read";
        give_up(error);
    }
    if (order->has_stop) {
        stop_fd_ = fds_.back();
        fds_.pop_back();
    }
}

Result<void> Runner::map_page() {
    struct stat facts{};
    const int fd = fds_[wire::kPageFd];
    if (::fstat(fd, &facts) < 0 || !S_ISREG(facts.st_mode) ||
        facts.st_size != static_cast<off_t>(wire::kRunnerPageBytes)) {
        return fail(Code::invalid, "the runner's page is no file of {} bytes",
                    wire::kRunnerPageBytes);
    }
    void* memory =
        ::mmap(nullptr, wire::kRunnerPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        return fail_errno(errno, "map the runner's page");
    }
    page_ = static_cast<wire::RunnerPage*>(memory);
    page_message_ = static_cast<char*>(memory) + wire::kPageMessageOffset;
    if (page_->magic != wire::kRunnerPageMagic || page_->version != 1) {
        return fail(Code::invalid, "the runner's page has another format");
    }
    page_->ordered_monotonic_ns = ordered_ns_;
    return {};
}

Result<void> Runner::read_grant() {
    const int fd = fds_[wire::kGrantFd];
    constexpr int kSeals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK;
    if ((::fcntl(fd, F_GET_SEALS) & kSeals) != kSeals) {
        return fail(Code::invalid, "the grant is not sealed");
    }
    struct stat facts{};
    if (::fstat(fd, &facts) < 0 || facts.st_size <= 0 ||
        facts.st_size > static_cast<off_t>(wire::kGrantBytesMax)) {
        return fail(Code::invalid, "the grant has no size");
    }
    const auto size = static_cast<std::size_t>(facts.st_size);
    void* memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (memory == MAP_FAILED) {
        return fail_errno(errno, "map the grant");
    }
    auto grant = wire::decode_grant({static_cast<const char*>(memory), size}, fds_.size());
    ::munmap(memory, size);
    if (!grant) {
        return fail(std::move(grant.error()));
    }
    grant_ = std::move(*grant);
    return {};
}

// The keeper's own score protects the keeper and must not pass on to a guest. Raising it is always
// allowed; lowering it wants a capability that a keeper may not have, and then the guest is merely
// less safe than it asked to be.
Result<void> Runner::take_oom_score() {
    constexpr auto* kFile = "/proc/self/oom_score_adj";
    auto written = os::write_kernel_file(kFile, std::to_string(grant_.oom_score_adj));
    if (written || written.error().code != Code::denied) {
        return written;
    }
    SKIFF_TRY(const std::string now, os::read_kernel_file(kFile));
    return parse_int(trim(now)).value_or(0) >= grant_.oom_score_adj ? Result<void>{} : written;
}

// What the keeper makes ahead, for every runner that can use it: the runtime of a pod without a
// class.
wasm::EngineSettings prepared_settings() {
    wasm::EngineSettings settings;
    if (!wasm::has_runtime(settings.runtime)) {
        settings.runtime = wasm::Runtime::wasmi;
    }
    return settings;
}

wasm::EngineSettings Runner::engine_settings() const {
    wasm::EngineSettings settings;
    settings.runtime = static_cast<wasm::Runtime>(grant_.engine);
    settings.purpose = static_cast<wasm::Purpose>(grant_.purpose);
    settings.stack_bytes_max = grant_.limits.stack_bytes;
    if (grant_.purpose == wire::Purpose::server) {
        settings.instances_max =
            grant_.server.requests_max > 0 ? grant_.server.requests_max : kInstancesMax;
        settings.instance_memory_bytes_max = grant_.limits.memory_bytes;
    }
    return settings;
}

// An interpreter needs no executable memory, not even to load its guest.
Result<void> Runner::forbid_native_code() {
    if (grant_.engine == wire::Engine::wasmtime) {
        return {};
    }
    return sandbox::forbid_executable_memory();
}

Result<void> Runner::load_artifact() {
    const wasm::Engine* engine = &parts_.engine;
    const auto settings = engine_settings();
    if (settings != prepared_settings()) {
        SKIFF_TRY(own_engine_, wasm::Engine::create(settings));
        engine = &*own_engine_;
    }
    SKIFF_TRY(module_, engine->load(fds_[wire::kArtifactFd]));
    ::close(fds_[wire::kArtifactFd]);
    return {};
}

// A server's socket is bound while the process may still take any port; it is in its network by
// now.
Result<void> Runner::listen_for_requests() {
    if (grant_.purpose != wire::Purpose::server) {
        return {};
    }
    SKIFF_TRY(os::Fd listener, os::listen_tcp(grant_.server.address, grant_.server.port));
    listen_fd_ = listener.release();
    return {};
}

wasm::ServerSettings Runner::server_settings() const {
    wasm::ServerSettings settings;
    settings.listen_fd = listen_fd_;
    settings.reuse_count = grant_.server.reuse_count;
    settings.reuse_concurrent = grant_.server.reuse_concurrent;
    settings.requests_max = engine_settings().instances_max;
    settings.connections_max = kConnectionsMax;
    settings.request_ms_max = grant_.server.request_ms_max;
    settings.body_bytes_max = grant_.server.body_bytes_max;
    settings.drain_ms = grant_.server.drain_ms;
    settings.drain_share = grant_.server.drain_share;
    return settings;
}

// Whom the machine trusts; read by the engine when a guest's first request asks for it.
void Runner::open_certificates() {
    if (grant_.network_use.egress == Reach::nothing) {
        return;
    }
    constexpr auto* kFile = "/etc/ssl/certs/ca-certificates.crt";
    certificates_fd_ = ::open(kFile, O_RDONLY | O_CLOEXEC);
}

void Runner::open_log() {
    std::vector<int> slots;
    for (const std::int32_t index : grant_.log.slot_fds) {
        slots.push_back(fd_of(index));
    }
    log_.emplace(std::move(slots), grant_.log.slot_bytes_max, *page_, clock_);
    output_.emplace(*this);
}

void Runner::prepare_guest() {
    guest_.args = std::move(grant_.args);
    guest_.env = std::move(grant_.env);
    guest_.root = grant_.root.kind == wire::RootKind::none ? "" : "/";
    guest_.initial_cwd = std::move(grant_.cwd);
    guest_.entry = std::move(grant_.entry);
    guest_.stdin_fd = fd_of(grant_.stdin_fd);
    guest_.terminal = grant_.tty == wire::Toggle::on;
    guest_.stop_fd = grant_.stop == wire::StopMode::none ? -1 : stop_fd_;
    guest_.stop_flag = &page_->stop;
    guest_.output = &*output_;
    guest_.memory_bytes_max = grant_.limits.memory_bytes;
    guest_.message_bytes_max = wire::kExitMessageBytesMax;
    guest_.network = network_use_of(grant_.network_use);
    guest_.network.ca_fd = certificates_fd_;
    guest_.coredump_fd = fd_of(grant_.coredump_fd);
    guest_.coredump_bytes_max = grant_.coredump_bytes_max;
    static_assert(sizeof page_->counters == wasm::kCounterWords * sizeof(std::uint64_t));
    guest_.counters = reinterpret_cast<skiff_counters*>(&page_->counters);
    guest_.memory_bytes_now = &page_->memory_bytes_now;
    page_->memory_bytes_limit = grant_.limits.memory_bytes;
    page_->features = wire::kPageObeysMemory;
}

std::vector<int> Runner::guests_fds() const {
    std::vector<int> kept = {keeper_,
                             stop_fd_,
                             listen_fd_,
                             certificates_fd_,
                             fd_of(grant_.stdin_fd),
                             fd_of(grant_.log.stdout_fd),
                             fd_of(grant_.log.stderr_fd),
                             fd_of(grant_.log.audience_fd),
                             fd_of(grant_.coredump_fd)};
    for (const std::int32_t index : grant_.log.slot_fds) {
        kept.push_back(fd_of(index));
    }
    return kept;
}

Result<void> Runner::prepare(sandbox::Groundwork ground) {
    const auto stage = [](std::string_view name, Result<void> result) -> Result<void> {
        if (!result) {
            return fail(std::move(result.error()).with_reason(std::string(name)));
        }
        return result;
    };
    SKIFF_CHECK(stage("request", map_page()));
    SKIFF_CHECK(stage("grant", read_grant()));
    auto policy = policy_of(grant_, fds_, parts_.privilege, parts_.lifetime);
    if (!policy) {
        return stage("grant", fail(std::move(policy.error())));
    }
    SKIFF_CHECK(stage("oom score", take_oom_score()));
    ::prctl(PR_SET_NAME, grant_.label.empty() ? "skiff-runner" : grant_.label.c_str());
    sandbox::Confinement confinement(*policy, parts_.shared,
                                     policy->syscalls == sandbox::SyscallProfile::command
                                         ? parts_.command_filter
                                         : parts_.network_filter,
                                     std::move(ground));
    SKIFF_CHECK(confinement.build());
    SKIFF_CHECK(stage("network", listen_for_requests()));
    open_certificates();
    // Native code is mapped while executable mappings and /proc can still be had. The engine keeps
    // a descriptor of the artifact (data segments are mapped from it later), so everything that is
    // not the guest's is closed before and not after.
    std::vector<int> kept = guests_fds();
    const std::vector<int> needed = confinement.descriptors();
    kept.insert(kept.end(), needed.begin(), needed.end());
    kept.push_back(fds_[wire::kArtifactFd]);
    sandbox::close_all_but(std::move(kept));
    SKIFF_CHECK(stage("lockdown", forbid_native_code()));
    SKIFF_CHECK(stage("artifact", load_artifact()));
    open_log();
    prepare_guest();
    SKIFF_CHECK(confinement.enter());
    SKIFF_CHECK(confinement.lock());
    return {};
}

bool Runner::report(const RunnerReport& report) const {
    std::string bytes = wire::encode(report);
    bytes.resize(std::min(bytes.size(), kReportBytesMax));
    // write(2): the filter of a guest without network knows no sendmsg(2).
    ssize_t size = 0;
    do {
        size = ::write(keeper_, bytes.data(), bytes.size());
    } while (size < 0 && errno == EINTR);
    return size == static_cast<ssize_t>(bytes.size());
}

void Runner::report_ready() {
    page_->started_ns = clock_ns(CLOCK_REALTIME);
    page_->running_monotonic_ns = clock_ns(CLOCK_MONOTONIC);
    store(page_->phase, static_cast<std::uint32_t>(wire::RunnerPhase::running));
    RunnerReport ready;
    ready.ready = true;
    ready.started_ns = page_->started_ns;
    if (!report(ready)) {
        // The keeper is gone, and an agent may have given this start up already: a guest that ran
        // now could be the second copy of its container.
        ::_exit(kStartFailed);
    }
    ::close(keeper_);
}

void Runner::give_up(const Error& error) {
    RunnerReport failed;
    failed.stage = error.reason.empty() ? "request" : error.reason;
    failed.message = error.message.substr(0, kReportBytesMax - 256);
    (void)report(failed);
    ::_exit(kStartFailed);
}

// A command whose output goes nowhere else ends as under a kernel that signals it: most guests
// never look whether a write succeeded.
void Runner::lose_reader(int error) {
    if (error == EPIPE && grant_.log.slot_fds.empty()) {
        wasm::Outcome outcome;
        outcome.kind = wasm::OutcomeKind::exited;
        outcome.exit_code = kOutputLost;
        finish(outcome);
    }
}

void Runner::finish(const wasm::Outcome& outcome) {
    log_->finish();
    const std::size_t length = std::min(outcome.message.size(), wire::kExitMessageBytesMax);
    if (length > 0) {
        std::memcpy(page_message_, outcome.message.data(), length);
    }
    page_->message_bytes = static_cast<std::uint32_t>(length);
    int code = kTrapped;
    switch (outcome.kind) {
        case wasm::OutcomeKind::exited:
            code = outcome.exit_code & 0xff;
            break;
        case wasm::OutcomeKind::trapped:
        case wasm::OutcomeKind::host_panic:
            break;
        case wasm::OutcomeKind::out_of_memory:
            code = kOutOfMemory;
            break;
        case wasm::OutcomeKind::start_failed:
            code = kStartFailed;
            break;
    }
    page_->outcome = static_cast<std::uint32_t>(outcome.kind);
    page_->exit_code = code;
    page_->memory_bytes_peak = outcome.memory_bytes_peak;
    page_->memory_bytes_refused = outcome.memory_bytes_refused;
    page_->finished_ns = clock_ns(CLOCK_REALTIME);
    store(page_->phase, static_cast<std::uint32_t>(wire::RunnerPhase::ended));
    ::_exit(code);
}

}  // namespace

Result<RunnerParts> make_runner_parts(const std::string& run_dir) {
    // A keeper that executed itself anew is in its namespaces already.
    Privilege privilege = sandbox::has_single_id() ? Privilege::ordinary_user : Privilege::full;
    if (!sandbox::can_confine()) {
        SKIFF_CHECK(sandbox::become_own_root());
        // A copy of the mounts that belongs to this user namespace, so that they may be cloned.
        if (::unshare(CLONE_NEWNS) < 0) {
            return fail_errno(errno, "make a mount namespace of one's own");
        }
        privilege = Privilege::ordinary_user;
        log::warn("pods run as an ordinary user",
                  log::kv("weaker", "one user id for all pods, no limits by control groups"));
    }
    SKIFF_TRY(auto engine, wasm::Engine::create(prepared_settings()));
    SKIFF_TRY(auto shared, sandbox::make_shared_parts(wire::root_folder(run_dir)));
    SKIFF_TRY(auto command, sandbox::SyscallFilter::build(sandbox::SyscallProfile::command));
    SKIFF_TRY(auto network,
              sandbox::SyscallFilter::build(sandbox::SyscallProfile::command_network));
    SKIFF_TRY(auto null_device, os::open("/dev/null", O_RDWR));
    return RunnerParts{std::move(engine),    std::move(shared),      std::move(command),
                       std::move(network),   std::move(null_device), privilege,
                       Lifetime::independent};
}

void run_container(const RunnerParts& parts, int keeper) {
    draw_fresh_secrets();
    reset_signals();
    for (const int fd : {0, 1, 2}) {
        ::dup2(parts.null_device.get(), fd);
    }
    sandbox::close_all_but({keeper, parts.null_device.get(), parts.shared.empty_network.get()});
    ::prctl(PR_SET_NAME, "skiff-runner");
    Runner runner(parts, keeper);
    runner.run();
}

}  // namespace skiff::engine
