#include "pods/admission.h"

#include <algorithm>

namespace skiff::pods {
namespace {

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

Admission refuse(std::string reason, std::string message) {
    Admission admission;
    admission.verdict = Admission::Verdict::rejected;
    admission.reason = std::move(reason);
    admission.message = std::move(message);
    return admission;
}

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

// The reason word and the unit of a resource as kubelet messages count it.
std::int64_t amount(std::string_view resource, const kube::Quantity& quantity) {
    return resource == "cpu" ? quantity.milli_value() : quantity.value();
}

std::optional<Admission> judge_resources(const kube::Pod& pod,
                                         const std::vector<const kube::Pod*>& taken,
                                         const kube::ResourceList& allocatable) {
    kube::ResourceList used;
    for (const kube::Pod* other : taken) {
        add(used, pod_requests(other->spec));
    }
    for (const auto& [name, quantity] : pod_requests(pod.spec)) {
        if (quantity.is_zero()) {
            continue;
        }
        auto found = allocatable.find(name);
        kube::Quantity limit = found == allocatable.end() ? kube::Quantity() : found->second;
        if (used[name] + quantity > limit) {
            return refuse("OutOf" + name,
                          fmt::format("Node didn't have enough resource: {}, requested: {}, used: "
                                      "{}, capacity: {}",
                                      name, amount(name, quantity), amount(name, used[name]),
                                      amount(name, limit)));
        }
    }
    return std::nullopt;
}

}  // namespace

kube::ResourceList pod_requests(const kube::PodSpec& spec) {
    kube::ResourceList total;
    for (const kube::Container& container : spec.containers) {
        add(total, container.resources.requests);
    }
    kube::ResourceList sidecars;
    kube::ResourceList init_peak;
    for (const kube::Container& container : spec.initContainers) {
        if (is_sidecar(container)) {
            add(total, container.resources.requests);
            add(sidecars, container.resources.requests);
            raise(init_peak, sidecars);
        } else {
            kube::ResourceList peak = sidecars;
            add(peak, container.resources.requests);
            raise(init_peak, peak);
        }
    }
    raise(total, init_peak);
    add(total, spec.overhead);
    return total;
}

Admission admit(const kube::Pod& pod, const std::vector<const kube::Pod*>& taken,
                const kube::ResourceList& allocatable, std::size_t pods_max) {
    if (pod.spec.os && !pod.spec.os->name.empty() && pod.spec.os->name != "linux") {
        return refuse("PodOSNotSupported",
                      "Failed to admit pod as the OS field doesn't match node OS");
    }
    if (taken.size() + 1 > pods_max) {
        return refuse("OutOfpods",
                      fmt::format("Node didn't have enough resource: pods, requested: 1, used: {}, "
                                  "capacity: {}",
                                  taken.size(), pods_max));
    }
    if (auto refused = judge_resources(pod, taken, allocatable)) {
        return *refused;
    }
    std::vector<HostPort> wanted = host_ports(pod.spec);
    for (const kube::Pod* other : taken) {
        for (const HostPort& held : host_ports(other->spec)) {
            for (const HostPort& port : wanted) {
                if (clash(port, held)) {
                    return refuse("NodePorts",
                                  "Predicate NodePorts failed: node(s) didn't have free ports for "
                                  "the requested pod ports");
                }
            }
        }
    }
    Admission admission;
    admission.verdict = Admission::Verdict::admitted;
    return admission;
}

}  // namespace skiff::pods
