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

// The command line on which agent and engine agree:
//   skiff-engine keep --run-dir=DIR [--die-with-parent]
//       Ready once it accepts on keeper_socket(DIR, build); the agent connects until it does.
//       A socket file that a dead keeper left is replaced; a live keeper there means exit status 0
//       without a word. --die-with-parent: kills its runners and ends when its parent process is
//       gone.
//   skiff-engine version
//       Prints lines "build=…", "engine=…", "compatibility-key=…".
// The keeper takes every packet that older connections hold before it answers a Hello: so a start
// that a killed agent had sent is in the Running that the next agent gets.

}  // namespace skiff::wire
