#include "pods/log_target.h"

#include "kube/pod_fields.h"
#include "pods/container_config.h"
#include "pods/observed.h"

namespace skiff::pods {
namespace {

// What a container without a log is waiting for, in the words of the kubelet.
std::string waiting_text(const kube::ContainerStatus* status) {
    std::string reason = status != nullptr && status->state.waiting
                             ? status->state.waiting->reason
                             : std::string("ContainerCreating");
    if (reason == "ErrImagePull") {
        return "image can't be pulled";
    }
    if (reason == "ImagePullBackOff") {
        return "trying and failing to pull image";
    }
    return reason;
}

}  // namespace

Result<LogTarget> log_target(const PodSnapshot& pod, const std::string& container, LogRun run) {
    const std::string& name = pod.pod->metadata.name;
    if (kube::find_container(*pod.pod, container) == nullptr) {
        return fail(Code::not_found, "container {} is not valid for pod {}", container, name);
    }
    const ContainerRecord* latest = nullptr;
    const ContainerRecord* before = nullptr;
    for (const ContainerRecord& record : pod.containers) {
        if (record.name != container || record.phase == ContainerRecord::Phase::starting) {
            continue;
        }
        if (latest == nullptr || record.attempt > latest->attempt) {
            before = latest;
            latest = &record;
        } else if (before == nullptr || record.attempt > before->attempt) {
            before = &record;
        }
    }
    const ContainerRecord* wanted = run == LogRun::previous ? before : latest;
    if (wanted == nullptr && run == LogRun::previous) {
        return fail(Code::invalid, "previous terminated container \"{}\" in pod \"{}\" not found",
                    container, name);
    }
    if (wanted == nullptr) {
        return fail(Code::invalid, "container \"{}\" in pod \"{}\" is waiting to start: {}",
                    container, name, waiting_text(find_status(pod.pod->status, container)));
    }
    LogTarget target;
    target.pod = wanted->pod;
    target.container = wanted->id;
    target.path = wanted->log_path;
    target.attempt = wanted->attempt;
    return target;
}

}  // namespace skiff::pods
