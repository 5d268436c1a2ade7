// Keeps the service manager (systemd) informed: ready, alive while the sync loop is, stopping
// (contract row 57). Reactor thread only.
#pragma once

#include <functional>
#include <string>

#include "async/task.h"
#include "base/result.h"
#include "node/service.h"

namespace skiff::app {

class ServiceWatch {
public:
    struct Sources {
        // Fails when the agent should be restarted.
        std::function<Result<void>()> health;
        // One line for `systemctl status`.
        std::function<std::string()> status;
    };
    ServiceWatch(node::ServiceLink link, Sources sources)
        : link_(std::move(link)), sources_(std::move(sources)) {}

    // The node serves.
    void ready();
    void stopping();
    // One sign of life, unless the health check fails: then the status says why, and without a sign
    // the manager ends the agent in its time.
    void beat();
    // Beats often enough, until it is cancelled; ends at once where nobody listens.
    [[nodiscard]] async::Task<void> run();

private:
    node::ServiceLink link_;
    Sources sources_;
    std::string told_;  // the status
};

}  // namespace skiff::app
