#include "pods/admission.h"

#include <algorithm>

#include "kube/defaults.h"
#include "pods/observed.h"
#include "pods/preemption.h"
#include "pods/resources.h"
#include "pods/taints.h"

namespace skiff::pods {
namespace {

struct HostPort {
    std::int32_t port;
    std::string protocol;
    std::string ip;
};

std::vector<HostPort> host_ports(const kube::PodSpec& spec) {
    std::vector<HostPort> ports;
    auto collect = [&](const std::vector<kube::Container>& containers) {
        for (const kube::Container& container : containers) {
            for (const kube::ContainerPort& port : container.ports) {
                std::int32_t number =
                    spec.hostNetwork && port.hostPort == 0 ? port.containerPort : port.hostPort;
                if (number != 0) {
                    ports.push_back(
                        {number, port.protocol.empty() ? "TCP" : port.protocol, port.hostIP});
                }
            }
        }
    };
    collect(spec.containers);
    for (const kube::Container& init : spec.initContainers) {
        if (is_sidecar(init)) {
            collect({init});
        }
    }
    return ports;
}

bool is_any(std::string_view ip) {
    return ip.empty() || ip == "0.0.0.0" || ip == "::";
}

bool clash(const HostPort& a, const HostPort& b) {
    return a.port == b.port && a.protocol == b.protocol &&
           (is_any(a.ip) || is_any(b.ip) || a.ip == b.ip);
}

// Resources of a device plugin or another extension, which the node's admission does not judge
// where it does not have them: who placed the pod there knows why.
bool is_foreign(std::string_view resource) {
    return resource.find('/') != std::string_view::npos;
}

void judge_resources(const kube::Pod& pod, const std::vector<const kube::Pod*>& taken,
                     const NodeState& node, std::vector<AdmissionFailure>& failures) {
    auto lacks = [&](const std::string& name, std::int64_t requested, std::int64_t used,
                     std::int64_t capacity) {
        AdmissionFailure failure;
        failure.reason = "OutOf" + name;
        failure.message = fmt::format(
            "Node didn't have enough resource: {}, requested: {}, used: {}, capacity: {}", name,
            requested, used, capacity);
        failure.missing = AdmissionFailure::Missing{name, requested - (capacity - used)};
        failures.push_back(std::move(failure));
    };
    if (taken.size() + 1 > node.pods_max) {
        lacks("pods", 1, static_cast<std::int64_t>(taken.size()),
              static_cast<std::int64_t>(node.pods_max));
    }
    kube::ResourceList used;
    for (const kube::Pod* other : taken) {
        for (const auto& [name, quantity] : pod_requests(other->spec)) {
            used[name] += quantity;
        }
    }
    for (const auto& [name, quantity] : pod_requests(pod.spec)) {
        auto found = node.allocatable.find(name);
        bool known = found != node.allocatable.end();
        if (quantity.is_zero() || (!known && is_foreign(name))) {
            continue;
        }
        kube::Quantity limit = known ? found->second : kube::Quantity();
        if (used[name] + quantity > limit) {
            lacks(name, units_of(name, quantity), units_of(name, used[name]),
                  units_of(name, limit));
        }
    }
}

bool ports_clash(const kube::Pod& pod, const std::vector<const kube::Pod*>& taken) {
    std::vector<HostPort> wanted = host_ports(pod.spec);
    return std::ranges::any_of(taken, [&](const kube::Pod* other) {
        auto held = host_ports(other->spec);
        return std::ranges::any_of(held, [&](const HostPort& theirs) {
            return std::ranges::any_of(wanted,
                                       [&](const HostPort& port) { return clash(port, theirs); });
        });
    });
}

// Under pressure only those come in whose end would not be the first remedy (contract row 62).
bool is_kept_out(const kube::Pod& pod, const std::vector<std::string>& pressures) {
    if (pressures.empty() || is_critical(pod)) {
        return false;
    }
    if (pressures != std::vector<std::string>{"MemoryPressure"}) {
        return true;
    }
    std::vector<kube::Taint> taints(1);
    taints[0].key = "node.kubernetes.io/memory-pressure";
    taints[0].effect = "NoSchedule";
    return kube::qos_class(pod.spec) == "BestEffort" &&
           find_untolerated(taints, pod.spec.tolerations, "NoSchedule") != nullptr;
}

}  // namespace

std::vector<AdmissionFailure> admission_failures(const kube::Pod& pod,
                                                 const std::vector<const kube::Pod*>& taken,
                                                 const NodeState& node) {
    if (node.shutdown == NodeState::Shutdown::begun) {
        return {{"NodeShutdown", "Pod was rejected as the node is shutting down."}};
    }
    if (is_kept_out(pod, node.pressures)) {
        return {{"Evicted",
                 fmt::format("The node had condition: [{}]. ", fmt::join(node.pressures, " "))}};
    }
    if (pod.spec.os && !pod.spec.os->name.empty() && pod.spec.os->name != "linux") {
        return {{"PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"}};
    }
    std::vector<AdmissionFailure> failures;
    judge_resources(pod, taken, node, failures);
    if (ports_clash(pod, taken)) {
        failures.push_back({"NodePorts",
                            "Predicate NodePorts failed: node(s) didn't have free ports for "
                            "the requested pod ports"});
    }
    if (!is_static(pod) &&
        find_untolerated(node.taints, pod.spec.tolerations, "NoExecute") != nullptr) {
        failures.push_back({"TaintToleration",
                            "Predicate TaintToleration failed: node(s) had taints that the pod "
                            "didn't tolerate"});
    }
    return failures;
}

Admission rejected_for(const AdmissionFailure& failure) {
    Admission admission;
    admission.verdict = Admission::Verdict::rejected;
    admission.reason = failure.reason;
    admission.message = failure.message;
    return admission;
}

std::optional<AdmissionFailure> exceeds_node(const kube::PodSpec& spec, const NodeState& node) {
    for (const auto& [name, quantity] : pod_requests(spec)) {
        auto found = node.allocatable.find(name);
        if (found != node.allocatable.end() && quantity > found->second) {
            AdmissionFailure failure;
            failure.reason = "OutOf" + name;
            failure.message =
                fmt::format("Node didn't have enough capacity: {}, requested: {}, capacity: {}",
                            name, units_of(name, quantity), units_of(name, found->second));
            return failure;
        }
    }
    return std::nullopt;
}

}  // namespace skiff::pods
