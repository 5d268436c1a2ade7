#include "kube/pod_fields.h"
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

Result<std::string> field_text(const kube::Pod& pod, std::string_view field_path) {
    if (auto known = kube::metadata_field(pod, field_path)) {
        return std::move(*known);
    }
    if (field_path == "metadata.labels") {
        return map_text(pod.metadata.labels);
    }
    if (field_path == "metadata.annotations") {
        return map_text(pod.metadata.annotations);
    }
    return fail(Code::invalid, "fieldPath {} is not supported in a volume", field_path);
}

Result<std::string> resource_text(const kube::Pod& pod, const pods::PodFacts& facts,
                                  const kube::ResourceFieldSelector& selector) {
    const kube::Container* container = kube::find_container(pod, selector.containerName);
    if (container == nullptr) {
        return fail(Code::invalid, "container {} not found", selector.containerName);
    }
    return kube::resource_field(*container, facts.allocatable, selector);
}

}  // namespace

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
