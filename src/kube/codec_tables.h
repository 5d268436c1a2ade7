// The list of types that the codec knows. Adding a type: its struct in types_*.h, its line here,
// its description in codec_types_*.cpp.
#pragma once

#include "kube/types.h"

namespace skiff::kube {

// The fields of one struct, for the codec only.
struct StructTable;
template <typename T>
const StructTable& struct_table();

template <>
const StructTable& struct_table<OwnerReference>();
template <>
const StructTable& struct_table<ObjectMeta>();
template <>
const StructTable& struct_table<ListMeta>();
template <>
const StructTable& struct_table<LabelSelectorRequirement>();
template <>
const StructTable& struct_table<LabelSelector>();
template <>
const StructTable& struct_table<StatusCause>();
template <>
const StructTable& struct_table<StatusDetails>();
template <>
const StructTable& struct_table<Status>();
template <>
const StructTable& struct_table<LocalObjectReference>();
template <>
const StructTable& struct_table<ObjectReference>();
template <>
const StructTable& struct_table<TypedLocalObjectReference>();
template <>
const StructTable& struct_table<TypedObjectReference>();
template <>
const StructTable& struct_table<ObjectFieldSelector>();
template <>
const StructTable& struct_table<ResourceFieldSelector>();
template <>
const StructTable& struct_table<Condition>();

template <>
const StructTable& struct_table<KeyToPath>();
template <>
const StructTable& struct_table<ConfigMapVolumeSource>();
template <>
const StructTable& struct_table<SecretVolumeSource>();
template <>
const StructTable& struct_table<EmptyDirVolumeSource>();
template <>
const StructTable& struct_table<HostPathVolumeSource>();
template <>
const StructTable& struct_table<DownwardAPIVolumeFile>();
template <>
const StructTable& struct_table<DownwardAPIVolumeSource>();
template <>
const StructTable& struct_table<SecretProjection>();
template <>
const StructTable& struct_table<ConfigMapProjection>();
template <>
const StructTable& struct_table<DownwardAPIProjection>();
template <>
const StructTable& struct_table<ServiceAccountTokenProjection>();
template <>
const StructTable& struct_table<ClusterTrustBundleProjection>();
template <>
const StructTable& struct_table<PodCertificateProjection>();
template <>
const StructTable& struct_table<VolumeProjection>();
template <>
const StructTable& struct_table<ProjectedVolumeSource>();
template <>
const StructTable& struct_table<PersistentVolumeClaimVolumeSource>();
template <>
const StructTable& struct_table<CSIVolumeSource>();
template <>
const StructTable& struct_table<ImageVolumeSource>();
template <>
const StructTable& struct_table<NFSVolumeSource>();
template <>
const StructTable& struct_table<VolumeResourceRequirements>();
template <>
const StructTable& struct_table<PersistentVolumeClaimSpec>();
template <>
const StructTable& struct_table<PersistentVolumeClaimTemplate>();
template <>
const StructTable& struct_table<EphemeralVolumeSource>();
template <>
const StructTable& struct_table<Volume>();

template <>
const StructTable& struct_table<ContainerPort>();
template <>
const StructTable& struct_table<FileKeySelector>();
template <>
const StructTable& struct_table<ConfigMapKeySelector>();
template <>
const StructTable& struct_table<SecretKeySelector>();
template <>
const StructTable& struct_table<EnvVarSource>();
template <>
const StructTable& struct_table<EnvVar>();
template <>
const StructTable& struct_table<ConfigMapEnvSource>();
template <>
const StructTable& struct_table<SecretEnvSource>();
template <>
const StructTable& struct_table<EnvFromSource>();
template <>
const StructTable& struct_table<ResourceClaim>();
template <>
const StructTable& struct_table<ResourceRequirements>();
template <>
const StructTable& struct_table<VolumeMount>();
template <>
const StructTable& struct_table<VolumeDevice>();
template <>
const StructTable& struct_table<ExecAction>();
template <>
const StructTable& struct_table<HTTPHeader>();
template <>
const StructTable& struct_table<HTTPGetAction>();
template <>
const StructTable& struct_table<TCPSocketAction>();
template <>
const StructTable& struct_table<GRPCAction>();
template <>
const StructTable& struct_table<SleepAction>();
template <>
const StructTable& struct_table<Probe>();
template <>
const StructTable& struct_table<LifecycleHandler>();
template <>
const StructTable& struct_table<Lifecycle>();
template <>
const StructTable& struct_table<Capabilities>();
template <>
const StructTable& struct_table<SELinuxOptions>();
template <>
const StructTable& struct_table<WindowsSecurityContextOptions>();
template <>
const StructTable& struct_table<SeccompProfile>();
template <>
const StructTable& struct_table<AppArmorProfile>();
template <>
const StructTable& struct_table<SecurityContext>();
template <>
const StructTable& struct_table<ContainerResizePolicy>();
template <>
const StructTable& struct_table<ContainerRestartRuleOnExitCodes>();
template <>
const StructTable& struct_table<ContainerRestartRule>();
template <>
const StructTable& struct_table<Container>();
template <>
const StructTable& struct_table<EphemeralContainer>();

template <>
const StructTable& struct_table<NodeSelectorRequirement>();
template <>
const StructTable& struct_table<NodeSelectorTerm>();
template <>
const StructTable& struct_table<NodeSelector>();
template <>
const StructTable& struct_table<PreferredSchedulingTerm>();
template <>
const StructTable& struct_table<NodeAffinity>();
template <>
const StructTable& struct_table<Affinity>();
template <>
const StructTable& struct_table<Toleration>();
template <>
const StructTable& struct_table<HostAlias>();
template <>
const StructTable& struct_table<PodReadinessGate>();
template <>
const StructTable& struct_table<PodDNSConfigOption>();
template <>
const StructTable& struct_table<PodDNSConfig>();
template <>
const StructTable& struct_table<TopologySpreadConstraint>();
template <>
const StructTable& struct_table<Sysctl>();
template <>
const StructTable& struct_table<PodSecurityContext>();
template <>
const StructTable& struct_table<PodOS>();
template <>
const StructTable& struct_table<PodSchedulingGate>();
template <>
const StructTable& struct_table<PodResourceClaim>();
template <>
const StructTable& struct_table<PodSpec>();
template <>
const StructTable& struct_table<PodCondition>();
template <>
const StructTable& struct_table<PodIP>();
template <>
const StructTable& struct_table<HostIP>();
template <>
const StructTable& struct_table<ContainerStateWaiting>();
template <>
const StructTable& struct_table<ContainerStateRunning>();
template <>
const StructTable& struct_table<ContainerStateTerminated>();
template <>
const StructTable& struct_table<ContainerState>();
template <>
const StructTable& struct_table<VolumeMountStatus>();
template <>
const StructTable& struct_table<LinuxContainerUser>();
template <>
const StructTable& struct_table<ContainerUser>();
template <>
const StructTable& struct_table<ResourceHealth>();
template <>
const StructTable& struct_table<ResourceStatus>();
template <>
const StructTable& struct_table<ContainerStatus>();
template <>
const StructTable& struct_table<PodStatus>();
template <>
const StructTable& struct_table<Pod>();
template <>
const StructTable& struct_table<PodTemplateSpec>();

template <>
const StructTable& struct_table<Taint>();
template <>
const StructTable& struct_table<NodeSpec>();
template <>
const StructTable& struct_table<NodeCondition>();
template <>
const StructTable& struct_table<NodeAddress>();
template <>
const StructTable& struct_table<DaemonEndpoint>();
template <>
const StructTable& struct_table<NodeDaemonEndpoints>();
template <>
const StructTable& struct_table<NodeSwapStatus>();
template <>
const StructTable& struct_table<NodeSystemInfo>();
template <>
const StructTable& struct_table<ContainerImage>();
template <>
const StructTable& struct_table<AttachedVolume>();
template <>
const StructTable& struct_table<NodeRuntimeHandlerFeatures>();
template <>
const StructTable& struct_table<NodeRuntimeHandler>();
template <>
const StructTable& struct_table<NodeFeatures>();
template <>
const StructTable& struct_table<NodeStatus>();
template <>
const StructTable& struct_table<Node>();
template <>
const StructTable& struct_table<LeaseSpec>();
template <>
const StructTable& struct_table<Lease>();
template <>
const StructTable& struct_table<EventSource>();
template <>
const StructTable& struct_table<EventSeries>();
template <>
const StructTable& struct_table<Event>();
template <>
const StructTable& struct_table<ConfigMap>();
template <>
const StructTable& struct_table<Secret>();
template <>
const StructTable& struct_table<ServicePort>();
template <>
const StructTable& struct_table<ServiceSpec>();
template <>
const StructTable& struct_table<ServiceStatus>();
template <>
const StructTable& struct_table<Service>();
template <>
const StructTable& struct_table<RuntimeClassOverhead>();
template <>
const StructTable& struct_table<RuntimeClassScheduling>();
template <>
const StructTable& struct_table<RuntimeClass>();

template <>
const StructTable& struct_table<CertificateSigningRequestSpec>();
template <>
const StructTable& struct_table<CertificateSigningRequestCondition>();
template <>
const StructTable& struct_table<CertificateSigningRequestStatus>();
template <>
const StructTable& struct_table<CertificateSigningRequest>();
template <>
const StructTable& struct_table<PersistentVolumeClaimStatus>();
template <>
const StructTable& struct_table<PersistentVolumeClaim>();
template <>
const StructTable& struct_table<LocalVolumeSource>();
template <>
const StructTable& struct_table<VolumeNodeAffinity>();
template <>
const StructTable& struct_table<PersistentVolumeSpec>();
template <>
const StructTable& struct_table<PersistentVolume>();

template <>
const StructTable& struct_table<ClusterTrustBundleSpec>();
template <>
const StructTable& struct_table<ClusterTrustBundle>();
template <>
const StructTable& struct_table<PodCertificateRequestSpec>();
template <>
const StructTable& struct_table<PodCertificateRequestStatus>();
template <>
const StructTable& struct_table<PodCertificateRequest>();
template <>
const StructTable& struct_table<ServiceAccount>();
template <>
const StructTable& struct_table<BoundObjectReference>();
template <>
const StructTable& struct_table<TokenRequestSpec>();
template <>
const StructTable& struct_table<TokenRequestStatus>();
template <>
const StructTable& struct_table<TokenRequest>();
template <>
const StructTable& struct_table<UserInfo>();
template <>
const StructTable& struct_table<TokenReviewSpec>();
template <>
const StructTable& struct_table<TokenReviewStatus>();
template <>
const StructTable& struct_table<TokenReview>();
template <>
const StructTable& struct_table<ResourceAttributes>();
template <>
const StructTable& struct_table<NonResourceAttributes>();
template <>
const StructTable& struct_table<SubjectAccessReviewSpec>();
template <>
const StructTable& struct_table<SubjectAccessReviewStatus>();
template <>
const StructTable& struct_table<SubjectAccessReview>();

template <>
const StructTable& struct_table<VersionAnswer>();

template <>
const StructTable& struct_table<DeploymentSpec>();
template <>
const StructTable& struct_table<Deployment>();
template <>
const StructTable& struct_table<JobSpec>();
template <>
const StructTable& struct_table<Job>();
template <>
const StructTable& struct_table<JobTemplateSpec>();
template <>
const StructTable& struct_table<CronJobSpec>();
template <>
const StructTable& struct_table<CronJob>();

}  // namespace skiff::kube
