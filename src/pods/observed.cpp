#include "pods/observed.h"

#include <algorithm>

#include "base/fnv.h"
#include "kube/pod_fields.h"
#include "pods/rounds.h"

namespace skiff::pods {
namespace {

constexpr std::string_view kIdPrefix = "skiff://";

Instance from_record(const ContainerRecord& record) {
    Instance instance;
    instance.source = is_earlier(record) ? Instance::Source::earlier : Instance::Source::record;
    instance.attempt = record.attempt;
    instance.round = record.round;
    instance.id = record.id;
    instance.spec_hash = record.spec_hash;
    instance.image = record.image;
    instance.image_id = record.image_id;
    instance.ids = record.ids;
    instance.resources = record.resources;
    instance.started = record.started;
    if (record.exit) {
        Ended ended;
        ended.exit_code = record.exit->exit_code;
        ended.reason = record.exit->reason;
        ended.message = record.exit->message;
        ended.finished = record.exit->finished;
        bool stopped =
            record.exit->kind == ExitKind::stopped || record.exit->kind == ExitKind::killed;
        ended.by = stopped ? Ended::By::node : Ended::By::guest;
        if (ended.reason.empty()) {
            ended.reason = ended.exit_code == 0 ? "Completed" : "Error";
        }
        instance.ended = std::move(ended);
    }
    return instance;
}

Instance from_terminated(const kube::ContainerStatus& status,
                         const kube::ContainerStateTerminated& terminated) {
    Instance instance;
    instance.source = Instance::Source::status;
    instance.attempt = static_cast<std::uint32_t>(std::max(status.restartCount, 0));
    instance.id = parse_container_id(terminated.containerID);
    instance.image = status.image;
    instance.image_id = status.imageID;
    Ended ended;
    ended.exit_code = terminated.exitCode;
    ended.reason = terminated.reason;
    ended.message = terminated.message;
    if (terminated.startedAt) {
        instance.started = terminated.startedAt->at;
    }
    if (terminated.finishedAt) {
        ended.finished = terminated.finishedAt->at;
    }
    instance.ended = std::move(ended);
    return instance;
}

Instance lost_instance(const kube::ContainerStatus& status, WallTime now) {
    Instance instance;
    instance.source = Instance::Source::status;
    instance.attempt = static_cast<std::uint32_t>(std::max(status.restartCount, 0));
    instance.id = parse_container_id(status.containerID);
    instance.image = status.image;
    instance.image_id = status.imageID;
    if (status.state.running->startedAt) {
        instance.started = status.state.running->startedAt->at;
    }
    Ended ended;
    ended.exit_code = 137;
    ended.reason = "ContainerStatusUnknown";
    ended.message = "The container could not be located. The container used to be Running";
    ended.finished = now;
    instance.ended = std::move(ended);
    return instance;
}

// The run that only the status remembers, if any.
std::optional<Instance> from_status(const kube::ContainerStatus& status, WallTime now) {
    if (status.state.terminated) {
        return from_terminated(status, *status.state.terminated);
    }
    if (status.state.running) {
        return lost_instance(status, now);
    }
    if (status.lastState.terminated) {
        return from_terminated(status, *status.lastState.terminated);
    }
    return std::nullopt;
}

ContainerView view_of(const std::string& name, const std::vector<ContainerRecord>& records,
                      const kube::ContainerStatus* status, WallTime now) {
    ContainerView view;
    std::vector<const ContainerRecord*> own;
    for (const ContainerRecord& record : records) {
        if (record.name != name) {
            continue;
        }
        if (record.phase == ContainerRecord::Phase::starting) {
            view.starting = record.id;
            view.starting_round = record.round;
        } else {
            own.push_back(&record);
        }
    }
    std::stable_sort(own.begin(), own.end(),
                     [](const auto* a, const auto* b) { return a->attempt > b->attempt; });
    if (!own.empty()) {
        view.latest = from_record(*own[0]);
    }
    if (own.size() > 1) {
        view.before = from_record(*own[1]);
    }
    for (std::size_t i = 2; i < own.size(); ++i) {
        if (own[i]->exit) {
            view.outdated.push_back(own[i]->id);
        }
    }
    if (status == nullptr) {
        return view;
    }
    auto remembered = from_status(*status, now);
    if (!view.latest) {
        view.latest = std::move(remembered);
        if (status->state.terminated && status->lastState.terminated) {
            view.before = from_terminated(*status, *status->lastState.terminated);
        }
        return view;
    }
    // The API server may have been told of a later run than the last whose end was kept.
    if (view.latest->source == Instance::Source::earlier && remembered &&
        remembered->attempt > view.latest->attempt) {
        view.before = std::exchange(view.latest, std::move(remembered));
        return view;
    }
    // The record of the run before may be gone, in a reboot, say, that kept an older one; what the
    // status told of it stays true.
    bool is_other = remembered && remembered->id != view.latest->id;
    if (is_other && (!view.before || remembered->attempt > view.before->attempt)) {
        view.before = std::move(remembered);
    } else if (!view.before && status->lastState.terminated) {
        view.before = from_terminated(*status, *status->lastState.terminated);
    }
    return view;
}

}  // namespace

PodView observe(const kube::Pod& pod, const std::vector<ContainerRecord>& records,
                const kube::PodStatus& previous, WallTime now) {
    PodView view;
    auto add = [&](const auto& containers, const std::vector<kube::ContainerStatus>& statuses) {
        for (const kube::Container& container : containers) {
            view[container.name] =
                view_of(container.name, records, find_status(statuses, container.name), now);
        }
    };
    add(pod.spec.initContainers, previous.initContainerStatuses);
    add(pod.spec.containers, previous.containerStatuses);
    add(pod.spec.ephemeralContainers, previous.ephemeralContainerStatuses);
    mark_rounds(pod.spec, view);
    return view;
}

bool sandbox_was_lost(const std::vector<ContainerRecord>& records,
                      const kube::PodStatus& previous) {
    bool regular_known = std::ranges::any_of(records, [&](const ContainerRecord& record) {
        return record.kind == ContainerKind::regular && !is_earlier(record);
    });
    if (regular_known || is_terminal(previous.phase)) {
        return false;
    }
    if (std::ranges::any_of(records, is_earlier)) {
        return true;
    }
    auto ran = [](const kube::ContainerStatus& status) { return !status.containerID.empty(); };
    // Init containers may have begun again since: this agent need not be the boot's first. Within a
    // boot each that ran has the record of its last run.
    auto left_no_trace = [&](const kube::ContainerStatus& status) {
        return ran(status) &&
               std::ranges::find(records, status.name, &ContainerRecord::name) == records.end();
    };
    return std::ranges::any_of(previous.containerStatuses, ran) ||
           std::ranges::any_of(previous.initContainerStatuses, left_no_trace);
}

std::string spec_hash(const kube::Container& container) {
    // It only has to notice change, nobody gains by a collision with an own pod.
    constexpr unsigned char kEnd = 0xff;  // in no UTF-8 text
    Fnv1a hash;
    hash.mix(container.name).mix(kEnd).mix(container.image).mix(kEnd);
    return fmt::format("{:016x}", hash.value());
}

ContainerId parse_container_id(std::string_view status_id) {
    if (status_id.starts_with(kIdPrefix)) {
        status_id.remove_prefix(kIdPrefix.size());
    }
    return ContainerId(std::string(status_id));
}

std::string format_container_id(const ContainerId& id) {
    return id.empty() ? std::string() : std::string(kIdPrefix) + id.str();
}

bool is_sidecar(const kube::Container& init_container) {
    return init_container.restartPolicy && *init_container.restartPolicy == "Always";
}

const kube::ContainerStatus* find_status(const std::vector<kube::ContainerStatus>& statuses,
                                         std::string_view name) {
    auto found = std::ranges::find(statuses, name, &kube::ContainerStatus::name);
    return found == statuses.end() ? nullptr : &*found;
}

const kube::ContainerStatus* find_status(const kube::PodStatus& status, std::string_view name) {
    for (const auto* list : {&status.initContainerStatuses, &status.containerStatuses,
                             &status.ephemeralContainerStatuses}) {
        if (const auto* found = find_status(*list, name)) {
            return found;
        }
    }
    return nullptr;
}

const kube::ContainerStatus* find_status(const kube::PodStatus& status, std::string_view name,
                                         const ContainerId& run) {
    const auto* found = find_status(status, name);
    return found != nullptr && found->containerID == format_container_id(run) ? found : nullptr;
}

bool is_terminal(std::string_view phase) {
    return phase == "Succeeded" || phase == "Failed";
}

bool is_static(const kube::Pod& pod) {
    return kube::is_from_file(pod);
}

std::string describe_pod(const kube::Pod& pod) {
    return pod.metadata.name + "_" + pod.metadata.namespace_ + "(" + pod.metadata.uid + ")";
}

}  // namespace skiff::pods
