// Pods: spec, status, and what they are made of.
//
// Fields have the names and meanings of the Kubernetes API reference; see types.h for the mapping
// rules.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kube/types_container.h"
#include "kube/types_meta.h"
#include "kube/types_volume.h"

namespace skiff::kube {

struct NodeSelectorRequirement {
    std::string key;
    std::string operator_;
    std::vector<std::string> values;
    friend bool operator==(const NodeSelectorRequirement&,
                           const NodeSelectorRequirement&) = default;
};

struct NodeSelectorTerm {
    std::vector<NodeSelectorRequirement> matchExpressions;
    std::vector<NodeSelectorRequirement> matchFields;
    friend bool operator==(const NodeSelectorTerm&, const NodeSelectorTerm&) = default;
};

struct NodeSelector {
    std::vector<NodeSelectorTerm> nodeSelectorTerms;
    friend bool operator==(const NodeSelector&, const NodeSelector&) = default;
};

struct PreferredSchedulingTerm {
    std::int32_t weight = 0;
    NodeSelectorTerm preference;
    friend bool operator==(const PreferredSchedulingTerm&,
                           const PreferredSchedulingTerm&) = default;
};

struct NodeAffinity {
    std::optional<NodeSelector> requiredDuringSchedulingIgnoredDuringExecution;
    std::vector<PreferredSchedulingTerm> preferredDuringSchedulingIgnoredDuringExecution;
    friend bool operator==(const NodeAffinity&, const NodeAffinity&) = default;
};

struct Affinity {
    std::optional<NodeAffinity> nodeAffinity;
    std::optional<RawJson> podAffinity;
    std::optional<RawJson> podAntiAffinity;
    friend bool operator==(const Affinity&, const Affinity&) = default;
};

struct Toleration {
    std::string key;
    std::string operator_;
    std::string value;
    std::string effect;
    std::optional<std::int64_t> tolerationSeconds;
    friend bool operator==(const Toleration&, const Toleration&) = default;
};

struct HostAlias {
    std::string ip;
    std::vector<std::string> hostnames;
    friend bool operator==(const HostAlias&, const HostAlias&) = default;
};

struct PodReadinessGate {
    std::string conditionType;
    friend bool operator==(const PodReadinessGate&, const PodReadinessGate&) = default;
};

struct PodDNSConfigOption {
    std::string name;
    std::optional<std::string> value;
    friend bool operator==(const PodDNSConfigOption&, const PodDNSConfigOption&) = default;
};

struct PodDNSConfig {
    std::vector<std::string> nameservers;
    std::vector<std::string> searches;
    std::vector<PodDNSConfigOption> options;
    friend bool operator==(const PodDNSConfig&, const PodDNSConfig&) = default;
};

struct TopologySpreadConstraint {
    std::int32_t maxSkew = 0;
    std::string topologyKey;
    std::string whenUnsatisfiable;
    std::optional<LabelSelector> labelSelector;
    std::optional<std::int32_t> minDomains;
    std::optional<std::string> nodeAffinityPolicy;
    std::optional<std::string> nodeTaintsPolicy;
    std::vector<std::string> matchLabelKeys;
    friend bool operator==(const TopologySpreadConstraint&,
                           const TopologySpreadConstraint&) = default;
};

struct Sysctl {
    std::string name;
    std::string value;
    friend bool operator==(const Sysctl&, const Sysctl&) = default;
};

struct PodSecurityContext {
    std::optional<SELinuxOptions> seLinuxOptions;
    std::optional<WindowsSecurityContextOptions> windowsOptions;
    std::optional<std::int64_t> runAsUser;
    std::optional<std::int64_t> runAsGroup;
    std::optional<bool> runAsNonRoot;
    std::vector<std::int64_t> supplementalGroups;
    std::optional<std::string> supplementalGroupsPolicy;
    std::optional<std::int64_t> fsGroup;
    std::vector<Sysctl> sysctls;
    std::optional<std::string> fsGroupChangePolicy;
    std::optional<SeccompProfile> seccompProfile;
    std::optional<AppArmorProfile> appArmorProfile;
    std::optional<std::string> seLinuxChangePolicy;
    friend bool operator==(const PodSecurityContext&, const PodSecurityContext&) = default;
};

struct PodOS {
    std::string name;
    friend bool operator==(const PodOS&, const PodOS&) = default;
};

struct PodSchedulingGate {
    std::string name;
    friend bool operator==(const PodSchedulingGate&, const PodSchedulingGate&) = default;
};

struct PodResourceClaim {
    std::string name;
    std::optional<std::string> resourceClaimName;
    std::optional<std::string> resourceClaimTemplateName;
    friend bool operator==(const PodResourceClaim&, const PodResourceClaim&) = default;
};

struct PodSpec {
    std::vector<Volume> volumes;
    std::vector<Container> initContainers;
    std::vector<Container> containers;
    std::vector<EphemeralContainer> ephemeralContainers;
    std::string restartPolicy;
    std::optional<std::int64_t> terminationGracePeriodSeconds;
    std::optional<std::int64_t> activeDeadlineSeconds;
    std::string dnsPolicy;
    std::map<std::string, std::string> nodeSelector;
    std::string serviceAccountName;
    std::string serviceAccount;
    std::optional<bool> automountServiceAccountToken;
    std::string nodeName;
    bool hostNetwork = false;
    bool hostPID = false;
    bool hostIPC = false;
    std::optional<bool> shareProcessNamespace;
    std::optional<PodSecurityContext> securityContext;
    std::vector<LocalObjectReference> imagePullSecrets;
    std::string hostname;
    std::string subdomain;
    std::optional<Affinity> affinity;
    std::string schedulerName;
    std::vector<Toleration> tolerations;
    std::vector<HostAlias> hostAliases;
    std::string priorityClassName;
    std::optional<std::int32_t> priority;
    std::optional<PodDNSConfig> dnsConfig;
    std::vector<PodReadinessGate> readinessGates;
    std::optional<std::string> runtimeClassName;
    std::optional<bool> enableServiceLinks;
    std::optional<std::string> preemptionPolicy;
    ResourceList overhead;
    std::vector<TopologySpreadConstraint> topologySpreadConstraints;
    std::optional<bool> setHostnameAsFQDN;
    std::optional<PodOS> os;
    std::optional<bool> hostUsers;
    std::vector<PodSchedulingGate> schedulingGates;
    std::vector<PodResourceClaim> resourceClaims;
    std::optional<ResourceRequirements> resources;
    std::optional<std::string> hostnameOverride;
    std::optional<RawJson> schedulingGroup;
    std::vector<RawJson> evictionResponders;
    friend bool operator==(const PodSpec&, const PodSpec&) = default;
};

struct PodCondition {
    std::string type;
    std::int64_t observedGeneration = 0;
    std::string status;
    std::optional<Time> lastProbeTime;
    std::optional<Time> lastTransitionTime;
    std::string reason;
    std::string message;
    friend bool operator==(const PodCondition&, const PodCondition&) = default;
};

struct PodIP {
    std::string ip;
    friend bool operator==(const PodIP&, const PodIP&) = default;
};

struct HostIP {
    std::string ip;
    friend bool operator==(const HostIP&, const HostIP&) = default;
};

struct ContainerStateWaiting {
    std::string reason;
    std::string message;
    friend bool operator==(const ContainerStateWaiting&, const ContainerStateWaiting&) = default;
};

struct ContainerStateRunning {
    std::optional<Time> startedAt;
    friend bool operator==(const ContainerStateRunning&, const ContainerStateRunning&) = default;
};

struct ContainerStateTerminated {
    std::int32_t exitCode = 0;
    std::int32_t signal = 0;
    std::string reason;
    std::string message;
    std::optional<Time> startedAt;
    std::optional<Time> finishedAt;
    std::string containerID;
    friend bool operator==(const ContainerStateTerminated&,
                           const ContainerStateTerminated&) = default;
};

struct ContainerState {
    std::optional<ContainerStateWaiting> waiting;
    std::optional<ContainerStateRunning> running;
    std::optional<ContainerStateTerminated> terminated;
    friend bool operator==(const ContainerState&, const ContainerState&) = default;
};

struct VolumeMountStatus {
    std::string name;
    std::string mountPath;
    bool readOnly = false;
    std::optional<std::string> recursiveReadOnly;
    std::optional<RawJson> volumeStatus;
    friend bool operator==(const VolumeMountStatus&, const VolumeMountStatus&) = default;
};

struct LinuxContainerUser {
    std::int64_t uid = 0;
    std::int64_t gid = 0;
    std::vector<std::int64_t> supplementalGroups;
    friend bool operator==(const LinuxContainerUser&, const LinuxContainerUser&) = default;
};

struct ContainerUser {
    std::optional<LinuxContainerUser> linux;
    friend bool operator==(const ContainerUser&, const ContainerUser&) = default;
};

struct ResourceHealth {
    std::string resourceID;
    std::string health;
    std::optional<std::string> message;
    friend bool operator==(const ResourceHealth&, const ResourceHealth&) = default;
};

struct ResourceStatus {
    std::string name;
    std::vector<ResourceHealth> resources;
    friend bool operator==(const ResourceStatus&, const ResourceStatus&) = default;
};

struct ContainerStatus {
    std::string name;
    ContainerState state;
    ContainerState lastState;
    bool ready = false;
    std::int32_t restartCount = 0;
    std::string image;
    std::string imageID;
    std::string containerID;
    std::optional<bool> started;
    ResourceList allocatedResources;
    std::optional<ResourceRequirements> resources;
    std::vector<VolumeMountStatus> volumeMounts;
    std::optional<ContainerUser> user;
    std::vector<ResourceStatus> allocatedResourcesStatus;
    std::optional<std::string> stopSignal;
    friend bool operator==(const ContainerStatus&, const ContainerStatus&) = default;
};

struct PodStatus {
    std::int64_t observedGeneration = 0;
    std::string phase;
    std::vector<PodCondition> conditions;
    std::string message;
    std::string reason;
    std::string nominatedNodeName;
    std::string hostIP;
    std::vector<HostIP> hostIPs;
    std::string podIP;
    std::vector<PodIP> podIPs;
    std::optional<Time> startTime;
    std::vector<ContainerStatus> initContainerStatuses;
    std::vector<ContainerStatus> containerStatuses;
    std::string qosClass;
    std::vector<ContainerStatus> ephemeralContainerStatuses;
    std::string resize;
    std::vector<RawJson> resourceClaimStatuses;
    std::optional<RawJson> extendedResourceClaimStatus;
    ResourceList allocatedResources;
    std::optional<ResourceRequirements> resources;
    std::vector<RawJson> nodeAllocatableResourceClaimStatuses;
    std::vector<RawJson> volumeHealth;
    friend bool operator==(const PodStatus&, const PodStatus&) = default;
};

struct Pod {
    std::string apiVersion = "v1";
    std::string kind = "Pod";
    ObjectMeta metadata;
    PodSpec spec;
    PodStatus status;
    friend bool operator==(const Pod&, const Pod&) = default;
};

struct PodTemplateSpec {
    ObjectMeta metadata;
    PodSpec spec;
    friend bool operator==(const PodTemplateSpec&, const PodTemplateSpec&) = default;
};

}  // namespace skiff::kube
