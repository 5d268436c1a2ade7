#include "pods/exec.h"

#include "kube/pod_fields.h"

namespace skiff::pods {

namespace {

constexpr std::string_view kDefaultContainer = "kubectl.kubernetes.io/default-container";

}  // namespace

std::string default_container(const kube::Pod& pod) {
    auto annotated = pod.metadata.annotations.find(std::string(kDefaultContainer));
    if (annotated != pod.metadata.annotations.end() &&
        kube::find_container(pod, annotated->second) != nullptr) {
        return annotated->second;
    }
    return pod.spec.containers.empty() ? std::string() : pod.spec.containers.front().name;
}

Result<ContainerId> exec_target(const PodSnapshot& pod, const std::string& container) {
    const std::string name = container.empty() ? default_container(*pod.pod) : container;
    if (kube::find_container(*pod.pod, name) == nullptr) {
        return fail(Code::not_found, "container {} is not valid for pod {}", name,
                    pod.pod->metadata.name);
    }
    for (const ContainerRecord& record : pod.containers) {
        if (record.name == name && record.runs()) {
            return record.id;
        }
    }
    return fail(Code::conflict, "container \"{}\" is not running", name);
}

Task<Result<std::unique_ptr<ExecSession>>> exec_in(Images& images, Runtime& runtime,
                                                   ContainerId container, ExecRequest request) {
    if (request.command.empty()) {
        co_return fail(Code::invalid, "no command was given");
    }
    ExecSpec spec;
    spec.container = std::move(container);
    spec.stdin_fd = request.stdin_fd;
    spec.stdout_fd = request.stdout_fd;
    spec.stderr_fd = request.stderr_fd;
    spec.tty = request.tty;
    SKIFF_CO_TRY(Image image, runtime.image_of(spec.container));
    if (image.kind == ImageKind::layered) {
        auto found = co_await images.find_module(image, request.command.front());
        if (found) {
            spec.module = std::move(*found);
        } else if (found.error().code != Code::not_found) {
            co_return fail(std::move(found.error()));
        }
    }
    spec.command = std::move(request.command);
    co_return co_await runtime.exec(std::move(spec));
}

Task<Result<std::unique_ptr<ExecSession>>> exec_command(Images& images, Runtime& runtime,
                                                        PodSnapshot pod, ExecRequest request) {
    SKIFF_CO_TRY(ContainerId container, exec_target(pod, request.container));
    co_return co_await exec_in(images, runtime, std::move(container), std::move(request));
}

}  // namespace skiff::pods
