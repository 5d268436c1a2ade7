#include "kube/pod_fields.h"

#include <algorithm>

namespace skiff::kube {

namespace {

// The key inside "metadata.labels['KEY']".
std::optional<std::string_view> subscript(std::string_view path, std::string_view field) {
    if (!path.starts_with(field)) {
        return std::nullopt;
    }
    path.remove_prefix(field.size());
    if (path.size() < 4 || !path.starts_with("['") || !path.ends_with("']")) {
        return std::nullopt;
    }
    return path.substr(2, path.size() - 4);
}

std::string value_or_empty(const std::map<std::string, std::string>& map, std::string_view key) {
    auto found = map.find(std::string(key));
    return found == map.end() ? std::string() : found->second;
}

}  // namespace

const Container* find_container(const Pod& pod, std::string_view name) {
    const Container* found = nullptr;
    for_each_container(pod.spec, [&](const Container& container) {
        if (found == nullptr && container.name == name) {
            found = &container;
        }
    });
    return found;
}

std::string annotation(const Pod& pod, std::string_view key) {
    auto found = pod.metadata.annotations.find(std::string(key));
    return found == pod.metadata.annotations.end() ? std::string() : found->second;
}

bool is_from_file(const Pod& pod) {
    const std::string source = annotation(pod, kConfigSource);
    return source == "file" || source == "http";
}

bool is_agents_condition(std::string_view type) {
    return type == "PodReadyToStartContainers" || type == "Initialized" || type == "Ready" ||
           type == "ContainersReady" || type == "PodScheduled" || type == "PodResizePending" ||
           type == "PodResizeInProgress" || type == "AllContainersRestarting";
}

std::optional<std::string> metadata_field(const Pod& pod, std::string_view field_path) {
    const ObjectMeta& meta = pod.metadata;
    if (auto label = subscript(field_path, "metadata.labels")) {
        return value_or_empty(meta.labels, *label);
    }
    if (auto annotation = subscript(field_path, "metadata.annotations")) {
        return value_or_empty(meta.annotations, *annotation);
    }
    if (field_path == "metadata.name") {
        return meta.name;
    }
    if (field_path == "metadata.namespace") {
        return meta.namespace_;
    }
    if (field_path == "metadata.uid") {
        return meta.uid;
    }
    return std::nullopt;
}

Result<std::string> resource_field(const Container& container, const ResourceList& allocatable,
                                   const ResourceFieldSelector& selector) {
    std::string_view resource = selector.resource;
    bool limits = resource.starts_with("limits.");
    std::string name(resource.substr(resource.find('.') + 1));
    bool known = name == "cpu" || name == "memory" || name == "ephemeral-storage" ||
                 name.starts_with("hugepages-");
    if (!known || (!limits && !resource.starts_with("requests."))) {
        return fail(Code::invalid, "unsupported container resource : {}", resource);
    }
    const ResourceList& list = limits ? container.resources.limits : container.resources.requests;
    Quantity quantity;
    if (auto found = list.find(name); found != list.end() && !found->second.is_zero()) {
        quantity = found->second;
    } else if (auto node = allocatable.find(name); limits && node != allocatable.end()) {
        quantity = node->second;
    }
    bool cpu = name == "cpu";
    std::int64_t amount = cpu ? quantity.milli_value() : quantity.value();
    std::int64_t divisor = cpu ? selector.divisor.milli_value() : selector.divisor.value();
    if (divisor <= 0) {
        divisor = cpu ? 1000 : 1;
    }
    return std::to_string(amount / divisor + (amount % divisor != 0 ? 1 : 0));
}

}  // namespace skiff::kube
