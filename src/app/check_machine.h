// Checks of the machine: control groups, descriptors, disks, the engine program.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "app/check.h"
#include "base/result.h"
#include "base/types.h"
#include "config/settings.h"

namespace skiff::app {

struct FolderFacts {
    std::string field;            // "rootDir"
    std::filesystem::path path;   // as configured
    std::filesystem::path found;  // the path, or the nearest folder above that exists
    bool read_only = false;
    bool no_exec = false;
    bool is_private = true;  // nobody else may write into it, or it is not there yet
    Bytes available;
    std::uint64_t available_percent = 100;
    std::uint64_t inodes_available_percent = 100;  // 100 where the filesystem counts none
};

struct MachineCheckFacts {
    // Controller → folder of the node's groups; "unified" for version 2.
    std::map<std::string, std::filesystem::path> cgroups;
    // Controllers whose folder cannot be written to.
    std::vector<std::string> cgroups_read_only;
    std::vector<std::string> controllers;  // of version 2, where that is mounted
    std::uint64_t descriptors_max = 0;     // hard limit
    std::vector<FolderFacts> folders;
    std::filesystem::path engine;
    Result<std::string> engine_says;  // what `skiff-engine version` printed
};

// Starts the engine program, at most ten seconds. Changes nothing.
[[nodiscard]] MachineCheckFacts observe_machine_for(const config::Settings& settings);
// `settings`: below which of evictionHard a disk is short.
[[nodiscard]] Findings judge_machine(const MachineCheckFacts& facts,
                                     const config::Settings& settings);

}  // namespace skiff::app
