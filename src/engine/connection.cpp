#include "engine/connection.h"

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
        const Outgoing& next = outbox_.front();
        const int rider = next.rider.get();
        const std::span<const int> riders(&rider, next.rider.valid() ? 1 : 0);
        SKIFF_TRY(const auto sent, os::send_packet(socket_.get(), next.bytes, riders));
        if (sent == os::Sent::would_block) {
            return {};
        }
        outbox_.pop_front();
    }
    return {};
}

Result<void> Connection::send(const wire::Message& message, os::Fd rider) {
    if (outbox_.size() >= kOutboxMax) {
        return fail(Code::exhausted, "the agent does not read");
    }
    outbox_.push_back({wire::encode_message(message), std::move(rider)});
    return flush();
}

}  // namespace skiff::engine
