#include "pods/resources.h"

#include <algorithm>

#include "kube/defaults.h"
#include "pods/observed.h"

namespace skiff::pods {
namespace {

using Part = kube::ResourceList kube::ResourceRequirements::*;

void add(kube::ResourceList& sum, const kube::ResourceList& more) {
    for (const auto& [name, quantity] : more) {
        sum[name] += quantity;
    }
}

void raise(kube::ResourceList& sum, const kube::ResourceList& least) {
    for (const auto& [name, quantity] : least) {
        sum[name] = std::max(sum[name], quantity);
    }
}

// Of the containers alone.
kube::ResourceList sum_of(const kube::PodSpec& spec, Part part) {
    kube::ResourceList total;
    for (const kube::Container& container : spec.containers) {
        add(total, container.resources.*part);
    }
    kube::ResourceList sidecars;
    kube::ResourceList init_peak;
    for (const kube::Container& container : spec.initContainers) {
        if (is_sidecar(container)) {
            add(total, container.resources.*part);
            add(sidecars, container.resources.*part);
            raise(init_peak, sidecars);
        } else {
            kube::ResourceList peak = sidecars;
            add(peak, container.resources.*part);
            raise(init_peak, peak);
        }
    }
    raise(total, init_peak);
    return total;
}

bool can_be_pod_level(std::string_view name) {
    return name == "cpu" || name == "memory" || name.starts_with("hugepages-");
}

// What the pod itself says takes the place of its containers' sum.
void replace(kube::ResourceList& sum, const kube::PodSpec& spec, Part part) {
    if (!spec.resources) {
        return;
    }
    for (const auto& [name, quantity] : (*spec.resources).*part) {
        if (can_be_pod_level(name)) {
            sum[name] = quantity;
        }
    }
}

bool all_have(const kube::PodSpec& spec, const std::string& resource) {
    auto has = [&](const kube::Container& container) {
        auto found = container.resources.limits.find(resource);
        return found != container.resources.limits.end() && !found->second.is_zero();
    };
    return std::ranges::all_of(spec.containers, has) &&
           std::ranges::all_of(spec.initContainers, has);
}

bool is_bounded(const kube::PodSpec& spec, const std::string& resource) {
    if (spec.resources) {
        auto found = spec.resources->limits.find(resource);
        if (found != spec.resources->limits.end() && !found->second.is_zero()) {
            return true;
        }
    }
    return all_have(spec, resource);
}

}  // namespace

kube::ResourceList pod_requests(const kube::PodSpec& spec) {
    kube::ResourceList total = sum_of(spec, &kube::ResourceRequirements::requests);
    replace(total, spec, &kube::ResourceRequirements::requests);
    add(total, spec.overhead);
    return total;
}

kube::ResourceList pod_limits(const kube::PodSpec& spec) {
    kube::ResourceList total = sum_of(spec, &kube::ResourceRequirements::limits);
    replace(total, spec, &kube::ResourceRequirements::limits);
    for (const auto& [name, quantity] : spec.overhead) {
        if (auto found = total.find(name); found != total.end() && !found->second.is_zero()) {
            found->second += quantity;
        }
    }
    return total;
}

kube::ResourceList limits_of(const kube::PodSpec& spec, const kube::Container& container) {
    kube::ResourceList limits = container.resources.limits;
    if (!spec.resources) {
        return limits;
    }
    for (const char* name : {"cpu", "memory"}) {
        auto of_pod = spec.resources->limits.find(name);
        auto own = limits.find(name);
        if (of_pod != spec.resources->limits.end() &&
            (own == limits.end() || own->second.is_zero())) {
            limits[name] = of_pod->second;
        }
    }
    return limits;
}

ContainerLimits container_limits(const kube::PodSpec& spec, const kube::Container& container) {
    kube::ResourceList limits = limits_of(spec, container);
    ContainerLimits its;
    its.memory = memory_limit(limits);
    its.cpu_limit_millis = cpu_millis(limits);
    its.cpu_request_millis = cpu_millis(container.resources.requests);
    return its;
}

PodSandbox sandbox_of(const kube::Pod& pod) {
    PodSandbox sandbox;
    sandbox.pod = PodUid(pod.metadata.uid);
    sandbox.pod_name = PodName{pod.metadata.namespace_, pod.metadata.name};
    sandbox.qos_class =
        pod.status.qosClass.empty() ? std::string(kube::qos_class(pod.spec)) : pod.status.qosClass;
    kube::ResourceList limits = pod_limits(pod.spec);
    if (is_bounded(pod.spec, "memory")) {
        sandbox.memory_limit = memory_limit(limits);
    }
    if (is_bounded(pod.spec, "cpu")) {
        sandbox.cpu_limit_millis = cpu_millis(limits);
    }
    sandbox.cpu_request_millis = cpu_millis(pod_requests(pod.spec));
    return sandbox;
}

kube::ResourceRequirements actual_resources(const kube::PodSpec& spec, const PodSandbox& sandbox) {
    kube::ResourceRequirements actual = spec.resources.value_or(kube::ResourceRequirements());
    for (const auto& [name, quantity] : pod_requests(spec)) {
        if (name == "cpu" || name == "memory") {
            actual.requests[name] = quantity;
        }
    }
    if (sandbox.memory_limit) {
        actual.limits["memory"] = kube::Quantity::of_bytes(sandbox.memory_limit->value);
    }
    if (sandbox.cpu_limit_millis) {
        actual.limits["cpu"] = kube::Quantity::of_milli(*sandbox.cpu_limit_millis);
    }
    return actual;
}

std::int64_t units_of(std::string_view resource, const kube::Quantity& quantity) {
    return resource == "cpu" ? quantity.milli_value() : quantity.value();
}

std::optional<Bytes> memory_limit(const kube::ResourceList& limits) {
    auto found = limits.find("memory");
    if (found == limits.end() || found->second.value() <= 0) {
        return std::nullopt;
    }
    return Bytes{static_cast<std::uint64_t>(found->second.value())};
}

std::optional<std::int64_t> cpu_millis(const kube::ResourceList& list) {
    auto found = list.find("cpu");
    if (found == list.end() || found->second.milli_value() <= 0) {
        return std::nullopt;
    }
    return found->second.milli_value();
}

}  // namespace skiff::pods
