// A pipe, terminal or socket as a ByteStream. Reactor thread only.
#pragma once

#include "http/server.h"

namespace skiff::http {

// Borrows a descriptor in non-blocking mode, which stays open while a call waits on it. A deadline
// that passes fails the call only.
class FdStream final : public ByteStream {
public:
    explicit FdStream(int fd) : fd_(fd) {}
    // 0 also when the other end of a terminal, or of a connection, has gone.
    [[nodiscard]] async::Task<Result<std::size_t>> read_some(std::span<char> into,
                                                             SteadyTime deadline) override;
    [[nodiscard]] async::Task<Result<void>> write_all(std::string_view bytes,
                                                      SteadyTime deadline) override;

private:
    int fd_;
};

}  // namespace skiff::http
