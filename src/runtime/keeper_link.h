// One connection to one keeper: whole messages with descriptors, in both directions.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "async/task.h"
#include "base/result.h"
#include "os/fd.h"
#include "wire/message.h"

namespace skiff::runtime {

class KeeperLink {
public:
    // Connects and greets; the keeper's answer is welcome(). not_found: nobody listens
    // there; unavailable: it hung up, or its queue is full; timeout: somebody does, but is silent;
    // unsupported: another wire version.
    [[nodiscard]] static async::Task<Result<std::unique_ptr<KeeperLink>>> connect(
        std::filesystem::path socket, SteadyTime deadline);

    [[nodiscard]] const wire::Welcome& welcome() const { return welcome_; }
    // Sends one message; the descriptors stay the caller's. Waits when the keeper is slow to read.
    [[nodiscard]] async::Task<Result<void>> send(wire::Message message, std::vector<int> fds,
                                                 SteadyTime deadline);
    struct Received {
        wire::Message message;
        std::vector<os::Fd> fds;  // that rode with it
    };
    // The next message. unavailable: the keeper has closed the connection.
    [[nodiscard]] async::Task<Result<Received>> receive(SteadyTime deadline);

    KeeperLink(const KeeperLink&) = delete;
    KeeperLink& operator=(const KeeperLink&) = delete;

private:
    explicit KeeperLink(os::Fd socket) : socket_(std::move(socket)) {}

    os::Fd socket_;
    wire::Welcome welcome_;
};

}  // namespace skiff::runtime
