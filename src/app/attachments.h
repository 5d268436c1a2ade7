// `kubectl attach`: clients of containers, by their consoles or, without one, by their logs.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "async/blocking.h"
#include "async/scope.h"
#include "pods/pods.h"
#include "server/remote_commands.h"

namespace skiff::app {

class Attachments {
public:
    // All outlive this object.
    struct Parts {
        const pods::Pods& pods;
        pods::Runtime& runtime;
        async::BlockingPool& pool;
    };
    Attachments(async::Executor executor, Parts parts);

    // Whether there is something to attach to. Fails with not_found, or conflict: the container is
    // not running.
    [[nodiscard]] Result<void> check(const server::RemoteTarget& target) const;
    // Fails as check() and Runtime::attach() do.
    [[nodiscard]] async::Task<Result<std::unique_ptr<server::RemoteSession>>> attach(
        server::RemoteTarget target);
    // Ends every session. Before destruction.
    [[nodiscard]] async::Task<void> stop();

private:
    [[nodiscard]] Result<pods::ContainerRecord> find(const server::RemoteTarget& target) const;

    Parts parts_;
    async::Scope scope_;
};

// The server's view of a session.
[[nodiscard]] std::unique_ptr<server::RemoteSession> remote_session(
    std::unique_ptr<pods::AttachSession> session);

}  // namespace skiff::app
