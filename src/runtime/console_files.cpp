#include "runtime/console_files.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "os/file.h"

namespace skiff::runtime {

namespace {

// The writing end, which only opens while there is a reading one.
Result<os::Fd> make_fifo(const std::filesystem::path& path) {
    if (::mkfifo(path.c_str(), 0600) != 0) {
        return fail_errno(errno, fmt::format("make the FIFO {}", path.string()));
    }
    constexpr int kFlags = O_NONBLOCK | O_NOFOLLOW;
    SKIFF_TRY(os::Fd reader, os::open(path, O_RDONLY | kFlags));
    return os::open(path, O_WRONLY | kFlags);
}

Result<void> make_socket(ConsoleFiles& files) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        return fail_errno(errno, "make a socket for standard input");
    }
    files.far_end.reset(ends[0]);
    files.input.reset(ends[1]);
    return {};
}

Result<os::Fd> open_slave(int master, int flags) {
    os::Fd slave(::ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC | flags));
    if (!slave.valid()) {
        return fail_errno(errno, "open a terminal");
    }
    return slave;
}

Result<void> make_terminal(ConsoleFiles& files) {
    files.far_end.reset(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    const int master = files.far_end.get();
    if (master < 0 || ::unlockpt(master) != 0) {
        return fail_errno(errno, "make a terminal");
    }
    // A client never blocks on it; the flag is the open file's, so the keeper's as well.
    ::fcntl(master, F_SETFL, ::fcntl(master, F_GETFL) | O_NONBLOCK);
    // Two open files: the guest's reads wait, the runner's writes do not.
    SKIFF_TRY(files.input, open_slave(master, 0));
    SKIFF_TRY(files.out, open_slave(master, O_NONBLOCK));
    termios settings{};
    if (::tcgetattr(files.input.get(), &settings) != 0) {
        return fail_errno(errno, "set a terminal up");
    }
    // Whoever typed Ctrl-S and went would have stopped the guest for good.
    settings.c_iflag &= ~static_cast<tcflag_t>(IXON);
    settings.c_iflag |= IUTF8;
    if (::tcsetattr(files.input.get(), TCSANOW, &settings) != 0) {
        return fail_errno(errno, "set a terminal up");
    }
    return {};
}

}  // namespace

Result<ConsoleFiles> make_console_files(const state::Paths& paths, const ContainerId& id,
                                        const pods::Console& console) {
    ConsoleFiles files;
    if (console.kind == pods::Console::Kind::none) {
        return files;
    }
    SKIFF_CHECK(os::make_folders(paths.consoles(), 0700));
    if (console.kind == pods::Console::Kind::terminal) {
        SKIFF_CHECK(make_terminal(files));
        SKIFF_TRY(files.audience, make_fifo(paths.console_out(id)));
        return files;
    }
    SKIFF_CHECK(make_socket(files));
    SKIFF_TRY(files.out, make_fifo(paths.console_out(id)));
    SKIFF_TRY(files.err, make_fifo(paths.console_err(id)));
    return files;
}

Result<void> remove_console_files(const state::Paths& paths, const ContainerId& id) {
    SKIFF_CHECK(os::remove_file(paths.console_out(id)));
    return os::remove_file(paths.console_err(id));
}

std::int32_t grant_console(const pods::Console& console, std::int32_t next_fd, wire::Grant& grant) {
    switch (console.kind) {
        case pods::Console::Kind::none:
            break;
        case pods::Console::Kind::pipes:
            grant.stdin_fd = next_fd++;
            grant.log.stdout_fd = grant.log.audience_fd = next_fd++;
            grant.log.stderr_fd = next_fd++;
            break;
        case pods::Console::Kind::terminal:
            grant.stdin_fd = next_fd++;
            grant.log.stdout_fd = grant.log.stderr_fd = next_fd++;
            grant.log.audience_fd = next_fd++;
            break;
    }
    return next_fd;
}

std::vector<int> console_fds(const ConsoleFiles& files) {
    std::vector<int> fds;
    for (const os::Fd* fd : {&files.input, &files.out, &files.err, &files.audience}) {
        if (fd->valid()) {
            fds.push_back(fd->get());
        }
    }
    return fds;
}

Result<os::Fd> open_output(const std::filesystem::path& fifo) {
    SKIFF_TRY(os::Fd fd, os::open(fifo, O_RDONLY | O_NONBLOCK | O_NOFOLLOW));
    drop_input(fd.get());
    return fd;
}

void drop_input(int fd) {
    // A FIFO's or a terminal's buffer, and no more: a guest may be writing as fast as this reads.
    constexpr std::size_t kMost = 1 << 20;
    std::array<char, 16 << 10> buffer;
    std::size_t dropped = 0;
    while (dropped < kMost) {
        const ssize_t count = ::read(fd, buffer.data(), buffer.size());
        if (count <= 0) {
            return;
        }
        dropped += static_cast<std::size_t>(count);
    }
}

}  // namespace skiff::runtime
