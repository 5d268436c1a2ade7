#include "engine/connection.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

#include "base/log.h"
#include "os/file.h"
#include "os/packet.h"

namespace skiff::engine {

Result<std::optional<Packet>> Connection::receive() {
    // Static: a packet may be 64 KiB, and there is one thread.
    static std::array<char, wire::kMessageBytesMax> buffer;
    SKIFF_TRY(auto received, os::receive_packet(socket_.get(), buffer, os::Wait::no));
    if (received.would_block) {
        return std::nullopt;
    }
    if (received.size == 0) {
        return fail(Code::unavailable, "the agent has gone");
    }
    Packet packet;
    packet.fds = std::move(received.fds);
    SKIFF_TRY(packet.message, wire::decode_message({buffer.data(), received.size}));
    return packet;
}

Result<void> Connection::flush() {
    while (!outbox_.empty()) {
        SKIFF_TRY(const auto sent, os::send_packet(socket_.get(), outbox_.front(), {}));
        if (sent == os::Sent::would_block) {
            return {};
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
