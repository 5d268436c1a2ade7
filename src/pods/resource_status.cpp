#include "pods/resource_status.h"

#include "pods/resources.h"

namespace skiff::pods {
namespace {

// The values of `run` for what the container itself names.
void overlay(kube::ResourceList& list, const kube::ResourceList& run) {
    for (const char* name : {"cpu", "memory"}) {
        auto has = run.find(name);
        if (auto own = list.find(name); own != list.end() && has != run.end()) {
            own->second = has->second;
        }
    }
}

}  // namespace

void set_resources(kube::ContainerStatus& status, const kube::Container& container,
                   const ContainerView& view, const kube::PodStatus& previous) {
    const auto* before = find_status(previous, container.name);
    status.allocatedResources = container.resources.requests;
    if (container.resources.limits.empty() && container.resources.requests.empty()) {
        return;
    }
    kube::ResourceRequirements& resources = status.resources.emplace();
    resources.limits = container.resources.limits;
    resources.requests = container.resources.requests;
    if (!status.state.running || !view.latest) {
        return;
    }
    if (view.latest->resources) {
        overlay(resources.limits, view.latest->resources->limits);
        overlay(resources.requests, view.latest->resources->requests);
    } else if (before != nullptr && before->state.running && before->resources &&
               before->containerID == status.containerID) {
        status.resources = before->resources;
    }
}

void set_pod_resources(kube::PodStatus& status, const Situation& situation) {
    const kube::PodSpec& spec = situation.pod.spec;
    status.allocatedResources = pod_requests(spec);
    kube::ResourceRequirements resources = spec.resources.value_or(kube::ResourceRequirements());
    if (status.phase == "Running") {
        resources =
            actual_resources(spec, situation.memory.share.value_or(sandbox_of(situation.pod)));
    } else {
        resources.requests = pod_requests(spec);
        resources.limits = pod_limits(spec);
    }
    if (!resources.requests.empty() || !resources.limits.empty()) {
        status.resources = std::move(resources);
    }
}

}  // namespace skiff::pods
