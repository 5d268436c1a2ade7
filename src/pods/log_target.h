// Which log file `kubectl logs` means, or why there is none (contract §2). Pure.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.h"
#include "pods/pods.h"

namespace skiff::pods {

struct LogTarget {
    PodUid pod;
    ContainerId container;       // whose end ends a follow
    std::filesystem::path path;  // log_file_name(attempt) in the container's folder
    std::uint32_t attempt = 0;
};

enum class LogRun { latest, previous };

// Fails with not_found (no such container: 404) or invalid (nothing to read yet, or no run before:
// 400); the messages are what kubectl prints.
[[nodiscard]] Result<LogTarget> log_target(const PodSnapshot& pod, const std::string& container,
                                           LogRun run);

}  // namespace skiff::pods
