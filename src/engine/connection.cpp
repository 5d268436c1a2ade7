#include "engine/connection.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

#include "base/log.h"
#include "os/file.h"

namespace skiff::engine {

namespace {

void collect_fds(msghdr& header, std::vector<os::Fd>& fds) {
    for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr;
         part = CMSG_NXTHDR(&header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
            fds.emplace_back(fd);
        }
    }
}

bool would_block(int error) {
    return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS;
}

}  // namespace

Result<std::optional<Packet>> Connection::receive() {
    // Static: a packet may be 64 KiB, and there is one thread.
    static std::array<char, wire::kMessageBytesMax> buffer;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(wire::kMessageFdsMax * sizeof(int))> control;
    iovec part{buffer.data(), buffer.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    ssize_t size = ::recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0 && errno == ECONNRESET) {
        // Said once when an agent ends that has not read everything; what it had sent is still
        // here.
        size = ::recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    }
    if (size < 0) {
        if (would_block(errno) || errno == EINTR) {
            return std::nullopt;
        }
        return fail_errno(errno, "receive from the agent");
    }
    Packet packet;
    collect_fds(header, packet.fds);
    if (size == 0) {
        return fail(Code::unavailable, "the agent has gone");
    }
    if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        return fail(Code::corrupt, "a packet is larger than the protocol allows");
    }
    SKIFF_TRY(packet.message,
              wire::decode_message({buffer.data(), static_cast<std::size_t>(size)}));
    return packet;
}

Result<void> Connection::flush() {
    while (!outbox_.empty()) {
        const std::string& bytes = outbox_.front();
        const ssize_t n =
            ::send(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) {
            if (would_block(errno)) {
                return {};
            }
            if (errno == EINTR) {
                continue;
            }
            return fail_errno(errno, "send to the agent");
        }
        outbox_.pop_front();
    }
    return {};
}

Result<void> Connection::send(const wire::Message& message) {
    if (outbox_.size() >= kOutboxMax) {
        return fail(Code::exhausted, "the agent does not read");
    }
    outbox_.push_back(wire::encode_message(message));
    return flush();
}

Result<os::Fd> listen_at(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        return fail(Code::invalid, "the socket's path '{}' is longer than {} bytes", path,
                    sizeof address.sun_path - 1);
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    os::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket.valid()) {
        return fail_errno(errno, "make a socket");
    }
    SKIFF_CHECK(os::remove_file(path));
    const mode_t old = ::umask(0177);
    const int bound = ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
    const int error = errno;
    ::umask(old);
    if (bound < 0) {
        return fail_errno(error, fmt::format("bind {}", path));
    }
    if (::listen(socket.get(), 64) < 0) {
        return fail_errno(errno, fmt::format("listen at {}", path));
    }
    return socket;
}

std::optional<os::Fd> accept_own(int listener) {
    os::Fd socket(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) {
        return std::nullopt;
    }
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
        (peer.uid != ::geteuid() && peer.uid != 0)) {
        log::warn("connection refused", log::kv("uid", peer.uid));
        return std::nullopt;
    }
    return socket;
}

}  // namespace skiff::engine
