// `kubectl exec` and `skiff exec`: which container a command is for, and which module it is.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "pods/pods.h"

namespace skiff::pods {

struct ExecRequest {
    std::string container;  // empty: the pod's default
    std::vector<std::string> command;
    // As in ExecSpec.
    int stdin_fd = -1;
    int stdout_fd = -1;
    int stderr_fd = -1;
    bool tty = false;
};

// The container that commands go to when none is named, as kubectl has it: the annotation
// `kubectl.kubernetes.io/default-container`, else the first.
[[nodiscard]] std::string default_container(const kube::Pod& pod);

// The running container of that name (empty: the default). Fails with not_found (no such container)
// or conflict (it is not running). Pure.
[[nodiscard]] Result<ContainerId> exec_target(const PodSnapshot& pod, const std::string& container);

// Runs the command in a container that runs: the file of its image that its first word names, as
// for the container's own command, else the toolbox's applet. Fails as Runtime::exec() does.
// `images` and `runtime` outlive the call.
[[nodiscard]] Task<Result<std::unique_ptr<ExecSession>>> exec_in(Images& images, Runtime& runtime,
                                                                 ContainerId container,
                                                                 ExecRequest request);

// The same in the container that the request names. Fails as exec_target() does, too.
[[nodiscard]] Task<Result<std::unique_ptr<ExecSession>>> exec_command(Images& images,
                                                                      Runtime& runtime,
                                                                      PodSnapshot pod,
                                                                      ExecRequest request);

}  // namespace skiff::pods
