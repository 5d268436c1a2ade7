// One agent at the other end of a SOCK_SEQPACKET socket.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "os/fd.h"
#include "wire/message.h"

namespace skiff::engine {

// A packet as it came: a message and the descriptors that rode with it.
struct Packet {
    wire::Message message;
    std::vector<os::Fd> fds;
};

// Never blocks. What cannot be sent now waits, up to kOutboxMax packets; an agent that does not
// read for longer than that is dropped, comes back and gets everything again.
class Connection {
public:
    static constexpr std::size_t kOutboxMax = 8192;

    explicit Connection(os::Fd socket) : socket_(std::move(socket)) {}

    [[nodiscard]] int fd() const { return socket_.get(); }
    // Whether sent packets wait for room in the socket (poll for POLLOUT).
    [[nodiscard]] bool has_backlog() const { return !outbox_.empty(); }

    // The next packet, or nullopt when there is none now. Fails with unavailable when the other
    // side is gone, corrupt or unsupported when it does not speak our language; then drop it.
    [[nodiscard]] Result<std::optional<Packet>> receive();
    // Sends or keeps a packet, with a descriptor if there is one. Fails when the other side is gone
    // or too slow; then drop it.
    [[nodiscard]] Result<void> send(const wire::Message& message, os::Fd rider = os::Fd());
    // Sends what waits, as far as it goes.
    [[nodiscard]] Result<void> flush();

private:
    struct Outgoing {
        std::string bytes;
        os::Fd rider;
    };
    os::Fd socket_;
    std::deque<Outgoing> outbox_;
};

}  // namespace skiff::engine
