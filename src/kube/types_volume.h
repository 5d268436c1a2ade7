// Volumes of pods. Exactly one optional of a Volume or VolumeProjection is set; kinds that Skiff
// never looks into are RawJson, so that an unsupported kind can be named.
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

namespace skiff::kube {

struct KeyToPath {
    std::string key;
    std::string path;
    std::optional<std::int32_t> mode;
    std::optional<std::int64_t> user;
    friend bool operator==(const KeyToPath&, const KeyToPath&) = default;
};

struct ConfigMapVolumeSource {
    std::string name;
    std::vector<KeyToPath> items;
    std::optional<std::int32_t> defaultMode;
    std::optional<bool> optional;
    std::optional<std::int64_t> defaultUser;
    friend bool operator==(const ConfigMapVolumeSource&, const ConfigMapVolumeSource&) = default;
};

struct SecretVolumeSource {
    std::string secretName;
    std::vector<KeyToPath> items;
    std::optional<std::int32_t> defaultMode;
    std::optional<bool> optional;
    std::optional<std::int64_t> defaultUser;
    friend bool operator==(const SecretVolumeSource&, const SecretVolumeSource&) = default;
};

struct EmptyDirVolumeSource {
    std::string medium;
    std::optional<Quantity> sizeLimit;
    std::optional<std::int32_t> mode;
    friend bool operator==(const EmptyDirVolumeSource&, const EmptyDirVolumeSource&) = default;
};

struct HostPathVolumeSource {
    std::string path;
    std::optional<std::string> type;
    friend bool operator==(const HostPathVolumeSource&, const HostPathVolumeSource&) = default;
};

struct DownwardAPIVolumeFile {
    std::string path;
    std::optional<ObjectFieldSelector> fieldRef;
    std::optional<ResourceFieldSelector> resourceFieldRef;
    std::optional<std::int32_t> mode;
    std::optional<std::int64_t> user;
    friend bool operator==(const DownwardAPIVolumeFile&, const DownwardAPIVolumeFile&) = default;
};

struct DownwardAPIVolumeSource {
    std::vector<DownwardAPIVolumeFile> items;
    std::optional<std::int32_t> defaultMode;
    std::optional<std::int64_t> defaultUser;
    friend bool operator==(const DownwardAPIVolumeSource&,
                           const DownwardAPIVolumeSource&) = default;
};

struct SecretProjection {
    std::string name;
    std::vector<KeyToPath> items;
    std::optional<bool> optional;
    friend bool operator==(const SecretProjection&, const SecretProjection&) = default;
};

struct ConfigMapProjection {
    std::string name;
    std::vector<KeyToPath> items;
    std::optional<bool> optional;
    friend bool operator==(const ConfigMapProjection&, const ConfigMapProjection&) = default;
};

struct DownwardAPIProjection {
    std::vector<DownwardAPIVolumeFile> items;
    friend bool operator==(const DownwardAPIProjection&, const DownwardAPIProjection&) = default;
};

struct ServiceAccountTokenProjection {
    std::string audience;
    std::optional<std::int64_t> expirationSeconds;
    std::string path;
    std::optional<std::int64_t> user;
    friend bool operator==(const ServiceAccountTokenProjection&,
                           const ServiceAccountTokenProjection&) = default;
};

struct ClusterTrustBundleProjection {
    std::optional<std::string> name;
    std::optional<std::string> signerName;
    std::optional<LabelSelector> labelSelector;
    std::optional<bool> optional;
    std::string path;
    std::optional<std::int64_t> user;
    friend bool operator==(const ClusterTrustBundleProjection&,
                           const ClusterTrustBundleProjection&) = default;
};

struct PodCertificateProjection {
    std::string signerName;
    std::string keyType;
    std::optional<std::int32_t> maxExpirationSeconds;
    std::string credentialBundlePath;
    std::string keyPath;
    std::string certificateChainPath;
    std::map<std::string, std::string> userAnnotations;
    std::optional<std::int64_t> user;
    friend bool operator==(const PodCertificateProjection&,
                           const PodCertificateProjection&) = default;
};

struct VolumeProjection {
    std::optional<SecretProjection> secret;
    std::optional<DownwardAPIProjection> downwardAPI;
    std::optional<ConfigMapProjection> configMap;
    std::optional<ServiceAccountTokenProjection> serviceAccountToken;
    std::optional<ClusterTrustBundleProjection> clusterTrustBundle;
    std::optional<PodCertificateProjection> podCertificate;
    friend bool operator==(const VolumeProjection&, const VolumeProjection&) = default;
};

struct ProjectedVolumeSource {
    std::vector<VolumeProjection> sources;
    std::optional<std::int32_t> defaultMode;
    std::optional<std::int64_t> defaultUser;
    friend bool operator==(const ProjectedVolumeSource&, const ProjectedVolumeSource&) = default;
};

struct PersistentVolumeClaimVolumeSource {
    std::string claimName;
    bool readOnly = false;
    friend bool operator==(const PersistentVolumeClaimVolumeSource&,
                           const PersistentVolumeClaimVolumeSource&) = default;
};

struct CSIVolumeSource {
    std::string driver;
    std::optional<bool> readOnly;
    std::optional<std::string> fsType;
    std::map<std::string, std::string> volumeAttributes;
    std::optional<LocalObjectReference> nodePublishSecretRef;
    friend bool operator==(const CSIVolumeSource&, const CSIVolumeSource&) = default;
};

struct ImageVolumeSource {
    std::string reference;
    std::string pullPolicy;
    friend bool operator==(const ImageVolumeSource&, const ImageVolumeSource&) = default;
};

struct NFSVolumeSource {
    std::string server;
    std::string path;
    bool readOnly = false;
    friend bool operator==(const NFSVolumeSource&, const NFSVolumeSource&) = default;
};

struct VolumeResourceRequirements {
    ResourceList limits;
    ResourceList requests;
    friend bool operator==(const VolumeResourceRequirements&,
                           const VolumeResourceRequirements&) = default;
};

struct PersistentVolumeClaimSpec {
    std::vector<std::string> accessModes;
    std::optional<LabelSelector> selector;
    VolumeResourceRequirements resources;
    std::string volumeName;
    std::optional<std::string> storageClassName;
    std::optional<std::string> volumeMode;
    std::optional<TypedLocalObjectReference> dataSource;
    std::optional<TypedObjectReference> dataSourceRef;
    std::optional<std::string> volumeAttributesClassName;
    friend bool operator==(const PersistentVolumeClaimSpec&,
                           const PersistentVolumeClaimSpec&) = default;
};

struct PersistentVolumeClaimTemplate {
    ObjectMeta metadata;
    PersistentVolumeClaimSpec spec;
    friend bool operator==(const PersistentVolumeClaimTemplate&,
                           const PersistentVolumeClaimTemplate&) = default;
};

struct EphemeralVolumeSource {
    std::optional<PersistentVolumeClaimTemplate> volumeClaimTemplate;
    friend bool operator==(const EphemeralVolumeSource&, const EphemeralVolumeSource&) = default;
};

struct Volume {
    std::string name;
    std::optional<HostPathVolumeSource> hostPath;
    std::optional<EmptyDirVolumeSource> emptyDir;
    std::optional<RawJson> gcePersistentDisk;
    std::optional<RawJson> awsElasticBlockStore;
    std::optional<RawJson> gitRepo;
    std::optional<SecretVolumeSource> secret;
    std::optional<NFSVolumeSource> nfs;
    std::optional<RawJson> iscsi;
    std::optional<RawJson> glusterfs;
    std::optional<PersistentVolumeClaimVolumeSource> persistentVolumeClaim;
    std::optional<RawJson> rbd;
    std::optional<RawJson> flexVolume;
    std::optional<RawJson> cinder;
    std::optional<RawJson> cephfs;
    std::optional<RawJson> flocker;
    std::optional<DownwardAPIVolumeSource> downwardAPI;
    std::optional<RawJson> fc;
    std::optional<RawJson> azureFile;
    std::optional<ConfigMapVolumeSource> configMap;
    std::optional<RawJson> vsphereVolume;
    std::optional<RawJson> quobyte;
    std::optional<RawJson> azureDisk;
    std::optional<RawJson> photonPersistentDisk;
    std::optional<ProjectedVolumeSource> projected;
    std::optional<RawJson> portworxVolume;
    std::optional<RawJson> scaleIO;
    std::optional<RawJson> storageos;
    std::optional<CSIVolumeSource> csi;
    std::optional<EphemeralVolumeSource> ephemeral;
    std::optional<ImageVolumeSource> image;
    friend bool operator==(const Volume&, const Volume&) = default;
};

}  // namespace skiff::kube
