#include "app/remote_exec.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>

#include <cstdlib>

#include "async/scope.h"
#include "http/fd_stream.h"
#include "os/fd.h"

namespace skiff::app {

using async::Task;

namespace {

constexpr int kInterruptedExit = 128 + 2;  // as a shell says of SIGINT
constexpr int kQuitExit = 128 + 3;         // SIGQUIT

// A stream of a command: our end, which never blocks, and the command's.
struct Ends {
    os::Fd ours;
    os::Fd theirs;
};

Result<void> make_nonblocking(int fd) {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return fail_errno(errno, "fcntl(O_NONBLOCK)");
    }
    return {};
}

enum class Direction { to_command, from_command };

Result<Ends> make_stream(Direction direction) {
    SKIFF_TRY(os::Pipe pipe, os::make_pipe());
    Ends ends{std::move(pipe.write), std::move(pipe.read)};
    if (direction == Direction::from_command) {
        std::swap(ends.ours, ends.theirs);
    }
    SKIFF_CHECK(make_nonblocking(ends.ours.get()));
    return ends;
}

// Reading ours ends when nobody has the other end any more.
Result<Ends> make_terminal() {
    os::Fd ours(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (!ours || ::grantpt(ours.get()) != 0 || ::unlockpt(ours.get()) != 0) {
        return fail_errno(errno, "make a terminal");
    }
    os::Fd theirs(::ioctl(ours.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (!theirs) {
        return fail_errno(errno, "open the terminal");
    }
    SKIFF_CHECK(make_nonblocking(ours.get()));
    return Ends{std::move(ours), std::move(theirs)};
}

// Bytes to a descriptor of the session, which outlives the task.
Task<Result<void>> write_to(int fd, std::string_view bytes) {
    http::FdStream stream(fd);
    co_return co_await stream.write_all(bytes, async::kNoDeadline);
}

Task<Result<std::size_t>> read_from(int fd, std::span<char> into) {
    http::FdStream stream(fd);
    co_return co_await stream.read_some(into, async::kNoDeadline);
}

class PipedCommand final : public server::RemoteSession {
public:
    PipedCommand(os::Fd in, os::Fd out, os::Fd err, std::unique_ptr<pods::ExecSession> command)
        : in_(std::move(in)),
          out_(std::move(out)),
          err_(std::move(err)),
          command_(std::move(command)) {}

    Task<Result<void>> write_stdin(std::string_view bytes) override {
        return write_to(in_.get(), bytes);
    }
    void close_stdin() override { in_.reset(); }
    Task<Result<std::size_t>> read(Output which, std::span<char> into) override {
        return read_from(which == Output::out ? out_.get() : err_.get(), into);
    }
    void resize(server::TerminalSize /*size*/) override {}
    Task<Result<pods::ContainerExit>> wait() override { return command_->wait(); }

private:
    os::Fd in_;
    os::Fd out_;
    os::Fd err_;
    std::unique_ptr<pods::ExecSession> command_;
};

// Nobody in the command could be sent a signal, so what the keys for SIGINT and SIGQUIT do is to
// end it: `^C` works as with `skiff exec`.
class TerminalCommand final : public server::RemoteSession {
public:
    TerminalCommand(os::Fd terminal, std::unique_ptr<pods::ExecSession> command)
        : terminal_(std::move(terminal)), command_(std::move(command)) {}

    Task<Result<void>> write_stdin(std::string_view bytes) override {
        if (int code = exit_of_keys(bytes)) {
            exit_code_ = code;
            killed_.set();
        }
        return write_to(terminal_.get(), bytes);
    }
    // The terminal stays: its output is still wanted.
    void close_stdin() override {}
    Task<Result<std::size_t>> read(Output /*which*/, std::span<char> into) override {
        return read_from(terminal_.get(), into);
    }
    void resize(server::TerminalSize size) override {
        winsize its{};
        its.ws_col = size.columns;
        its.ws_row = size.rows;
        (void)::ioctl(terminal_.get(), TIOCSWINSZ, &its);
    }
    Task<Result<pods::ContainerExit>> wait() override {
        auto waiting = command_->wait();
        auto ended =
            co_await async::run_until(std::move(waiting), killed_, async::kNoDeadline, "command");
        if (ended || exit_code_ == 0) {
            co_return ended;
        }
        command_.reset();
        pods::ContainerExit exit;
        exit.kind = pods::ExitKind::killed;
        exit.exit_code = exit_code_;
        co_return exit;
    }

private:
    // 0: the bytes are for the command.
    [[nodiscard]] int exit_of_keys(std::string_view bytes) const {
        termios settings{};
        if (::tcgetattr(terminal_.get(), &settings) != 0 || (settings.c_lflag & ISIG) == 0) {
            return 0;
        }
        for (char c : bytes) {
            const auto key = static_cast<cc_t>(c);
            if (key == settings.c_cc[VINTR]) {
                return kInterruptedExit;
            }
            if (key == settings.c_cc[VQUIT]) {
                return kQuitExit;
            }
        }
        return 0;
    }

    os::Fd terminal_;
    std::unique_ptr<pods::ExecSession> command_;
    async::Event killed_;
    int exit_code_ = 0;  // of a command that keys have ended
};

using Session = Result<std::unique_ptr<server::RemoteSession>>;

Task<Session> run_in_terminal(Rooms& rooms, PodName pod, pods::ExecRequest request) {
    SKIFF_CO_TRY(Ends terminal, make_terminal());
    request.tty = true;
    request.stdin_fd = request.stdout_fd = request.stderr_fd = terminal.theirs.get();
    SKIFF_CO_TRY(auto command, co_await rooms.exec(std::move(pod), std::move(request)));
    co_return std::make_unique<TerminalCommand>(std::move(terminal.ours), std::move(command));
}

Task<Session> run_with_pipes(Rooms& rooms, PodName pod, pods::ExecRequest request,
                             server::RemoteStreams streams) {
    Ends in;
    Ends out;
    Ends err;
    if (streams.with_stdin) {
        SKIFF_CO_TRY(in, make_stream(Direction::to_command));
    }
    if (streams.with_stdout) {
        SKIFF_CO_TRY(out, make_stream(Direction::from_command));
    }
    if (streams.with_stderr) {
        SKIFF_CO_TRY(err, make_stream(Direction::from_command));
    }
    request.stdin_fd = in.theirs.get();
    request.stdout_fd = out.theirs.get();
    request.stderr_fd = err.theirs.get();
    SKIFF_CO_TRY(auto command, co_await rooms.exec(std::move(pod), std::move(request)));
    co_return std::make_unique<PipedCommand>(std::move(in.ours), std::move(out.ours),
                                             std::move(err.ours), std::move(command));
}

}  // namespace

Result<void> RemoteExec::check_exec(const server::RemoteTarget& target) const {
    auto pod = rooms_.pods().find(target.pod);
    if (!pod || (target.uid && target.uid->str() != pod->pod->metadata.uid)) {
        return fail(Code::not_found, "pod \"{}\" does not exist in namespace \"{}\" on this node",
                    target.pod.name, target.pod.ns);
    }
    auto container = pods::exec_target(*pod, target.container);
    if (!container) {
        return fail(std::move(container.error()));
    }
    return {};
}

Task<Session> RemoteExec::exec(server::RemoteTarget target, std::vector<std::string> command) {
    pods::ExecRequest request;
    request.container = std::move(target.container);
    request.command = std::move(command);
    if (target.streams.tty) {
        return run_in_terminal(rooms_, std::move(target.pod), std::move(request));
    }
    return run_with_pipes(rooms_, std::move(target.pod), std::move(request), target.streams);
}

Result<void> RemoteExec::check_attach(const server::RemoteTarget& target) const {
    return rooms_.attachments().check(target);
}

Task<Session> RemoteExec::attach(server::RemoteTarget target) {
    return rooms_.attachments().attach(std::move(target));
}

}  // namespace skiff::app
