#include "engine/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "base/assert.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/identity.h"
#include "os/file.h"
#include "os/packet.h"
#include "os/process.h"
#include "wire/paths.h"
#include "wire/runner_page.h"

namespace skiff::engine {

namespace {

std::int64_t clock_ns(clockid_t clock) {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

// Who could not have known of the stop did not miss its time.
Intent end_of_grace(const Child& child) {
    return child.stop == wire::StopMode::none ? Intent::stop : Intent::kill;
}

std::string wire_text(std::string_view text) {
    return bounded_utf8(text, wire::kExitMessageBytesMax);
}

}  // namespace

bool Keeper::is_building() const {
    return std::ranges::any_of(children_,
                               [](const auto& child) { return child.second.report_fd >= 0; });
}

bool Keeper::wants_spare() const {
    return spare_wanted_ && !draining_ && !is_building();
}

int Keeper::poll_timeout_ms() const {
    std::int64_t first = 0;
    for (const auto& [id, child] : children_) {
        if (child.kill_at_ns > 0 && (first == 0 || child.kill_at_ns < first)) {
            first = child.kill_at_ns;
        }
    }
    const int longest = wants_spare() ? kQuietMs : -1;
    if (first == 0) {
        return longest;
    }
    const std::int64_t left = first - clock_ns(CLOCK_MONOTONIC);
    const auto wait =
        left <= 0 ? 0 : static_cast<int>(std::min<std::int64_t>(left / 1'000'000 + 1, 3'600'000));
    return longest < 0 ? wait : std::min(wait, longest);
}

void Keeper::poll_once() {
    // With all places taken a new agent waits in the backlog for one that is gone.
    const short welcome = connections_.size() < kConnectionsMax ? POLLIN : 0;
    std::vector<pollfd> polls = {{listener_.get(), welcome, 0}, {signals_.get(), POLLIN, 0}};
    if (parent_.valid()) {
        polls.push_back({parent_.get(), POLLIN, 0});
    }
    const std::size_t first_connection = polls.size();
    for (const auto& connection : connections_) {
        const short events = connection->has_backlog() ? POLLIN | POLLOUT : POLLIN;
        polls.push_back({connection->fd(), events, 0});
    }
    for (const auto& [id, child] : children_) {
        if (child.report_fd >= 0) {
            polls.push_back({child.report_fd, POLLIN, 0});
        }
    }
    const int events = ::poll(polls.data(), polls.size(), poll_timeout_ms());
    if (events < 0 && errno != EINTR) {
        log::critical("poll failed", log::kv("error", strerror(errno)));
        SKIFF_ASSERT(false, "poll");
    }
    if (events == 0 && wants_spare()) {
        keep_spare();
    }
    if (parent_.valid() && polls[2].revents != 0) {
        ending_ = draining_ = true;
        kill_all();
    }
    // Reports before ends: a runner that ended at once was ready first.
    for (auto& [id, child] : children_) {
        if (child.report_fd >= 0) {
            read_report(child);
        }
    }
    reap();
    kill_overdue();
    for (std::size_t i = connections_.size(); i-- > 0;) {
        if (polls[first_connection + i].revents != 0) {
            serve(i);
        }
    }
    accept_agents();
}

Result<void> Keeper::run() {
    while (!(draining_ && children_.empty())) {
        poll_once();
        if (draining_ && spare_) {
            spare_->socket.reset();  // it sees that and ends
        }
        if (settings_.starts_max > 0 && starts_ >= settings_.starts_max && !is_building() &&
            !draining_) {
            execute_anew();
        }
    }
    if (spare_) {
        spare_->socket.reset();
        (void)::waitpid(spare_->pid, nullptr, 0);
    }
    log::info("keeper ends", log::kv("build", build_id()));
    (void)os::remove_file(wire::keeper_socket(settings_.run_dir, build_id()));
    return {};
}

void Keeper::accept_agents() {
    while (connections_.size() < kConnectionsMax) {
        auto socket = os::accept_packets(listener_.get());
        if (!socket) {
            return;
        }
        connections_.push_back(std::make_unique<Connection>(std::move(*socket)));
    }
}

void Keeper::drop(std::size_t connection, const Error& error) {
    if (error.code != Code::unavailable) {
        log::warn("agent dropped", log::kv("error", error.message));
    }
    connections_.erase(connections_.begin() + static_cast<std::ptrdiff_t>(connection));
}

void Keeper::serve(std::size_t connection) {
    Connection& agent = *connections_[connection];
    // An agent that is gone cannot be told anything, but what it had asked for still counts.
    (void)agent.flush();
    while (true) {
        auto packet = agent.receive();
        if (!packet) {
            drop(connection, packet.error());
            return;
        }
        if (!*packet) {
            return;
        }
        handle(agent, std::move(**packet));
    }
}

void Keeper::handle(Connection& from, Packet packet) {
    std::visit(
        [&](auto& message) {
            using T = std::remove_cvref_t<decltype(message)>;
            if constexpr (std::is_same_v<T, wire::Start>) {
                on(from, message, std::move(packet.fds));
            } else if constexpr (std::is_same_v<T, wire::Hello> || std::is_same_v<T, wire::List> ||
                                 std::is_same_v<T, wire::Lend>) {
                on(from, message);
            } else if constexpr (std::is_same_v<T, wire::Stop> || std::is_same_v<T, wire::Kill> ||
                                 std::is_same_v<T, wire::Forget> ||
                                 std::is_same_v<T, wire::Shutdown>) {
                on(message);
            } else {
                log::warn("an agent sends a keeper's message");
            }
        },
        packet.message);
}

void Keeper::on(Connection& from, const wire::Hello& hello) {
    // What a killed agent had still asked for comes before what its successor is told.
    for (auto& other : connections_) {
        if (other.get() == &from) {
            continue;
        }
        while (auto packet = other->receive()) {
            if (!*packet) {
                break;
            }
            handle(*other, std::move(**packet));
        }
    }
    log::info("agent connected", log::kv("agent", hello.agent));
    wire::Welcome welcome;
    welcome.build = build_id();
    welcome.engine = wasm::version();
    welcome.compatibility_key = wasm::compatibility_key().value_or("");
    welcome.pid = static_cast<std::uint32_t>(::getpid());
    (void)from.send(welcome);
    for (const auto& exited : exits_) {
        (void)from.send(exited);
    }
    on(from, wire::List{});
}

void Keeper::on(Connection& from, const wire::List&) {
    wire::Running running;
    for (const auto& [id, child] : children_) {
        if (running.items.size() == wire::kRunningItemsMax) {
            running.last = false;
            (void)from.send(running);
            running = {};
        }
        running.items.push_back({child.container_id, child.pod_uid,
                                 static_cast<std::uint32_t>(child.pid), child.start_time,
                                 child.started_ns});
    }
    (void)from.send(running);
}

void Keeper::on(Connection& from, const wire::Lend& lend) {
    os::Fd console;
    const auto found = children_.find(lend.container_id);
    if (found != children_.end() && found->second.console_fd >= 0) {
        console.reset(::fcntl(found->second.console_fd, F_DUPFD_CLOEXEC, 0));
    }
    (void)from.send(wire::Lent{lend.container_id}, std::move(console));
}

void Keeper::on(Connection& from, const wire::Start& request, std::vector<os::Fd> fds) {
    auto started = start(request, std::move(fds));
    if (started) {
        return;
    }
    wire::StartFailed failed;
    failed.request_id = request.request_id;
    failed.container_id = request.container_id;
    failed.stage = started.error().reason.empty() ? "request" : started.error().reason;
    failed.message = wire_text(started.error().message);
    (void)from.send(failed);
}

void Keeper::on(const wire::Stop& stop) {
    const auto found = children_.find(stop.container_id);
    if (found == children_.end()) {
        return;
    }
    Child& child = found->second;
    if (child.phase != ChildPhase::running) {
        kill(child, Intent::stop);
        return;
    }
    constexpr std::uint64_t kGraceMsMax = 1000ULL * 60 * 60 * 24 * 365;
    std::chrono::milliseconds grace(std::min(stop.grace_ms, kGraceMsMax));
    if (child.stop == wire::StopMode::none) {
        grace = drain_time(child, page_of(child), grace);
    }
    if (grace.count() == 0) {
        kill(child, end_of_grace(child));
        return;
    }
    const std::int64_t at = clock_ns(CLOCK_MONOTONIC) + std::chrono::nanoseconds(grace).count();
    if (child.kill_at_ns == 0) {
        signal_stop(child, grace);
        child.kill_at_ns = at;
    }
    child.kill_at_ns = std::min(child.kill_at_ns, at);
}

void Keeper::on(const wire::Kill& request) {
    const auto found = children_.find(request.container_id);
    if (found != children_.end()) {
        kill(found->second, Intent::kill);
    }
}

void Keeper::on(const wire::Forget& forget) {
    if (!wire::valid_container_id(forget.container_id)) {
        return;
    }
    std::erase_if(exits_, [&](const wire::Exited& exited) {
        return exited.container_id == forget.container_id;
    });
    (void)os::remove_file(wire::exit_file(settings_.run_dir, forget.container_id));
}

void Keeper::on(const wire::Shutdown& shutdown) {
    switch (shutdown.mode) {
        case wire::ShutdownMode::when_empty:
            draining_ = true;
            break;
        case wire::ShutdownMode::kill_all:
            ending_ = draining_ = true;
            kill_all();
            break;
        case wire::ShutdownMode::go_on:
            draining_ = ending_;
            spare_wanted_ = true;
            break;
    }
}

void Keeper::broadcast(const wire::Message& message) {
    for (std::size_t i = connections_.size(); i-- > 0;) {
        if (auto sent = connections_[i]->send(message); !sent) {
            // The poll loop may be walking over the list: it sees the end at its next turn.
            log::warn("agent does not listen", log::kv("error", sent.error().message));
            ::shutdown(connections_[i]->fd(), SHUT_RDWR);
        }
    }
}

Result<void> Keeper::start(const wire::Start& request, std::vector<os::Fd> fds) {
    if (!wire::valid_container_id(request.container_id)) {
        return fail(Code::invalid, "the container id is not valid");
    }
    if (fds.size() < wire::kFirstFreeFd) {
        return fail(Code::invalid, "{} descriptors, at least {}", fds.size(), wire::kFirstFreeFd);
    }
    if (children_.contains(request.container_id)) {
        return fail(Code::exists, "container {} runs already", request.container_id);
    }
    if (draining_) {
        return fail(Code::unavailable, "this keeper ends with its last container");
    }
    if (children_.size() >= kChildrenMax) {
        return fail(Code::exhausted, "{} containers run already", children_.size());
    }
    os::Fd console;
    if (request.has_console && fds.size() > wire::kFirstFreeFd) {
        console = std::move(fds.back());
        fds.pop_back();
    }
    os::Fd stop;
    if (request.stop != wire::StopMode::none) {
        SKIFF_TRY(stop, os::make_eventfd());
    }
    SKIFF_TRY(Spare runner, order_runner(fds, stop.get()));
    Child child;
    child.request_id = request.request_id;
    child.container_id = request.container_id;
    child.pod_uid = request.pod_uid;
    child.pid = runner.pid;
    child.start_time = os::start_time_of(runner.pid).value_or(0);
    child.stop = request.stop;
    child.oom_counter = request.oom_counter;
    child.oom_kills_before = request.oom_kills_before;
    child.memory_bytes_limit = request.memory_bytes_limit;
    child.drain_ms = request.drain_ms;
    child.drain_share = request.drain_share;
    child.report_fd = runner.socket.release();
    child.stop_fd = stop.release();
    child.console_fd = console.release();
    children_.emplace(child.container_id, std::move(child));
    ++starts_;
    spare_wanted_ = true;
    return {};
}

// A runner that waited, or else a new one, with its order on the way.
Result<Keeper::Spare> Keeper::order_runner(const std::vector<os::Fd>& fds, int stop_fd) {
    static_assert(wire::kMessageFdsMax + 1 <= os::kPacketFdsMax, "a Start and its eventfd");
    RunnerOrder order;
    order.has_stop = stop_fd >= 0;
    std::vector<int> numbers;
    for (const auto& fd : fds) {
        numbers.push_back(fd.get());
    }
    if (order.has_stop) {
        numbers.push_back(stop_fd);
    }
    const std::string bytes = wire::encode(order);
    if (spare_) {
        Spare spare = std::move(*std::exchange(spare_, std::nullopt));
        auto sent = os::send_packet(spare.socket.get(), bytes, numbers);
        if (sent && *sent == os::Sent::whole) {
            return spare;
        }
        log::warn("a waiting runner is gone", log::kv("pid", spare.pid));
    }
    SKIFF_TRY(Spare fresh, fork_runner());
    SKIFF_TRY(const auto sent, os::send_packet(fresh.socket.get(), bytes, numbers));
    if (sent != os::Sent::whole) {
        return fail(Code::exhausted, "a runner's order does not fit its socket");
    }
    return fresh;
}

Result<Keeper::Spare> Keeper::fork_runner() {
    SKIFF_TRY(auto pair, os::make_socket_pair());
    const pid_t pid = fork_child(pair.second.get());
    if (pid < 0) {
        return fail(errno_error(errno, "fork").with_reason("fork"));
    }
    ::fcntl(pair.first.get(), F_SETFL, O_NONBLOCK);
    return Spare{pid, std::move(pair.first)};
}

pid_t Keeper::fork_child(int socket) {
    // The child is born as process 1 of a pid namespace of its own; without one the guest could see
    // and signal others, so there is no going on then.
    if (parts_->privilege == Privilege::ordinary_user) {
        // Asking for one and returning from it needs power over the machine's own namespace. The
        // bare call can do without; it skips the handlers that fork(3) runs, of which only the
        // engine's pooling allocator has need, and a keeper never makes one.
        const auto pid =
            static_cast<pid_t>(::syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0));
        if (pid == 0) {
            run_container(*parts_, socket);
        }
        return pid;
    }
    // A process may ask for one only once before it returns to its own.
    if (::unshare(CLONE_NEWPID) < 0) {
        return -1;
    }
    const pid_t pid = ::fork();
    if (pid == 0) {
        run_container(*parts_, socket);
    }
    const int error = errno;
    const int back = ::setns(own_pid_namespace_.get(), CLONE_NEWPID);
    SKIFF_ASSERT(back == 0, "the keeper cannot return to its pid namespace");
    errno = error;
    return pid;
}

void Keeper::keep_spare() {
    spare_wanted_ = false;
    auto made = fork_runner();
    if (!made) {
        // The next start forks for itself and says so if it cannot.
        log::warn("no runner waits for the next start", log::kv("error", made.error().message));
        return;
    }
    spare_ = std::move(*made);
}

void Keeper::read_report(Child& child) {
    std::array<char, kReportBytesMax> buffer;
    const ssize_t size = ::read(child.report_fd, buffer.data(), buffer.size());
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    // A reset is the end as well: of a runner that died before it took its order.
    ::close(std::exchange(child.report_fd, -1));
    auto report = size > 0
                      ? wire::decode<RunnerReport>({buffer.data(), static_cast<std::size_t>(size)})
                      : Result<RunnerReport>(fail(Code::internal, "no report"));
    if (report && report->ready) {
        child.phase = ChildPhase::running;
        child.started_ns = report->started_ns;
        broadcast(wire::Started{child.request_id, child.container_id,
                                static_cast<std::uint32_t>(child.pid), child.start_time,
                                child.started_ns});
        return;
    }
    child.phase = ChildPhase::failed;
    child.failed_stage = report ? report->stage : "request";
    child.failed_message =
        report ? wire_text(report->message) : "the runner died while its cage was built";
    // Whatever it is doing, there will be no guest.
    ::kill(child.pid, SIGKILL);
}

void Keeper::reap() {
    signalfd_siginfo ignored{};
    while (::read(signals_.get(), &ignored, sizeof ignored) > 0) {
    }
    while (true) {
        int status = 0;
        const pid_t pid = ::waitpid(-1, &status, WNOHANG);
        if (pid <= 0) {
            return;
        }
        if (spare_ && spare_->pid == pid) {
            spare_.reset();
            continue;
        }
        const auto found = std::ranges::find_if(
            children_, [pid](const auto& child) { return child.second.pid == pid; });
        if (found == children_.end()) {
            continue;
        }
        if (found->second.report_fd >= 0) {
            read_report(found->second);
        }
        Child child = std::move(found->second);
        children_.erase(found);
        bury(std::move(child), status);
    }
}

void Keeper::bury(Child child, int wait_status) {
    for (const int fd : {child.stop_fd, child.report_fd, child.console_fd}) {
        if (fd >= 0) {
            ::close(fd);
        }
    }
    if (child.phase != ChildPhase::running) {
        if (child.intent != Intent::none) {
            child.failed_message = "it was stopped before it started";
        }
        broadcast(wire::StartFailed{child.request_id, child.container_id, child.failed_stage,
                                    child.failed_message});
        return;
    }
    const std::string page = page_of(child);
    std::uint64_t oom_kills = 0;
    if (!child.oom_counter.empty()) {
        oom_kills = parse_oom_kills(os::read_kernel_file(child.oom_counter).value_or(""));
    }
    const wire::Exited exited =
        judge_end(child, wait_status, page, oom_kills, clock_ns(CLOCK_REALTIME));
    auto written =
        os::write_file_atomic(wire::exit_file(settings_.run_dir, child.container_id),
                              wire::encode_exit_file(exited), 0600, os::Durability::process);
    if (!written) {
        log::error("exit not recorded", log::kv("container", child.container_id),
                   log::kv("error", written.error().message));
    }
    if (exits_.size() >= kExitsMax) {
        exits_.erase(exits_.begin());  // Its file stays.
    }
    exits_.push_back(exited);
    broadcast(exited);
}

std::string Keeper::page_of(const Child& child) const {
    const auto file = wire::runner_page_file(settings_.run_dir, child.container_id);
    return os::read_file(file, 64_KiB).value_or("");
}

void Keeper::signal_stop(const Child& child, std::chrono::milliseconds grace) {
    const auto page = os::open(wire::runner_page_file(settings_.run_dir, child.container_id),
                               O_WRONLY | O_NOFOLLOW);
    const auto flag = static_cast<std::uint32_t>(
        std::min<std::int64_t>(grace.count(), std::numeric_limits<std::uint32_t>::max()));
    if (!page || ::pwrite(page->get(), &flag, sizeof flag, offsetof(wire::RunnerPage, stop)) < 0) {
        log::warn("stop flag not set", log::kv("container", child.container_id));
    }
    if (child.stop_fd >= 0) {
        const std::uint64_t one = 1;
        (void)!::write(child.stop_fd, &one, sizeof one);
    }
}

void Keeper::kill(Child& child, Intent intent) {
    if (child.intent == Intent::none) {
        child.intent = intent;
    }
    child.kill_at_ns = 0;
    // Not reaped yet, so the number is still its own. It is process 1 of its namespace: with it
    // everything in there dies.
    ::kill(child.pid, SIGKILL);
}

void Keeper::kill_overdue() {
    const std::int64_t now = clock_ns(CLOCK_MONOTONIC);
    for (auto& [id, child] : children_) {
        if (child.kill_at_ns > 0 && child.kill_at_ns <= now) {
            kill(child, end_of_grace(child));
        }
    }
}

void Keeper::kill_all() {
    for (auto& [id, child] : children_) {
        kill(child, Intent::kill);
    }
}

}  // namespace skiff::engine
