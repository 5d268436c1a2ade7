#include <algorithm>

#include "base/text.h"
#include "volumes/kinds.h"

namespace skiff::volumes {

namespace {

// Go's %q for text: the form in which the kubelet writes label and annotation values.
std::string go_quoted(std::string_view text) {
    std::string out = "\"";
    for (char c : text) {
        auto byte = static_cast<unsigned char>(c);
        switch (c) {
            case '"':
                out += "\\\"";
                break;
            case '\\':
                out += "\\\\";
                break;
            case '\a':
                out += "\\a";
                break;
            case '\b':
                out += "\\b";
                break;
            case '\f':
                out += "\\f";
                break;
            case '\n':
                out += "\\n";
                break;
            case '\r':
                out += "\\r";
                break;
            case '\t':
                out += "\\t";
                break;
            case '\v':
                out += "\\v";
                break;
            default:
                if (byte < 0x20 || byte == 0x7f) {
                    out += fmt::format("\\x{:02x}", byte);
                } else {
                    out += c;
                }
        }
    }
    return out + "\"";
}

std::string map_text(const std::map<std::string, std::string>& values) {
    std::string text;
    for (const auto& [key, value] : values) {
        text += fmt::format("{}{}={}", text.empty() ? "" : "\n", key, go_quoted(value));
    }
    return text;
}

// "metadata.labels['key']" → key, if `path` is a subscript of `map_path`.
std::optional<std::string> subscript(std::string_view path, std::string_view map_path) {
    if (!path.starts_with(map_path) || !path.ends_with("']")) {
        return std::nullopt;
    }
    path.remove_prefix(map_path.size());
    if (!path.starts_with("['") || path.size() < 4) {
        return std::nullopt;
    }
    return std::string(path.substr(2, path.size() - 4));
}

std::string value_or_empty(const std::map<std::string, std::string>& values,
                           const std::string& key) {
    auto found = values.find(key);
    return found == values.end() ? std::string() : found->second;
}

const kube::ResourceRequirements* find_resources(const kube::Pod& pod, const std::string& name) {
    for (const auto& container : pod.spec.containers) {
        if (container.name == name) {
            return &container.resources;
        }
    }
    for (const auto& container : pod.spec.initContainers) {
        if (container.name == name) {
            return &container.resources;
        }
    }
    return nullptr;
}

std::int64_t divided_up(std::int64_t value, std::int64_t divisor) {
    return value / divisor + (value % divisor > 0 ? 1 : 0);
}

}  // namespace

Result<std::string> field_text(const kube::Pod& pod, std::string_view field_path) {
    const kube::ObjectMeta& meta = pod.metadata;
    if (field_path == "metadata.name") {
        return meta.name;
    }
    if (field_path == "metadata.namespace") {
        return meta.namespace_;
    }
    if (field_path == "metadata.uid") {
        return meta.uid;
    }
    if (field_path == "metadata.labels") {
        return map_text(meta.labels);
    }
    if (field_path == "metadata.annotations") {
        return map_text(meta.annotations);
    }
    if (auto key = subscript(field_path, "metadata.labels")) {
        return value_or_empty(meta.labels, *key);
    }
    if (auto key = subscript(field_path, "metadata.annotations")) {
        return value_or_empty(meta.annotations, *key);
    }
    return fail(Code::invalid, "fieldPath {} is not supported in a volume", field_path);
}

Result<std::string> resource_text(const kube::Pod& pod, const pods::PodFacts& facts,
                                  const kube::ResourceFieldSelector& selector) {
    const kube::ResourceRequirements* resources = find_resources(pod, selector.containerName);
    if (resources == nullptr) {
        return fail(Code::invalid, "container {} not found", selector.containerName);
    }
    bool is_limit = selector.resource.starts_with("limits.");
    if (!is_limit && !selector.resource.starts_with("requests.")) {
        return fail(Code::invalid, "unsupported container resource : {}", selector.resource);
    }
    std::string name = selector.resource.substr(selector.resource.find('.') + 1);
    const kube::ResourceList& list = is_limit ? resources->limits : resources->requests;
    kube::Quantity value;
    if (auto found = list.find(name); found != list.end()) {
        value = found->second;
    } else if (auto node = facts.allocatable.find(name);
               is_limit && node != facts.allocatable.end()) {
        value = node->second;
    }
    bool in_milli = name == "cpu";
    std::int64_t amount = in_milli ? value.milli_value() : value.value();
    std::int64_t divisor = in_milli ? 1000 : 1;
    if (!selector.divisor.is_zero()) {
        divisor = in_milli ? selector.divisor.milli_value() : selector.divisor.value();
    }
    return std::to_string(divided_up(amount, std::max<std::int64_t>(divisor, 1)));
}

Result<Payload> downward_api_payload(const kube::Pod& pod, const pods::PodFacts& facts,
                                     const kube::DownwardAPIVolumeSource& source) {
    Payload payload;
    for (const kube::DownwardAPIVolumeFile& item : source.items) {
        SKIFF_CHECK(check_payload_path(item.path));
        std::string text;
        if (item.fieldRef) {
            SKIFF_TRY(text, field_text(pod, item.fieldRef->fieldPath));
        } else if (item.resourceFieldRef) {
            SKIFF_TRY(text, resource_text(pod, facts, *item.resourceFieldRef));
        } else {
            return fail(Code::invalid, "file {} has neither fieldRef nor resourceFieldRef",
                        item.path);
        }
        payload[item.path] =
            PayloadFile{std::move(text), file_mode(item.mode, source.defaultMode), std::nullopt};
    }
    return payload;
}

}  // namespace skiff::volumes
