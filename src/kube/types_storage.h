// Storage that outlives pods: claims and the volumes they are bound to.
//
// Fields have the names and meanings of the Kubernetes API reference; see types.h for the mapping
// rules.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kube/types_meta.h"
#include "kube/types_pod.h"
#include "kube/types_volume.h"

namespace skiff::kube {

struct PersistentVolumeClaimStatus {
    std::string phase;
    std::vector<std::string> accessModes;
    ResourceList capacity;
    friend bool operator==(const PersistentVolumeClaimStatus&,
                           const PersistentVolumeClaimStatus&) = default;
};

struct PersistentVolumeClaim {
    std::string apiVersion = "v1";
    std::string kind = "PersistentVolumeClaim";
    ObjectMeta metadata;
    PersistentVolumeClaimSpec spec;
    PersistentVolumeClaimStatus status;
    friend bool operator==(const PersistentVolumeClaim&, const PersistentVolumeClaim&) = default;
};

struct LocalVolumeSource {
    std::string path;
    std::optional<std::string> fsType;
    friend bool operator==(const LocalVolumeSource&, const LocalVolumeSource&) = default;
};

struct VolumeNodeAffinity {
    std::optional<NodeSelector> required;
    friend bool operator==(const VolumeNodeAffinity&, const VolumeNodeAffinity&) = default;
};

// Of the sources only those that Skiff can use, and those that a message shall name.
struct PersistentVolumeSpec {
    ResourceList capacity;
    std::vector<std::string> accessModes;
    std::optional<ObjectReference> claimRef;
    std::string persistentVolumeReclaimPolicy;
    std::string storageClassName;
    std::vector<std::string> mountOptions;
    std::optional<std::string> volumeMode;
    std::optional<VolumeNodeAffinity> nodeAffinity;
    std::optional<HostPathVolumeSource> hostPath;
    std::optional<LocalVolumeSource> local;
    std::optional<RawJson> nfs;
    std::optional<RawJson> csi;
    friend bool operator==(const PersistentVolumeSpec&, const PersistentVolumeSpec&) = default;
};

struct PersistentVolume {
    std::string apiVersion = "v1";
    std::string kind = "PersistentVolume";
    ObjectMeta metadata;
    PersistentVolumeSpec spec;
    friend bool operator==(const PersistentVolume&, const PersistentVolume&) = default;
};

}  // namespace skiff::kube
