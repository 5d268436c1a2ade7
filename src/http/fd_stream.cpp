#include "http/fd_stream.h"

#include <unistd.h>

#include <cerrno>

namespace skiff::http {

async::Task<Result<std::size_t>> FdStream::read_some(std::span<char> into, SteadyTime deadline) {
    while (true) {
        ssize_t count = ::read(fd_, into.data(), into.size());
        if (count >= 0) {
            co_return static_cast<std::size_t>(count);
        }
        const int problem = errno;
        if (problem == EIO || problem == ECONNRESET) {
            co_return std::size_t{0};
        }
        if (problem != EAGAIN && problem != EINTR) {
            co_return fail_errno(problem, "read");
        }
        SKIFF_CO_CHECK(co_await async::wait_readable(fd_, deadline));
    }
}

async::Task<Result<void>> FdStream::write_all(std::string_view bytes, SteadyTime deadline) {
    while (!bytes.empty()) {
        ssize_t count = ::write(fd_, bytes.data(), bytes.size());
        if (count >= 0) {
            bytes.remove_prefix(static_cast<std::size_t>(count));
            continue;
        }
        const int problem = errno;
        if (problem == EPIPE || problem == ECONNRESET || problem == EIO) {
            co_return fail(Code::unavailable, "nobody reads any more");
        }
        if (problem != EAGAIN && problem != EINTR) {
            co_return fail_errno(problem, "write");
        }
        SKIFF_CO_CHECK(co_await async::wait_writable(fd_, deadline));
    }
    co_return Result<void>{};
}

}  // namespace skiff::http
