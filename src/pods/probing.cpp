#include "pods/probing.h"

#include <algorithm>

#include "pods/expand.h"
#include "pods/hooks.h"
#include "pods/observed.h"
#include "pods/started.h"

namespace skiff::pods {
namespace {

bool has_probe(const kube::Container& container) {
    return container.startupProbe || container.readinessProbe || container.livenessProbe;
}

// As the kubelet has it: `$(VAR)` of what the container's spec gives as plain values.
void expand_command(std::optional<kube::Probe>& probe, const Variables& variables) {
    if (probe && probe->exec) {
        for (std::string& word : probe->exec->command) {
            word = expand(word, variables);
        }
    }
}

// What a prober needs of a container.
kube::Container probed(const kube::Container& container) {
    kube::Container its;
    its.name = container.name;
    its.ports = container.ports;
    its.startupProbe = container.startupProbe;
    its.readinessProbe = container.readinessProbe;
    its.livenessProbe = container.livenessProbe;
    Variables variables;
    for (const kube::EnvVar& variable : container.env) {
        if (!variable.valueFrom) {
            variables[variable.name] = variable.value;
        }
    }
    expand_command(its.startupProbe, variables);
    expand_command(its.readinessProbe, variables);
    expand_command(its.livenessProbe, variables);
    return its;
}

ProbeTarget::Known known_of(const kube::PodStatus& previous, const std::string& name,
                            const ContainerId& id) {
    const auto* status = find_status(previous, name, id);
    if (status == nullptr || !status->started.value_or(false)) {
        return ProbeTarget::Known::nothing;
    }
    return status->ready ? ProbeTarget::Known::ready : ProbeTarget::Known::started;
}

const ContainerRecord* running(const std::vector<ContainerRecord>& records,
                               const std::string& name) {
    for (const ContainerRecord& record : records) {
        if (record.name == name && record.runs()) {
            return &record;
        }
    }
    return nullptr;
}

// Calls `each` with every container that is probed as things are and the record of its run.
template <typename F>
void for_each_probed(const kube::Pod& pod, const std::vector<ContainerRecord>& records,
                     const kube::PodStatus& previous, const PodMemory& memory, F&& each) {
    auto look = [&](const kube::Container& container) {
        const ContainerRecord* record =
            has_probe(container) ? running(records, container.name) : nullptr;
        if (record != nullptr && !post_start_pending(container, record->id, memory, previous)) {
            each(container, *record);
        }
    };
    for (const kube::Container& container : pod.spec.initContainers) {
        if (is_sidecar(container)) {
            look(container);
        }
    }
    std::ranges::for_each(pod.spec.containers, look);
}

}  // namespace

bool has_probes(const kube::Pod& pod) {
    auto sidecar_with_probe = [](const kube::Container& container) {
        return is_sidecar(container) && has_probe(container);
    };
    return std::ranges::any_of(pod.spec.containers, has_probe) ||
           std::ranges::any_of(pod.spec.initContainers, sidecar_with_probe);
}

ProbeOrder::Scope probe_scope(const kube::Pod& pod, const PodMemory& memory) {
    bool ends = memory.termination || pod.metadata.deletionTimestamp;
    return ends ? ProbeOrder::Scope::readiness : ProbeOrder::Scope::all;
}

std::vector<ContainerId> probed_runs(const kube::Pod& pod,
                                     const std::vector<ContainerRecord>& records,
                                     const kube::PodStatus& previous, const PodMemory& memory) {
    std::vector<ContainerId> runs;
    for_each_probed(
        pod, records, previous, memory,
        [&](const kube::Container&, const ContainerRecord& record) { runs.push_back(record.id); });
    return runs;
}

ProbeOrder probe_order(const std::shared_ptr<const kube::Pod>& pod,
                       const std::vector<ContainerRecord>& records, const kube::PodStatus& previous,
                       const PodMemory& memory) {
    ProbeOrder order;
    order.pod = pod;
    order.scope = probe_scope(*pod, memory);
    auto add = [&](const kube::Container& container, const ContainerRecord& record) {
        ProbeTarget target;
        target.id = record.id;
        target.container = probed(container);
        target.started = record.started;
        target.known = known_of(previous, container.name, record.id);
        order.targets.push_back(std::move(target));
    };
    for_each_probed(*pod, records, previous, memory, add);
    return order;
}

std::optional<Unhealthy> unhealthy(const kube::Pod& pod, const kube::Container& container,
                                   const ProbeResults* probes) {
    if (probes == nullptr) {
        return std::nullopt;
    }
    const std::optional<kube::Probe>* probe = nullptr;
    Unhealthy verdict;
    if (counts_as(ProbeResult::failure, probes->liveness, container.name)) {
        probe = &container.livenessProbe;
    } else if (counts_as(ProbeResult::failure, probes->startup, container.name)) {
        probe = &container.startupProbe;
        verdict.kind = ProbeKind::startup;
    } else {
        return std::nullopt;
    }
    bool own = *probe && (*probe)->terminationGracePeriodSeconds;
    verdict.grace = own ? bounded_grace(*(*probe)->terminationGracePeriodSeconds) : spec_grace(pod);
    return verdict;
}

}  // namespace skiff::pods
