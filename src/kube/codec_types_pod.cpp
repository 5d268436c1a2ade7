// The codec tables of types_pod.h: every member, and which are written even when empty.
#include "kube/codec_internal.h"

namespace skiff::kube {

BOOST_DESCRIBE_STRUCT(NodeSelectorRequirement, (), (key, operator_, values))
SKIFF_KUBE_TYPE(NodeSelectorRequirement, "key", "operator")

BOOST_DESCRIBE_STRUCT(NodeSelectorTerm, (), (matchExpressions, matchFields))
SKIFF_KUBE_TYPE(NodeSelectorTerm)

BOOST_DESCRIBE_STRUCT(NodeSelector, (), (nodeSelectorTerms))
SKIFF_KUBE_TYPE(NodeSelector, "nodeSelectorTerms")

BOOST_DESCRIBE_STRUCT(PreferredSchedulingTerm, (), (weight, preference))
SKIFF_KUBE_TYPE(PreferredSchedulingTerm, "weight")

BOOST_DESCRIBE_STRUCT(NodeAffinity, (),
                      (requiredDuringSchedulingIgnoredDuringExecution,
                       preferredDuringSchedulingIgnoredDuringExecution))
SKIFF_KUBE_TYPE(NodeAffinity)

BOOST_DESCRIBE_STRUCT(Affinity, (), (nodeAffinity, podAffinity, podAntiAffinity))
SKIFF_KUBE_TYPE(Affinity)

BOOST_DESCRIBE_STRUCT(Toleration, (), (key, operator_, value, effect, tolerationSeconds))
SKIFF_KUBE_TYPE(Toleration)

BOOST_DESCRIBE_STRUCT(HostAlias, (), (ip, hostnames))
SKIFF_KUBE_TYPE(HostAlias, "ip")

BOOST_DESCRIBE_STRUCT(PodReadinessGate, (), (conditionType))
SKIFF_KUBE_TYPE(PodReadinessGate, "conditionType")

BOOST_DESCRIBE_STRUCT(PodDNSConfigOption, (), (name, value))
SKIFF_KUBE_TYPE(PodDNSConfigOption)

BOOST_DESCRIBE_STRUCT(PodDNSConfig, (), (nameservers, searches, options))
SKIFF_KUBE_TYPE(PodDNSConfig)

BOOST_DESCRIBE_STRUCT(TopologySpreadConstraint, (),
                      (maxSkew, topologyKey, whenUnsatisfiable, labelSelector, minDomains,
                       nodeAffinityPolicy, nodeTaintsPolicy, matchLabelKeys))
SKIFF_KUBE_TYPE(TopologySpreadConstraint, "maxSkew", "topologyKey", "whenUnsatisfiable")

BOOST_DESCRIBE_STRUCT(Sysctl, (), (name, value))
SKIFF_KUBE_TYPE(Sysctl, "name", "value")

BOOST_DESCRIBE_STRUCT(PodSecurityContext, (),
                      (seLinuxOptions, windowsOptions, runAsUser, runAsGroup, runAsNonRoot,
                       supplementalGroups, supplementalGroupsPolicy, fsGroup, sysctls,
                       fsGroupChangePolicy, seccompProfile, appArmorProfile, seLinuxChangePolicy))
SKIFF_KUBE_TYPE(PodSecurityContext)

BOOST_DESCRIBE_STRUCT(PodOS, (), (name))
SKIFF_KUBE_TYPE(PodOS, "name")

BOOST_DESCRIBE_STRUCT(PodSchedulingGate, (), (name))
SKIFF_KUBE_TYPE(PodSchedulingGate, "name")

BOOST_DESCRIBE_STRUCT(PodResourceClaim, (), (name, resourceClaimName, resourceClaimTemplateName))
SKIFF_KUBE_TYPE(PodResourceClaim, "name")

BOOST_DESCRIBE_STRUCT(PodSpec, (),
                      (volumes, initContainers, containers, ephemeralContainers, restartPolicy,
                       terminationGracePeriodSeconds, activeDeadlineSeconds, dnsPolicy,
                       nodeSelector, serviceAccountName, serviceAccount,
                       automountServiceAccountToken, nodeName, hostNetwork, hostPID, hostIPC,
                       shareProcessNamespace, securityContext, imagePullSecrets, hostname,
                       subdomain, affinity, schedulerName, tolerations, hostAliases,
                       priorityClassName, priority, dnsConfig, readinessGates, runtimeClassName,
                       enableServiceLinks, preemptionPolicy, overhead, topologySpreadConstraints,
                       setHostnameAsFQDN, os, hostUsers, schedulingGates, resourceClaims, resources,
                       hostnameOverride, schedulingGroup, evictionResponders))
SKIFF_KUBE_TYPE(PodSpec, "containers")

BOOST_DESCRIBE_STRUCT(PodCondition, (),
                      (type, observedGeneration, status, lastProbeTime, lastTransitionTime, reason,
                       message))
SKIFF_KUBE_TYPE(PodCondition, "type", "status")

BOOST_DESCRIBE_STRUCT(PodIP, (), (ip))
SKIFF_KUBE_TYPE(PodIP, "ip")

BOOST_DESCRIBE_STRUCT(HostIP, (), (ip))
SKIFF_KUBE_TYPE(HostIP, "ip")

BOOST_DESCRIBE_STRUCT(ContainerStateWaiting, (), (reason, message))
SKIFF_KUBE_TYPE(ContainerStateWaiting)

BOOST_DESCRIBE_STRUCT(ContainerStateRunning, (), (startedAt))
SKIFF_KUBE_TYPE(ContainerStateRunning)

BOOST_DESCRIBE_STRUCT(ContainerStateTerminated, (),
                      (exitCode, signal, reason, message, startedAt, finishedAt, containerID))
SKIFF_KUBE_TYPE(ContainerStateTerminated, "exitCode")

BOOST_DESCRIBE_STRUCT(ContainerState, (), (waiting, running, terminated))
SKIFF_KUBE_TYPE(ContainerState)

BOOST_DESCRIBE_STRUCT(VolumeMountStatus, (),
                      (name, mountPath, readOnly, recursiveReadOnly, volumeStatus))
SKIFF_KUBE_TYPE(VolumeMountStatus, "name", "mountPath")

BOOST_DESCRIBE_STRUCT(LinuxContainerUser, (), (uid, gid, supplementalGroups))
SKIFF_KUBE_TYPE(LinuxContainerUser, "uid", "gid")

BOOST_DESCRIBE_STRUCT(ContainerUser, (), (linux))
SKIFF_KUBE_TYPE(ContainerUser)

BOOST_DESCRIBE_STRUCT(ResourceHealth, (), (resourceID, health, message))
SKIFF_KUBE_TYPE(ResourceHealth, "resourceID")

BOOST_DESCRIBE_STRUCT(ResourceStatus, (), (name, resources))
SKIFF_KUBE_TYPE(ResourceStatus, "name")

BOOST_DESCRIBE_STRUCT(ContainerStatus, (),
                      (name, state, lastState, ready, restartCount, image, imageID, containerID,
                       started, allocatedResources, resources, volumeMounts, user,
                       allocatedResourcesStatus, stopSignal))
SKIFF_KUBE_TYPE(ContainerStatus, "name", "ready", "restartCount", "image", "imageID")

BOOST_DESCRIBE_STRUCT(PodStatus, (),
                      (observedGeneration, phase, conditions, message, reason, nominatedNodeName,
                       hostIP, hostIPs, podIP, podIPs, startTime, initContainerStatuses,
                       containerStatuses, qosClass, ephemeralContainerStatuses, resize,
                       resourceClaimStatuses, extendedResourceClaimStatus, allocatedResources,
                       resources, nodeAllocatableResourceClaimStatuses, volumeHealth))
SKIFF_KUBE_TYPE(PodStatus)

BOOST_DESCRIBE_STRUCT(Pod, (), (apiVersion, kind, metadata, spec, status))
SKIFF_KUBE_TYPE(Pod, "apiVersion", "kind")

BOOST_DESCRIBE_STRUCT(PodTemplateSpec, (), (metadata, spec))
SKIFF_KUBE_TYPE(PodTemplateSpec)

}  // namespace skiff::kube
