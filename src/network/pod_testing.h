// For tests: pods.
#pragma once

#include <memory>
#include <string>

#include "base/types.h"
#include "kube/types.h"

namespace skiff::network {

// shop/NAME, of one container.
inline std::shared_ptr<kube::Pod> pod_named(const std::string& name) {
    auto pod = std::make_shared<kube::Pod>();
    pod->metadata.name = name;
    pod->metadata.namespace_ = "shop";
    pod->metadata.uid = "uid-" + name;
    pod->spec.containers.resize(1);
    pod->spec.containers[0].name = "main";
    return pod;
}

inline PodUid uid(const std::string& name) {
    return PodUid("uid-" + name);
}

inline void give_host_port(kube::Pod& pod, std::int32_t node, std::int32_t own,
                           const std::string& address = "") {
    auto& port = pod.spec.containers[0].ports.emplace_back();
    port.hostPort = node;
    port.containerPort = own;
    port.hostIP = address;
    port.protocol = "TCP";
}

}  // namespace skiff::network
