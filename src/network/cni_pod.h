// What a network plugin is told of a pod. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "kube/types.h"
#include "network/cni_request.h"
#include "network/cni_result.h"
#include "network/ip.h"
#include "network/port_map.h"

namespace skiff::network {

// The container id of a pod: "<instance>-<uid>". Instances on one machine may have static pods of
// the same uid, and the same network.
[[nodiscard]] CniKey cni_key_of(std::string_view instance, const PodUid& uid);
// The pod of an instance's key; nullopt for any other.
[[nodiscard]] std::optional<PodUid> pod_of(std::string_view instance, const CniKey& key);

// The pod's name, uid, annotations, ports and bandwidth; `ports` are its port_maps_of(). Key,
// namespace, DNS and ranges are the caller's. Fails as parse_bandwidth().
[[nodiscard]] Result<CniAttachment> make_cni_attachment(const kube::Pod& pod,
                                                        const std::vector<PortMap>& ports);

// status.podIPs: at most one address of each family (the API server takes no more), of `preferred`
// first. Fails with Code::corrupt when the result has none.
[[nodiscard]] Result<std::vector<std::string>> pod_addresses(const CniResult& result,
                                                             std::string_view interface,
                                                             IpFamily preferred);

}  // namespace skiff::network
