#include "app/static_manifest.h"

#include <algorithm>

#include "base/text.h"
#include "kube/codec.h"
#include "kube/defaults.h"
#include "kube/pod_fields.h"
#include "kube/validate.h"

namespace skiff::app {

// FNV-1a, 128 bits: the kubelet's way to make a uid from a file.
static std::string fnv128a(std::string_view text) {
    using Wide = unsigned __int128;
    constexpr Wide kPrime = (Wide{1} << 88) + 0x13b;
    Wide hash = (Wide{0x6c62272e07bb0142} << 64) + 0x62b821756295c58d;
    for (char c : text) {
        hash ^= static_cast<unsigned char>(c);
        hash *= kPrime;
    }
    return fmt::format("{:016x}{:016x}", static_cast<std::uint64_t>(hash >> 64),
                       static_cast<std::uint64_t>(hash));
}

// A static pod starts when there may be no API server: it cannot refer to what only that has.
static Result<void> refuse_references(const kube::Pod& pod) {
    for (std::size_t i = 0; i < pod.spec.volumes.size(); ++i) {
        const kube::Volume& volume = pod.spec.volumes[i];
        std::string_view kind = volume.configMap   ? "configMap"
                                : volume.secret    ? "secret"
                                : volume.projected ? "projected"
                                                   : "";
        if (!kind.empty()) {
            return fail(Code::invalid,
                        "spec.volumes[{}].{}: a static pod may not refer to API objects", i, kind);
        }
    }
    auto check = [](const std::vector<kube::Container>& containers) -> Result<void> {
        for (const kube::Container& container : containers) {
            bool refers = !container.envFrom.empty();
            for (const kube::EnvVar& variable : container.env) {
                refers = refers || (variable.valueFrom && (variable.valueFrom->configMapKeyRef ||
                                                           variable.valueFrom->secretKeyRef));
            }
            if (refers) {
                return fail(Code::invalid,
                            "container {}: env: a static pod may not refer to API objects",
                            container.name);
            }
        }
        return {};
    };
    SKIFF_CHECK(check(pod.spec.initContainers));
    return check(pod.spec.containers);
}

// No taint ends what a file asks for.
static void tolerate_no_execute(kube::PodSpec& spec) {
    kube::Toleration every;
    every.operator_ = "Exists";
    every.effect = "NoExecute";
    if (std::find(spec.tolerations.begin(), spec.tolerations.end(), every) ==
        spec.tolerations.end()) {
        spec.tolerations.push_back(std::move(every));
    }
}

// What makes a pod of a manifest a pod of this node; `text` is its own part of the manifest.
static Result<kube::Pod> settle(kube::Pod pod, std::string_view text, const ManifestSource& source,
                                const std::string& node_name) {
    bool is_file = source.kind == ManifestSource::Kind::file;
    std::string uid = fnv128a(fmt::format("{}\n{}\n{}", text, node_name, source.name));
    if (pod.metadata.namespace_.empty()) {
        pod.metadata.namespace_ = "default";
    }
    pod.metadata.name += "-" + node_name;
    pod.metadata.uid = uid;
    pod.metadata.generation = 1;
    pod.metadata.annotations[std::string(kube::kConfigSource)] = is_file ? "file" : "http";
    pod.metadata.annotations[std::string(kube::kConfigHash)] = uid;
    pod.spec.nodeName = node_name;
    tolerate_no_execute(pod.spec);
    kube::apply_defaults(pod);
    SKIFF_CHECK(kube::validate(pod));
    SKIFF_CHECK(refuse_references(pod));
    return pod;
}

Result<std::vector<kube::Pod>> parse_static_pods(std::string_view text,
                                                 const ManifestSource& source,
                                                 const std::string& node_name, WallTime now) {
    SKIFF_TRY(auto documents, kube::parse_manifest(text));
    std::vector<kube::Pod> pods;
    for (const kube::Document& document : documents) {
        if (document.kind != "Pod") {
            return fail(Code::invalid, "line {}: kind \"{}\" is not allowed here; allowed: Pod",
                        document.line, bounded_utf8(document.kind, 80));
        }
        SKIFF_TRY(kube::Pod pod, kube::from_document<kube::Pod>(document));
        SKIFF_TRY(pod, settle(std::move(pod), document.json, source, node_name));
        pods.push_back(std::move(pod));
    }
    for (kube::Pod& pod : pods) {
        pod.metadata.annotations["kubernetes.io/config.seen"] = format_rfc3339_nano(now);
    }
    return pods;
}

}  // namespace skiff::app
