// Commands in containers for `kubectl exec`: their streams are pipes, or a terminal of their own.
// `kubectl attach` goes to the rooms' attachments.
// Reactor thread.
#pragma once

#include "app/rooms.h"
#include "server/remote_commands.h"

namespace skiff::app {

class RemoteExec final : public server::RemoteCommands {
public:
    // `rooms` outlives this object.
    explicit RemoteExec(Rooms& rooms) : rooms_(rooms) {}

    [[nodiscard]] Result<void> check_exec(const server::RemoteTarget& target) const override;
    [[nodiscard]] async::Task<Result<std::unique_ptr<server::RemoteSession>>> exec(
        server::RemoteTarget target, std::vector<std::string> command) override;
    [[nodiscard]] Result<void> check_attach(const server::RemoteTarget& target) const override;
    [[nodiscard]] async::Task<Result<std::unique_ptr<server::RemoteSession>>> attach(
        server::RemoteTarget target) override;

private:
    Rooms& rooms_;
};

}  // namespace skiff::app
