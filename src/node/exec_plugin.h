// Runs a kubeconfig's credential plugin: a program, never a shell. Reactor thread only.
#pragma once

#include <string>

#include "async/task.h"
#include "base/result.h"
#include "base/time.h"
#include "base/types.h"
#include "kube/client_config.h"

namespace skiff::node {

struct PluginLimits {
    Duration time = std::chrono::minutes(1);
    Bytes output = 1_MiB;  // of its standard output, and of its standard error
};

// Starts the plugin with the agent's environment, its own variables and KUBERNETES_EXEC_INFO =
// `info`, without any input, and returns its standard output once it has ended with 0. It and
// what it started in its session are killed when it takes too long, writes too much, or the caller
// is cancelled. Fails with not_found (no such program: with its install hint), timeout, exhausted,
// or internal: the exit code and the end of its standard error.
[[nodiscard]] async::Task<Result<std::string>> run_exec_plugin(kube::ExecPlugin plugin,
                                                               std::string info,
                                                               PluginLimits limits = {});

}  // namespace skiff::node
