#include "os/fd.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace skiff::os {

void Fd::reset(int fd) {
    if (fd_ >= 0) {
        // EINTR included: on Linux the descriptor is gone whatever close() says.
        ::close(fd_);
    }
    fd_ = fd;
}

Result<Fd> Fd::duplicate() const {
    int copy = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        return fail_errno(errno, "duplicate a descriptor");
    }
    return Fd(copy);
}

Result<Fd> open(const std::filesystem::path& path, int flags, unsigned mode) {
    return open_at(AT_FDCWD, path, flags, mode);
}

Result<Fd> open_at(int folder, const std::filesystem::path& path, int flags, unsigned mode) {
    int fd = -1;
    do {
        fd = ::openat(folder, path.c_str(), flags | O_CLOEXEC, mode);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        return fail_errno(errno, fmt::format("open {}", path.string()));
    }
    return Fd(fd);
}

Result<Pipe> make_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        return fail_errno(errno, "pipe2");
    }
    return Pipe{Fd(ends[0]), Fd(ends[1])};
}

Result<Fd> make_eventfd() {
    int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        return fail_errno(errno, "eventfd");
    }
    return Fd(fd);
}

Result<Fd> make_memfd(const std::string& name) {
    int fd = ::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        return fail_errno(errno, "memfd_create");
    }
    return Fd(fd);
}

Result<Fd> make_sealed_memfd(const std::string& name, std::string_view bytes) {
    SKIFF_TRY(Fd fd, make_memfd(name));
    SKIFF_CHECK(write_all(fd.get(), bytes));
    if (::lseek(fd.get(), 0, SEEK_SET) != 0) {
        return fail_errno(errno, "seek in a memfd");
    }
    if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) !=
        0) {
        return fail_errno(errno, "seal a memfd");
    }
    return fd;
}

Result<void> write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        ssize_t n = ::write(fd, bytes.data(), bytes.size());
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            return fail_errno(errno, "write");
        }
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
}

Result<std::string> read_all(int fd, Bytes limit) {
    std::string text;
    char buffer[16384];
    while (true) {
        ssize_t n = ::read(fd, buffer, sizeof buffer);
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            return fail_errno(errno, "read");
        }
        if (n == 0) {
            return text;
        }
        if (text.size() + static_cast<std::size_t>(n) > limit.value) {
            return fail(Code::exhausted, "more than {}", limit);
        }
        text.append(buffer, static_cast<std::size_t>(n));
    }
}

}  // namespace skiff::os
