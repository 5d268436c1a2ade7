// The sending side of a connection that several tasks write to, and how long ago it was of any use.
// Reactor thread only.
#pragma once

#include <string_view>

#include "async/event.h"
#include "base/time.h"
#include "http/server.h"

namespace skiff::http {

// A stream on which nothing moves for so long ends (the kubelet's streamingConnectionIdleTimeout).
inline constexpr auto kStreamIdleMax = std::chrono::hours(4);

class SharedWriter {
public:
    // `stream` outlives the writer.
    explicit SharedWriter(ByteStream& stream) : stream_(stream) { touch(); }

    using Turn = async::Semaphore::Permit;
    // Waits for the right to send. Whoever has it calls send() and lets go of it. What must go out
    // in order (header blocks with their running compression) is made while one has it.
    [[nodiscard]] async::Task<Result<Turn>> turn() { return turns_.acquire(); }
    // Fails with unavailable or cancelled; a connection that did not take the bytes is dead.
    [[nodiscard]] async::Task<Result<void>> send(std::string_view bytes) {
        auto sent = co_await stream_.write_all(bytes, after(kStreamIdleMax));
        touch();
        co_return sent;
    }

    // Something came or went.
    void touch() { last_use_ = after(Duration(0)); }
    // Runs `reading`, which reads the connection, until it ends or nothing came or went for
    // kStreamIdleMax. `event` is what the log says where it failed.
    [[nodiscard]] async::Task<void> read_until_idle(async::Task<Result<void>> reading,
                                                    std::string_view event);

private:
    // Fails with cancelled.
    [[nodiscard]] async::Task<Result<void>> wait_until_idle();

    ByteStream& stream_;
    async::Semaphore turns_{1};
    SteadyTime last_use_;
};

}  // namespace skiff::http
