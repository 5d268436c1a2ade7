// `skiff exec`: asks the agent of this machine to run a command in a container.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace skiff::app {

struct ExecOptions {
    std::string ns = "default";
    std::string pod;
    std::string container;  // empty: the pod's default
    std::vector<std::string> command;
    bool interactive = false;
    bool terminal = false;
    std::filesystem::path run_dir;
};

// Returns the command's exit code; kExitCannotRun when it did not run.
[[nodiscard]] int exec_command(const ExecOptions& options);

}  // namespace skiff::app
