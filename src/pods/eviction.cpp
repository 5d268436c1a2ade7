#include "pods/eviction.h"

#include <algorithm>
#include <tuple>

#include "pods/observed.h"
#include "pods/preemption.h"
#include "pods/resources.h"

namespace skiff::pods {
namespace {

// Nobody is asked to finish anything when the node needs its room now.
constexpr Duration kAtOnce = std::chrono::seconds(1);
constexpr const char* kStorage = "ephemeral-storage";

std::string show(std::uint64_t value) {
    return kube::Quantity::of_bytes(value).str();
}

const kube::Container* find(const kube::PodSpec& spec, const std::string& name) {
    for (const auto* list : {&spec.containers, &spec.initContainers}) {
        auto found = std::ranges::find(*list, name, &kube::Container::name);
        if (found != list->end()) {
            return &*found;
        }
    }
    return nullptr;
}

std::uint64_t requested(const kube::ResourceList& requests, std::string_view resource) {
    auto found = requests.find(std::string(resource));
    return found == requests.end()
               ? 0
               : static_cast<std::uint64_t>(std::max<std::int64_t>(found->second.value(), 0));
}

std::uint64_t used(const PodUse& use, std::string_view resource) {
    return resource == "memory"   ? use.memory_bytes()
           : resource == kStorage ? use.disk_bytes()
           : resource == "inodes" ? use.inodes
                                  : use.processes;
}

Eviction evicted(std::string message) {
    Eviction eviction;
    eviction.reason = "Evicted";
    eviction.condition_message = message;
    eviction.message = std::move(message);
    eviction.grace = kAtOnce;
    return eviction;
}

const kube::Quantity* limit_of(const kube::ResourceList& limits) {
    auto found = limits.find(kStorage);
    return found == limits.end() || found->second.is_zero() ? nullptr : &found->second;
}

bool exceeds(std::uint64_t bytes, const kube::Quantity& limit) {
    return static_cast<std::int64_t>(bytes) > limit.value();
}

bool is_limited(const kube::Volume& volume) {
    return volume.emptyDir && volume.emptyDir->sizeLimit && !volume.emptyDir->sizeLimit->is_zero();
}

}  // namespace

std::uint64_t PodUse::memory_bytes() const {
    std::uint64_t sum = 0;
    for (const auto& [name, use] : containers) {
        sum += use.memory_bytes;
    }
    return sum;
}

std::uint64_t PodUse::disk_bytes() const {
    std::uint64_t sum = volume_bytes;
    for (const auto& [name, use] : containers) {
        sum += use.disk_bytes;
    }
    return sum;
}

std::vector<const PodUse*> rank_for_eviction(const std::vector<PodUse>& pods,
                                             std::string_view resource) {
    std::vector<const PodUse*> ranked;
    for (const PodUse& use : pods) {
        if (!is_critical(*use.pod)) {
            ranked.push_back(&use);
        }
    }
    bool has_requests = resource == "memory" || resource == kStorage;
    auto rank = [&](const PodUse* use) {
        std::uint64_t its = used(*use, resource);
        std::uint64_t asked = has_requests ? requested(pod_requests(use->pod->spec), resource) : 0;
        bool within = has_requests && its <= asked;
        auto beyond = static_cast<std::int64_t>(its) - static_cast<std::int64_t>(asked);
        return std::tuple(within, use->pod->spec.priority.value_or(0), -beyond);
    };
    std::ranges::stable_sort(ranked, {}, rank);
    return ranked;
}

Eviction eviction_for(const Shortage& shortage, const PodUse& victim) {
    std::string message =
        fmt::format("The node was low on resource: {}. Threshold quantity: {}, available: {}. ",
                    shortage.resource, show(shortage.quantity), show(shortage.available));
    for (const auto& [name, use] : victim.containers) {
        const kube::Container* container = find(victim.pod->spec, name);
        bool of_memory = shortage.resource == "memory";
        if (container == nullptr || (!of_memory && shortage.resource != kStorage)) {
            continue;
        }
        std::uint64_t its = of_memory ? use.memory_bytes : use.disk_bytes;
        std::uint64_t asked = requested(container->resources.requests, shortage.resource);
        if (its > asked) {
            message += fmt::format(
                "Container {} was using {}, request is {}, has larger consumption of "
                "{}. ",
                name, show(its), show(asked), shortage.resource);
        }
    }
    Eviction eviction = evicted(std::move(message));
    eviction.grace = shortage.grace ? shortage.grace : std::optional(kAtOnce);
    return eviction;
}

std::optional<Eviction> storage_eviction(const PodUse& use) {
    const kube::PodSpec& spec = use.pod->spec;
    for (const kube::Volume& volume : spec.volumes) {
        auto found = use.empty_dirs.find(volume.name);
        if (is_limited(volume) && found != use.empty_dirs.end() &&
            exceeds(found->second, *volume.emptyDir->sizeLimit)) {
            return evicted(fmt::format("Usage of EmptyDir volume \"{}\" exceeds the limit \"{}\". ",
                                       volume.name, volume.emptyDir->sizeLimit->str()));
        }
    }
    kube::ResourceList limits = pod_limits(spec);
    if (const kube::Quantity* limit = limit_of(limits);
        limit != nullptr && exceeds(use.disk_bytes(), *limit)) {
        return evicted(
            fmt::format("Pod ephemeral local storage usage exceeds the total limit of "
                        "containers {}. ",
                        limit->str()));
    }
    for (const auto& [name, its] : use.containers) {
        const kube::Container* container = find(spec, name);
        const kube::Quantity* limit =
            container == nullptr ? nullptr : limit_of(container->resources.limits);
        if (limit != nullptr && exceeds(its.disk_bytes, *limit)) {
            return evicted(
                fmt::format("Container {} exceeded its local ephemeral storage limit \"{}\". ",
                            name, limit->str()));
        }
    }
    return std::nullopt;
}

bool has_storage_limits(const kube::PodSpec& spec) {
    auto limited = [](const kube::Container& container) {
        return limit_of(container.resources.limits) != nullptr;
    };
    return std::ranges::any_of(spec.volumes, is_limited) ||
           std::ranges::any_of(spec.containers, limited) ||
           std::ranges::any_of(spec.initContainers, limited);
}

}  // namespace skiff::pods
