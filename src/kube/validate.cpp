#include "kube/validate.h"

#include <initializer_list>
#include <set>

#include "base/text.h"

namespace skiff::kube {

// The longest value that a message repeats.
constexpr std::size_t kShownBytesMax = 100;

bool is_dns_label(std::string_view name) {
    constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyz0123456789-";
    return !name.empty() && name.size() <= 63 && name.front() != '-' && name.back() != '-' &&
           name.find_first_not_of(kAllowed) == std::string_view::npos;
}

bool is_dns_subdomain(std::string_view name) {
    if (name.empty() || name.size() > 253) {
        return false;
    }
    for (std::string_view label : split(name, '.')) {
        if (!is_dns_label(label)) {
            return false;
        }
    }
    return true;
}

static tl::unexpected<Error> refuse(std::string_view field, std::string_view value,
                                    std::string_view allowed) {
    return fail(Code::invalid, "{}: \"{}\" is not {}", field, bounded_utf8(value, kShownBytesMax),
                allowed);
}

static Result<void> one_of(std::string_view field, std::string_view value,
                           std::initializer_list<std::string_view> allowed) {
    std::string names;
    for (std::string_view name : allowed) {
        if (name == value) {
            return {};
        }
        names += names.empty() ? "" : ", ";
        names += name;
    }
    return refuse(field, value, "one of " + names);
}

static Result<void> validate_mounts(const std::string& path, const Container& container,
                                    const std::set<std::string>& volumes) {
    std::set<std::string> targets;
    for (std::size_t i = 0; i < container.volumeMounts.size(); ++i) {
        const VolumeMount& mount = container.volumeMounts[i];
        std::string field = fmt::format("{}.volumeMounts[{}]", path, i);
        if (!volumes.contains(mount.name)) {
            return refuse(field + ".name", mount.name, "a volume of the pod");
        }
        if (!mount.mountPath.starts_with('/') || mount.mountPath.find(':') != std::string::npos) {
            return refuse(field + ".mountPath", mount.mountPath, "an absolute path without ':'");
        }
        if (!targets.insert(mount.mountPath).second) {
            return refuse(field + ".mountPath", mount.mountPath, "unique in its container");
        }
    }
    return {};
}

static Result<void> validate_container(const std::string& path, const Container& container,
                                       const std::set<std::string>& volumes) {
    if (!is_dns_label(container.name)) {
        return refuse(path + ".name", container.name,
                      "lower-case letters, digits and '-', at most 63");
    }
    if (container.image.empty()) {
        return refuse(path + ".image", container.image, "an image reference");
    }
    SKIFF_CHECK(one_of(path + ".imagePullPolicy", container.imagePullPolicy,
                       {"Always", "IfNotPresent", "Never", ""}));
    for (std::size_t i = 0; i < container.env.size(); ++i) {
        const std::string& name = container.env[i].name;
        if (name.empty() || name.find('=') != std::string::npos) {
            return refuse(fmt::format("{}.env[{}].name", path, i), name, "a name without '='");
        }
    }
    for (std::size_t i = 0; i < container.ports.size(); ++i) {
        const ContainerPort& port = container.ports[i];
        std::string field = fmt::format("{}.ports[{}]", path, i);
        if (port.containerPort < 1 || port.containerPort > 65535) {
            return refuse(field + ".containerPort", std::to_string(port.containerPort),
                          "in 1–65535");
        }
        if (port.hostPort < 0 || port.hostPort > 65535) {
            return refuse(field + ".hostPort", std::to_string(port.hostPort), "in 0–65535");
        }
    }
    for (const auto& [resource, quantity] : container.resources.limits) {
        if (quantity.milli_value() < 0) {
            return refuse(fmt::format("{}.resources.limits.{}", path, resource), quantity.str(),
                          "zero or more");
        }
    }
    return validate_mounts(path, container, volumes);
}

template <typename C>
static Result<void> validate_all(const std::string& path, const std::vector<C>& containers,
                                 const std::set<std::string>& volumes,
                                 std::set<std::string>& names) {
    for (std::size_t i = 0; i < containers.size(); ++i) {
        std::string field = fmt::format("{}[{}]", path, i);
        SKIFF_CHECK(validate_container(field, containers[i], volumes));
        if (!names.insert(containers[i].name).second) {
            return refuse(field + ".name", containers[i].name, "unique in the pod");
        }
    }
    return {};
}

Result<void> validate(const Pod& pod) {
    if (!is_dns_subdomain(pod.metadata.name)) {
        return refuse("metadata.name", pod.metadata.name,
                      "lower-case letters, digits, '-' and '.', at most 253");
    }
    if (!is_dns_label(pod.metadata.namespace_)) {
        return refuse("metadata.namespace", pod.metadata.namespace_,
                      "lower-case letters, digits and '-', at most 63");
    }
    SKIFF_CHECK(
        one_of("spec.restartPolicy", pod.spec.restartPolicy, {"Always", "OnFailure", "Never"}));
    SKIFF_CHECK(one_of("spec.dnsPolicy", pod.spec.dnsPolicy,
                       {"ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"}));
    std::set<std::string> volumes;
    for (std::size_t i = 0; i < pod.spec.volumes.size(); ++i) {
        const std::string& name = pod.spec.volumes[i].name;
        std::string field = fmt::format("spec.volumes[{}].name", i);
        if (!is_dns_label(name)) {
            return refuse(field, name, "lower-case letters, digits and '-', at most 63");
        }
        if (!volumes.insert(name).second) {
            return refuse(field, name, "unique in the pod");
        }
    }
    if (pod.spec.containers.empty()) {
        return fail(Code::invalid, "spec.containers: is empty; at least one container is needed");
    }
    std::set<std::string> names;
    SKIFF_CHECK(validate_all("spec.initContainers", pod.spec.initContainers, volumes, names));
    return validate_all("spec.containers", pod.spec.containers, volumes, names);
}

}  // namespace skiff::kube
