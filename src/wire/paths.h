// The names below `--run-dir` on which agent and keeper must agree, beyond the socket's messages.
#pragma once

#include <string>
#include <string_view>

namespace skiff::wire {

// All below the run folder, made 0700 by the agent (the keeper makes what is missing).
inline std::string keeper_socket(std::string_view run_dir, std::string_view build) {
    return std::string(run_dir) + "/keeper-" + std::string(build) + ".sock";
}
inline std::string exits_folder(std::string_view run_dir) {
    return std::string(run_dir) + "/exits";
}
// Written by the keeper (encode_exit_file), removed by it at Forget; by the agent when the keeper
// is gone.
inline std::string exit_file(std::string_view run_dir, std::string_view container_id) {
    return exits_folder(run_dir) + "/" + std::string(container_id);
}
inline std::string runners_folder(std::string_view run_dir) {
    return std::string(run_dir) + "/runners";
}
// Made and removed by the agent, see runner_page.h.
inline std::string runner_page_file(std::string_view run_dir, std::string_view container_id) {
    return runners_folder(run_dir) + "/" + std::string(container_id);
}
// An empty folder, the place where each runner mounts its own root in its own mount namespace.
inline std::string root_folder(std::string_view run_dir) {
    return std::string(run_dir) + "/root";
}

}  // namespace skiff::wire
