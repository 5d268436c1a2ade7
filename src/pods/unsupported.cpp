#include "pods/unsupported.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/text.h"
#include "kube/pod_fields.h"

namespace skiff::pods {
namespace {

using Container = kube::Container;
using Pod = kube::Pod;

constexpr std::size_t kRefusalBytesMax = 1024;  // what an event may say

// What is asked for of a field, as its user wrote it; empty: nothing.
using Values = std::vector<std::string>;

struct ContainerRow {
    std::string_view field;
    Values (*asked)(const Container&);
    std::string_view remedy;
};

struct PodRow {
    std::string_view field;
    Values (*asked)(const Pod&);
    std::string_view remedy;
};

template <typename List>
Values names_of(const List& list) {
    Values names;
    for (const auto& item : list) {
        names.push_back(item.name);
    }
    return names;
}

Values bidirectional_mounts(const Container& container) {
    Values found;
    for (const auto& mount : container.volumeMounts) {
        if (mount.mountPropagation.value_or("") == "Bidirectional") {
            found.emplace_back("Bidirectional");
        }
    }
    return found;
}

constexpr std::string_view kNoDevices = "remove it: this node allocates no devices";

// The whole table: a row goes when its feature comes.
constexpr std::array kContainerRows = {
    ContainerRow{"volumeDevices", [](const Container& c) { return names_of(c.volumeDevices); },
                 "mount the volume as a filesystem, by volumeMounts"},
    ContainerRow{"resources.claims",
                 [](const Container& c) { return names_of(c.resources.claims); }, kNoDevices},
    ContainerRow{"volumeMounts[].mountPropagation", bidirectional_mounts,
                 "None and HostToContainer are: a guest mounts nothing"},
};

// hostUsers and shareProcessNamespace: false is what Skiff does.
constexpr std::array kPodRows = {
    PodRow{"shareProcessNamespace",
           [](const Pod& p) {
               return p.spec.shareProcessNamespace.value_or(false) ? Values{"true"} : Values{};
           },
           "remove it: a Wasm container sees no processes"},
    PodRow{"resourceClaims", [](const Pod& p) { return names_of(p.spec.resourceClaims); },
           kNoDevices},
    PodRow{"securityContext.sysctls",
           [](const Pod& p) {
               return p.spec.securityContext ? names_of(p.spec.securityContext->sysctls) : Values{};
           },
           "remove them: a Wasm container has no kernel settings"},
};

std::string refusal(std::string_view place, std::string_view field, const Values& asked,
                    std::string_view remedy) {
    return bounded_utf8(fmt::format("{}.{} [{}] is not supported by this node: {}", place, field,
                                    fmt::join(asked, " "), remedy),
                        kRefusalBytesMax);
}

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
        if (Values asked = row.asked(container); !asked.empty()) {
            std::string place =
                fmt::format("spec.{}{{{}}}", list_name(pod, container), container.name);
            return refusal(place, row.field, asked, row.remedy);
        }
    }
    for (const PodRow& row : kPodRows) {
        if (Values asked = row.asked(pod); !asked.empty()) {
            return refusal("spec", row.field, asked, row.remedy);
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
