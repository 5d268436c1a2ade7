// Commands of probes and hooks: exec with its output kept, for pods and probes.
#pragma once

#include "async/task.h"
#include "pods/ports.h"
#include "pods/probe_ports.h"

namespace skiff::app {

class ContainerCommands final : public pods::Commands {
public:
    // Both outlive this object.
    ContainerCommands(pods::Images& images, pods::Runtime& runtime)
        : images_(images), runtime_(runtime) {}
    [[nodiscard]] async::Task<Result<pods::CommandEnd>> run(pods::CommandRun run) override;

private:
    pods::Images& images_;
    pods::Runtime& runtime_;
};

}  // namespace skiff::app
