#include "pods/resize.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "kube/codec.h"
#include "kube/defaults.h"
#include "pods/resources.h"

namespace skiff::pods {
namespace {

constexpr std::array<const char*, 2> kResizable = {"cpu", "memory"};

// Zero where there is none: for a cgroup they are the same.
kube::Quantity amount(const kube::ResourceList& list, const char* name) {
    auto found = list.find(name);
    return found == list.end() ? kube::Quantity() : found->second;
}

bool same(const kube::ResourceRequirements& a, const kube::ResourceRequirements& b,
          const char* name) {
    return amount(a.limits, name) == amount(b.limits, name) &&
           amount(a.requests, name) == amount(b.requests, name);
}

bool same(const kube::ResourceRequirements& a, const kube::ResourceRequirements& b) {
    return a.limits == b.limits && a.requests == b.requests;
}

const kube::Container* find(const std::vector<kube::Container>& list, const std::string& name) {
    auto found = std::ranges::find(list, name, &kube::Container::name);
    return found == list.end() ? nullptr : &*found;
}

bool differ(const std::vector<kube::Container>& a, const std::vector<kube::Container>& b) {
    return std::ranges::any_of(a, [&](const kube::Container& container) {
        const kube::Container* other = find(b, container.name);
        return other != nullptr && !same(container.resources, other->resources);
    });
}

void take(std::vector<kube::Container>& list, const std::vector<kube::Container>& allocated) {
    for (kube::Container& container : list) {
        if (const kube::Container* its = find(allocated, container.name)) {
            container.resources.limits = its->resources.limits;
            container.resources.requests = its->resources.requests;
        }
    }
}

std::vector<kube::Container> only_resources(const std::vector<kube::Container>& list) {
    std::vector<kube::Container> bare;
    for (const kube::Container& container : list) {
        kube::Container one;
        one.name = container.name;
        one.resources = container.resources;
        bare.push_back(std::move(one));
    }
    return bare;
}

bool wants_restart(const kube::Container& container, const char* resource) {
    auto policy = std::ranges::find(container.resizePolicy, resource,
                                    &kube::ContainerResizePolicy::resourceName);
    return policy != container.resizePolicy.end() && policy->restartPolicy == "RestartContainer";
}

std::string summary_of(const std::vector<kube::Container>& list) {
    std::vector<std::string> texts;
    for (const kube::Container& container : only_resources(list)) {
        texts.push_back(fmt::format("{{\"name\":{},\"resources\":{}}}",
                                    kube::quote_json(container.name),
                                    kube::to_json(container.resources)));
    }
    return fmt::format("[{}]", fmt::join(texts, ","));
}

kube::PodCondition holds(std::string_view type, std::string reason, std::string message) {
    kube::PodCondition condition;
    condition.type = type;
    condition.status = "True";
    condition.reason = std::move(reason);
    condition.message = std::move(message);
    return condition;
}

bool any_needs(const kube::PodSpec& spec, const PodView& view, ResizeNeed need) {
    auto needs = [&](const kube::Container& container) {
        const auto& latest = view.at(container.name).latest;
        return latest && resize_need(spec, container, *latest) == need;
    };
    return std::ranges::any_of(spec.containers, needs) ||
           std::ranges::any_of(spec.initContainers, needs);
}

bool needs_more(const WaitingResize& resize) {
    kube::ResourceList before = pod_requests(resize.allocated->spec);
    kube::ResourceList after = pod_requests(resize.desired->spec);
    return std::ranges::any_of(
        kResizable, [&](const char* name) { return amount(after, name) > amount(before, name); });
}

}  // namespace

bool differ_in_resources(const kube::PodSpec& a, const kube::PodSpec& b) {
    kube::ResourceRequirements none;
    return differ(a.containers, b.containers) || differ(a.initContainers, b.initContainers) ||
           !same(a.resources.value_or(none), b.resources.value_or(none));
}

kube::Pod with_resources_of(kube::Pod pod, const kube::PodSpec& allocated) {
    take(pod.spec.containers, allocated.containers);
    take(pod.spec.initContainers, allocated.initContainers);
    pod.spec.resources = allocated.resources;
    return pod;
}

std::string format_allocation(const kube::PodSpec& spec) {
    kube::PodSpec bare;
    bare.containers = only_resources(spec.containers);
    bare.initContainers = only_resources(spec.initContainers);
    bare.resources = spec.resources;
    return kube::to_json(bare);
}

Result<kube::PodSpec> parse_allocation(std::string_view text) {
    auto spec = kube::from_json<kube::PodSpec>(text);
    if (!spec) {
        return fail(Code::corrupt, "allocation: {}", spec.error().message);
    }
    return spec;
}

kube::PodSpec allocation_of_status(const kube::Pod& pod) {
    kube::PodSpec allocated = pod.spec;
    auto recall = [](kube::Container& container,
                     const std::vector<kube::ContainerStatus>& statuses) {
        const kube::ContainerStatus* status = find_status(statuses, container.name);
        if (status != nullptr && status->resources) {
            container.resources.requests = status->allocatedResources;
            container.resources.limits = status->resources->limits;
        }
    };
    for (kube::Container& container : allocated.containers) {
        recall(container, pod.status.containerStatuses);
    }
    for (kube::Container& container : allocated.initContainers) {
        recall(container, pod.status.initContainerStatuses);
    }
    return allocated;
}

kube::ResourceRequirements run_resources(const kube::PodSpec& spec,
                                         const kube::Container& container) {
    kube::ResourceRequirements resources;
    resources.requests = container.resources.requests;
    resources.limits = limits_of(spec, container);
    return resources;
}

ResizeNeed resize_need(const kube::PodSpec& spec, const kube::Container& container,
                       const Instance& run) {
    ResizeNeed need = ResizeNeed::none;
    if (!run.runs() || !run.resources) {
        return need;
    }
    kube::ResourceRequirements wanted = run_resources(spec, container);
    for (const char* name : kResizable) {
        if (same(wanted, *run.resources, name)) {
            continue;
        }
        if (wants_restart(container, name)) {
            return ResizeNeed::restart;
        }
        need = ResizeNeed::live;
    }
    return need;
}

bool differ_in_share(const PodSandbox& a, const PodSandbox& b) {
    return a.memory_limit != b.memory_limit || a.cpu_limit_millis != b.cpu_limit_millis ||
           a.cpu_request_millis != b.cpu_request_millis;
}

bool can_resize_live(const Situation& situation, const PodView& view) {
    const auto& given = situation.memory.share;
    return (given && differ_in_share(*given, sandbox_of(situation.pod))) ||
           any_needs(situation.pod.spec, view, ResizeNeed::live);
}

bool resize_in_progress(const Situation& situation, const PodView& view) {
    return can_resize_live(situation, view) ||
           any_needs(situation.pod.spec, view, ResizeNeed::restart);
}

std::vector<kube::PodCondition> resize_conditions(const Situation& situation, const PodView& view) {
    std::vector<kube::PodCondition> conditions;
    const PodMemory& memory = situation.memory;
    if (memory.resize_pending) {
        conditions.push_back(
            holds(kResizePending, memory.resize_pending->reason, memory.resize_pending->message));
        conditions.back().observedGeneration = memory.resize_pending->generation;
    }
    if (resize_in_progress(situation, view)) {
        bool failed = memory.resize.failures > 0;
        conditions.push_back(holds(kResizeInProgress, failed ? "Error" : "",
                                   failed ? memory.resize.message : std::string()));
        conditions.back().observedGeneration = memory.resize_generation.value_or(0);
    }
    return conditions;
}

std::string resize_message(std::string_view what, const kube::Pod& pod, std::int64_t generation,
                           std::string_view error) {
    std::string text = fmt::format("Pod resize {}: {{", what);
    if (!pod.spec.initContainers.empty()) {
        text += fmt::format("\"initContainers\":{},", summary_of(pod.spec.initContainers));
    }
    text += fmt::format("\"containers\":{},\"generation\":{}", summary_of(pod.spec.containers),
                        generation);
    if (!error.empty()) {
        text += ",\"error\":" + kube::quote_json(error);
    }
    return text + "}";
}

bool goes_before(const WaitingResize& a, const WaitingResize& b) {
    auto rank = [](const WaitingResize& resize) {
        bool guaranteed = kube::qos_class(resize.desired->spec) == "Guaranteed";
        return std::tuple(needs_more(resize),
                          -std::int64_t{resize.desired->spec.priority.value_or(0)}, !guaranteed,
                          resize.since ? resize.since->at : WallTime::max());
    };
    return rank(a) < rank(b);
}

}  // namespace skiff::pods
