#include "pods/unsupported.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "kube/pod_fields.h"

namespace skiff::pods {
namespace {

using Container = kube::Container;
using Pod = kube::Pod;

struct ContainerRow {
    std::string_view field;
    bool (*asks)(const Container&);
};

struct PodRow {
    std::string_view field;
    bool (*asks)(const Pod&);
};

// The whole table: a row goes when its feature comes.
constexpr std::array kContainerRows = {
    ContainerRow{"volumeDevices", [](const Container& c) { return !c.volumeDevices.empty(); }},
    ContainerRow{"resources.claims",
                 [](const Container& c) { return !c.resources.claims.empty(); }},
    ContainerRow{"volumeMounts[].mountPropagation Bidirectional",
                 [](const Container& c) {
                     for (const auto& mount : c.volumeMounts) {
                         if (mount.mountPropagation.value_or("") == "Bidirectional") {
                             return true;
                         }
                     }
                     return false;
                 }},
};

// hostUsers and shareProcessNamespace: false is what Skiff does.
constexpr std::array kPodRows = {
    PodRow{"shareProcessNamespace",
           [](const Pod& p) { return p.spec.shareProcessNamespace.value_or(false); }},
    PodRow{"resourceClaims", [](const Pod& p) { return !p.spec.resourceClaims.empty(); }},
    PodRow{"securityContext.sysctls",
           [](const Pod& p) {
               return p.spec.securityContext && !p.spec.securityContext->sysctls.empty();
           }},
};

std::string list_name(const Pod& pod, const Container& container) {
    for (const auto& init : pod.spec.initContainers) {
        if (init.name == container.name) {
            return "initContainers";
        }
    }
    for (const auto& ephemeral : pod.spec.ephemeralContainers) {
        if (ephemeral.name == container.name) {
            return "ephemeralContainers";
        }
    }
    return "containers";
}

void refuse(std::vector<std::string>& lines, const Pod& pod, const Container& container) {
    if (!container.securityContext) {
        return;
    }
    const kube::SecurityContext& context = *container.securityContext;
    std::string place =
        fmt::format("spec.{}{{{}}}.securityContext", list_name(pod, container), container.name);
    if (context.privileged.value_or(false)) {
        lines.push_back(place + ".privileged is not granted: a Wasm container has no privileges");
    }
    if (context.capabilities && !context.capabilities->add.empty()) {
        lines.push_back(
            fmt::format("{}.capabilities.add [{}] is not granted: a Wasm container has "
                        "no capabilities",
                        place, fmt::join(context.capabilities->add, " ")));
    }
}

}  // namespace

std::vector<std::string> without_effect(const Pod& pod, NodeFacts::GuestInput input) {
    std::vector<std::string> lines;
    auto judge = [&](const Container& container) {
        std::string place = fmt::format("spec.{}{{{}}}", list_name(pod, container), container.name);
        if (container.lifecycle && container.lifecycle->stopSignal) {
            lines.push_back(place +
                            ".lifecycle.stopSignal has no effect: Wasm has no signals; how a guest "
                            "is asked to end, see skiff:pod/lifecycle");
        }
        if (container.stdin && input == NodeFacts::GuestInput::none) {
            lines.push_back(place +
                            ".stdin is not offered by this node: the guest reads the end "
                            "of its input at once");
        }
    };
    kube::for_each_container(pod.spec, judge);
    return lines;
}

std::optional<std::string> unsupported(const Pod& pod, const Container& container) {
    for (const ContainerRow& row : kContainerRows) {
        if (row.asks(container)) {
            return fmt::format("spec.{}{{{}}}.{} is not supported by this node",
                               list_name(pod, container), container.name, row.field);
        }
    }
    for (const PodRow& row : kPodRows) {
        if (row.asks(pod)) {
            return fmt::format("spec.{} is not supported by this node", row.field);
        }
    }
    return std::nullopt;
}

std::vector<std::string> refused_powers(const Pod& pod) {
    std::vector<std::string> lines;
    kube::for_each_container(pod.spec,
                             [&](const Container& container) { refuse(lines, pod, container); });
    if (pod.spec.hostPID) {
        lines.emplace_back("spec.hostPID is not granted: a Wasm container sees no processes");
    }
    if (pod.spec.hostIPC) {
        lines.emplace_back("spec.hostIPC is not granted: a Wasm container has no IPC");
    }
    return lines;
}

}  // namespace skiff::pods
