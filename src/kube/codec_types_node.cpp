// The codec tables of types_node.h: every member, and which are written even when empty.
#include "kube/codec_internal.h"

namespace skiff::kube {

BOOST_DESCRIBE_STRUCT(Taint, (), (key, value, effect, timeAdded))
SKIFF_KUBE_TYPE(Taint, "key", "effect")

BOOST_DESCRIBE_STRUCT(NodeSpec, (),
                      (podCIDR, podCIDRs, providerID, unschedulable, taints, configSource,
                       externalID, podPreemptionPolicy))
SKIFF_KUBE_TYPE(NodeSpec)

BOOST_DESCRIBE_STRUCT(NodeCondition, (),
                      (type, status, lastHeartbeatTime, lastTransitionTime, reason, message))
SKIFF_KUBE_TYPE(NodeCondition, "type", "status")

BOOST_DESCRIBE_STRUCT(NodeAddress, (), (type, address))
SKIFF_KUBE_TYPE(NodeAddress, "type", "address")

BOOST_DESCRIBE_STRUCT(DaemonEndpoint, (), (Port))
SKIFF_KUBE_TYPE(DaemonEndpoint, "Port")

BOOST_DESCRIBE_STRUCT(NodeDaemonEndpoints, (), (kubeletEndpoint))
SKIFF_KUBE_TYPE(NodeDaemonEndpoints)

BOOST_DESCRIBE_STRUCT(NodeSwapStatus, (), (capacity))
SKIFF_KUBE_TYPE(NodeSwapStatus)

BOOST_DESCRIBE_STRUCT(NodeSystemInfo, (),
                      (machineID, systemUUID, bootID, kernelVersion, osImage,
                       containerRuntimeVersion, kubeletVersion, kubeProxyVersion, operatingSystem,
                       architecture, swap, runningInUserNamespace))
SKIFF_KUBE_TYPE(NodeSystemInfo, "machineID", "systemUUID", "bootID", "kernelVersion", "osImage",
                "containerRuntimeVersion", "kubeletVersion", "kubeProxyVersion", "operatingSystem",
                "architecture")

BOOST_DESCRIBE_STRUCT(ContainerImage, (), (names, sizeBytes))
SKIFF_KUBE_TYPE(ContainerImage, "names")

BOOST_DESCRIBE_STRUCT(AttachedVolume, (), (name, devicePath))
SKIFF_KUBE_TYPE(AttachedVolume, "name", "devicePath")

BOOST_DESCRIBE_STRUCT(NodeRuntimeHandlerFeatures, (), (recursiveReadOnlyMounts, userNamespaces))
SKIFF_KUBE_TYPE(NodeRuntimeHandlerFeatures)

BOOST_DESCRIBE_STRUCT(NodeRuntimeHandler, (), (name, features))
SKIFF_KUBE_TYPE(NodeRuntimeHandler, "name")

BOOST_DESCRIBE_STRUCT(NodeFeatures, (), (supplementalGroupsPolicy))
SKIFF_KUBE_TYPE(NodeFeatures)

BOOST_DESCRIBE_STRUCT(NodeStatus, (),
                      (capacity, allocatable, phase, conditions, addresses, daemonEndpoints,
                       nodeInfo, images, volumesInUse, volumesAttached, config, runtimeHandlers,
                       features, declaredFeatures))
SKIFF_KUBE_TYPE(NodeStatus)

BOOST_DESCRIBE_STRUCT(Node, (), (apiVersion, kind, metadata, spec, status))
SKIFF_KUBE_TYPE(Node, "apiVersion", "kind")

BOOST_DESCRIBE_STRUCT(LeaseSpec, (),
                      (holderIdentity, leaseDurationSeconds, acquireTime, renewTime,
                       leaseTransitions, strategy, preferredHolder))
SKIFF_KUBE_TYPE(LeaseSpec)

BOOST_DESCRIBE_STRUCT(Lease, (), (apiVersion, kind, metadata, spec))
SKIFF_KUBE_TYPE(Lease, "apiVersion", "kind")

BOOST_DESCRIBE_STRUCT(EventSource, (), (component, host))
SKIFF_KUBE_TYPE(EventSource)

BOOST_DESCRIBE_STRUCT(EventSeries, (), (count, lastObservedTime))
SKIFF_KUBE_TYPE(EventSeries)

BOOST_DESCRIBE_STRUCT(Event, (),
                      (apiVersion, kind, metadata, involvedObject, reason, message, source,
                       firstTimestamp, lastTimestamp, count, type, eventTime, series, action,
                       related, reportingComponent, reportingInstance))
SKIFF_KUBE_TYPE(Event, "apiVersion", "kind", "reportingComponent", "reportingInstance")

BOOST_DESCRIBE_STRUCT(ConfigMap, (), (apiVersion, kind, metadata, immutable, data, binaryData))
SKIFF_KUBE_TYPE(ConfigMap, "apiVersion", "kind")

BOOST_DESCRIBE_STRUCT(Secret, (), (apiVersion, kind, metadata, immutable, data, stringData, type))
SKIFF_KUBE_TYPE(Secret, "apiVersion", "kind")

BOOST_DESCRIBE_STRUCT(ServicePort, (), (name, protocol, appProtocol, port, targetPort, nodePort))
SKIFF_KUBE_TYPE(ServicePort, "port")

BOOST_DESCRIBE_STRUCT(ServiceSpec, (),
                      (ports, selector, clusterIP, clusterIPs, type, externalIPs, sessionAffinity,
                       loadBalancerIP, loadBalancerSourceRanges, externalName,
                       externalTrafficPolicy, healthCheckNodePort, publishNotReadyAddresses,
                       sessionAffinityConfig, ipFamilies, ipFamilyPolicy,
                       allocateLoadBalancerNodePorts, loadBalancerClass, internalTrafficPolicy,
                       trafficDistribution))
SKIFF_KUBE_TYPE(ServiceSpec)

BOOST_DESCRIBE_STRUCT(ServiceStatus, (), (loadBalancer, conditions))
SKIFF_KUBE_TYPE(ServiceStatus)

BOOST_DESCRIBE_STRUCT(Service, (), (apiVersion, kind, metadata, spec, status))
SKIFF_KUBE_TYPE(Service, "apiVersion", "kind")

BOOST_DESCRIBE_STRUCT(RuntimeClassOverhead, (), (podFixed))
SKIFF_KUBE_TYPE(RuntimeClassOverhead)

BOOST_DESCRIBE_STRUCT(RuntimeClassScheduling, (), (nodeSelector, tolerations))
SKIFF_KUBE_TYPE(RuntimeClassScheduling)

BOOST_DESCRIBE_STRUCT(RuntimeClass, (), (apiVersion, kind, metadata, handler, overhead, scheduling))
SKIFF_KUBE_TYPE(RuntimeClass, "apiVersion", "kind", "handler")

}  // namespace skiff::kube
