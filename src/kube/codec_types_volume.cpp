// The codec tables of types_volume.h: every member, and which are written even when empty.
#include "kube/codec_internal.h"

namespace skiff::kube {

BOOST_DESCRIBE_STRUCT(KeyToPath, (), (key, path, mode, user))
SKIFF_KUBE_TYPE(KeyToPath, "key", "path")

BOOST_DESCRIBE_STRUCT(ConfigMapVolumeSource, (), (name, items, defaultMode, optional, defaultUser))
SKIFF_KUBE_TYPE(ConfigMapVolumeSource)

BOOST_DESCRIBE_STRUCT(SecretVolumeSource, (),
                      (secretName, items, defaultMode, optional, defaultUser))
SKIFF_KUBE_TYPE(SecretVolumeSource)

BOOST_DESCRIBE_STRUCT(EmptyDirVolumeSource, (), (medium, sizeLimit, mode))
SKIFF_KUBE_TYPE(EmptyDirVolumeSource)

BOOST_DESCRIBE_STRUCT(HostPathVolumeSource, (), (path, type))
SKIFF_KUBE_TYPE(HostPathVolumeSource, "path")

BOOST_DESCRIBE_STRUCT(DownwardAPIVolumeFile, (), (path, fieldRef, resourceFieldRef, mode, user))
SKIFF_KUBE_TYPE(DownwardAPIVolumeFile, "path")

BOOST_DESCRIBE_STRUCT(DownwardAPIVolumeSource, (), (items, defaultMode, defaultUser))
SKIFF_KUBE_TYPE(DownwardAPIVolumeSource)

BOOST_DESCRIBE_STRUCT(SecretProjection, (), (name, items, optional))
SKIFF_KUBE_TYPE(SecretProjection)

BOOST_DESCRIBE_STRUCT(ConfigMapProjection, (), (name, items, optional))
SKIFF_KUBE_TYPE(ConfigMapProjection)

BOOST_DESCRIBE_STRUCT(DownwardAPIProjection, (), (items))
SKIFF_KUBE_TYPE(DownwardAPIProjection)

BOOST_DESCRIBE_STRUCT(ServiceAccountTokenProjection, (), (audience, expirationSeconds, path, user))
SKIFF_KUBE_TYPE(ServiceAccountTokenProjection, "path")

BOOST_DESCRIBE_STRUCT(ClusterTrustBundleProjection, (),
                      (name, signerName, labelSelector, optional, path, user))
SKIFF_KUBE_TYPE(ClusterTrustBundleProjection, "path")

BOOST_DESCRIBE_STRUCT(PodCertificateProjection, (),
                      (signerName, keyType, maxExpirationSeconds, credentialBundlePath, keyPath,
                       certificateChainPath, userAnnotations, user))
SKIFF_KUBE_TYPE(PodCertificateProjection)

BOOST_DESCRIBE_STRUCT(VolumeProjection, (),
                      (secret, downwardAPI, configMap, serviceAccountToken, clusterTrustBundle,
                       podCertificate))
SKIFF_KUBE_TYPE(VolumeProjection)

BOOST_DESCRIBE_STRUCT(ProjectedVolumeSource, (), (sources, defaultMode, defaultUser))
SKIFF_KUBE_TYPE(ProjectedVolumeSource, "sources")

BOOST_DESCRIBE_STRUCT(PersistentVolumeClaimVolumeSource, (), (claimName, readOnly))
SKIFF_KUBE_TYPE(PersistentVolumeClaimVolumeSource, "claimName")

BOOST_DESCRIBE_STRUCT(CSIVolumeSource, (),
                      (driver, readOnly, fsType, volumeAttributes, nodePublishSecretRef))
SKIFF_KUBE_TYPE(CSIVolumeSource, "driver")

BOOST_DESCRIBE_STRUCT(ImageVolumeSource, (), (reference, pullPolicy))
SKIFF_KUBE_TYPE(ImageVolumeSource)

BOOST_DESCRIBE_STRUCT(NFSVolumeSource, (), (server, path, readOnly))
SKIFF_KUBE_TYPE(NFSVolumeSource, "server", "path")

BOOST_DESCRIBE_STRUCT(VolumeResourceRequirements, (), (limits, requests))
SKIFF_KUBE_TYPE(VolumeResourceRequirements)

BOOST_DESCRIBE_STRUCT(PersistentVolumeClaimSpec, (),
                      (accessModes, selector, resources, volumeName, storageClassName, volumeMode,
                       dataSource, dataSourceRef, volumeAttributesClassName))
SKIFF_KUBE_TYPE(PersistentVolumeClaimSpec)

BOOST_DESCRIBE_STRUCT(PersistentVolumeClaimTemplate, (), (metadata, spec))
SKIFF_KUBE_TYPE(PersistentVolumeClaimTemplate)

BOOST_DESCRIBE_STRUCT(EphemeralVolumeSource, (), (volumeClaimTemplate))
SKIFF_KUBE_TYPE(EphemeralVolumeSource)

BOOST_DESCRIBE_STRUCT(Volume, (),
                      (name, hostPath, emptyDir, gcePersistentDisk, awsElasticBlockStore, gitRepo,
                       secret, nfs, iscsi, glusterfs, persistentVolumeClaim, rbd, flexVolume,
                       cinder, cephfs, flocker, downwardAPI, fc, azureFile, configMap,
                       vsphereVolume, quobyte, azureDisk, photonPersistentDisk, projected,
                       portworxVolume, scaleIO, storageos, csi, ephemeral, image))
SKIFF_KUBE_TYPE(Volume, "name")

}  // namespace skiff::kube
