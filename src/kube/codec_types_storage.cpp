// The codec tables of types_storage.h: every member, and which are written even when empty.
#include "kube/codec_internal.h"

namespace skiff::kube {

BOOST_DESCRIBE_STRUCT(PersistentVolumeClaimStatus, (), (phase, accessModes, capacity))
SKIFF_KUBE_TYPE(PersistentVolumeClaimStatus)

BOOST_DESCRIBE_STRUCT(PersistentVolumeClaim, (), (apiVersion, kind, metadata, spec, status))
SKIFF_KUBE_TYPE(PersistentVolumeClaim, "apiVersion", "kind")

BOOST_DESCRIBE_STRUCT(LocalVolumeSource, (), (path, fsType))
SKIFF_KUBE_TYPE(LocalVolumeSource, "path")

BOOST_DESCRIBE_STRUCT(VolumeNodeAffinity, (), (required))
SKIFF_KUBE_TYPE(VolumeNodeAffinity)

BOOST_DESCRIBE_STRUCT(PersistentVolumeSpec, (),
                      (capacity, accessModes, claimRef, persistentVolumeReclaimPolicy,
                       storageClassName, mountOptions, volumeMode, nodeAffinity, hostPath, local,
                       nfs, csi))
SKIFF_KUBE_TYPE(PersistentVolumeSpec)

BOOST_DESCRIBE_STRUCT(PersistentVolume, (), (apiVersion, kind, metadata, spec))
SKIFF_KUBE_TYPE(PersistentVolume, "apiVersion", "kind")

}  // namespace skiff::kube
