// Objects of the node: Node, Lease, Event; and small objects it reads: ConfigMap, Secret,
// Service, RuntimeClass.
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

namespace skiff::kube {

struct Taint {
    std::string key;
    std::string value;
    std::string effect;
    std::optional<Time> timeAdded;
    friend bool operator==(const Taint&, const Taint&) = default;
};

struct NodeSpec {
    std::string podCIDR;
    std::vector<std::string> podCIDRs;
    std::string providerID;
    bool unschedulable = false;
    std::vector<Taint> taints;
    std::optional<RawJson> configSource;
    std::string externalID;
    std::optional<RawJson> podPreemptionPolicy;
    friend bool operator==(const NodeSpec&, const NodeSpec&) = default;
};

struct NodeCondition {
    std::string type;
    std::string status;
    std::optional<Time> lastHeartbeatTime;
    std::optional<Time> lastTransitionTime;
    std::string reason;
    std::string message;
    friend bool operator==(const NodeCondition&, const NodeCondition&) = default;
};

struct NodeAddress {
    std::string type;
    std::string address;
    friend bool operator==(const NodeAddress&, const NodeAddress&) = default;
};

struct DaemonEndpoint {
    std::int32_t Port = 0;
    friend bool operator==(const DaemonEndpoint&, const DaemonEndpoint&) = default;
};

struct NodeDaemonEndpoints {
    DaemonEndpoint kubeletEndpoint;
    friend bool operator==(const NodeDaemonEndpoints&, const NodeDaemonEndpoints&) = default;
};

struct NodeSwapStatus {
    std::optional<std::int64_t> capacity;
    friend bool operator==(const NodeSwapStatus&, const NodeSwapStatus&) = default;
};

// tidy: allow names: the API's own name
struct NodeSystemInfo {
    std::string machineID;
    std::string systemUUID;
    std::string bootID;
    std::string kernelVersion;
    std::string osImage;
    std::string containerRuntimeVersion;
    std::string kubeletVersion;
    std::string kubeProxyVersion;
    std::string operatingSystem;
    std::string architecture;
    std::optional<NodeSwapStatus> swap;
    std::optional<bool> runningInUserNamespace;
    friend bool operator==(const NodeSystemInfo&, const NodeSystemInfo&) = default;
};

struct ContainerImage {
    std::vector<std::string> names;
    std::int64_t sizeBytes = 0;
    friend bool operator==(const ContainerImage&, const ContainerImage&) = default;
};

struct AttachedVolume {
    std::string name;
    std::string devicePath;
    friend bool operator==(const AttachedVolume&, const AttachedVolume&) = default;
};

struct NodeRuntimeHandlerFeatures {
    std::optional<bool> recursiveReadOnlyMounts;
    std::optional<bool> userNamespaces;
    friend bool operator==(const NodeRuntimeHandlerFeatures&,
                           const NodeRuntimeHandlerFeatures&) = default;
};

struct NodeRuntimeHandler {
    std::string name;
    std::optional<NodeRuntimeHandlerFeatures> features;
    friend bool operator==(const NodeRuntimeHandler&, const NodeRuntimeHandler&) = default;
};

struct NodeFeatures {
    std::optional<bool> supplementalGroupsPolicy;
    friend bool operator==(const NodeFeatures&, const NodeFeatures&) = default;
};

struct NodeStatus {
    ResourceList capacity;
    ResourceList allocatable;
    std::string phase;
    std::vector<NodeCondition> conditions;
    std::vector<NodeAddress> addresses;
    NodeDaemonEndpoints daemonEndpoints;
    NodeSystemInfo nodeInfo;
    std::vector<ContainerImage> images;
    std::vector<std::string> volumesInUse;
    std::vector<AttachedVolume> volumesAttached;
    std::optional<RawJson> config;
    std::vector<NodeRuntimeHandler> runtimeHandlers;
    std::optional<NodeFeatures> features;
    std::vector<std::string> declaredFeatures;
    friend bool operator==(const NodeStatus&, const NodeStatus&) = default;
};

struct Node {
    std::string apiVersion = "v1";
    std::string kind = "Node";
    ObjectMeta metadata;
    NodeSpec spec;
    NodeStatus status;
    friend bool operator==(const Node&, const Node&) = default;
};

struct LeaseSpec {
    std::optional<std::string> holderIdentity;
    std::optional<std::int32_t> leaseDurationSeconds;
    std::optional<MicroTime> acquireTime;
    std::optional<MicroTime> renewTime;
    std::optional<std::int32_t> leaseTransitions;
    std::optional<std::string> strategy;
    std::optional<std::string> preferredHolder;
    friend bool operator==(const LeaseSpec&, const LeaseSpec&) = default;
};

struct Lease {
    std::string apiVersion = "coordination.k8s.io/v1";
    std::string kind = "Lease";
    ObjectMeta metadata;
    LeaseSpec spec;
    friend bool operator==(const Lease&, const Lease&) = default;
};

struct EventSource {
    std::string component;
    std::string host;
    friend bool operator==(const EventSource&, const EventSource&) = default;
};

struct EventSeries {
    std::int32_t count = 0;
    std::optional<MicroTime> lastObservedTime;
    friend bool operator==(const EventSeries&, const EventSeries&) = default;
};

struct Event {
    std::string apiVersion = "v1";
    std::string kind = "Event";
    ObjectMeta metadata;
    ObjectReference involvedObject;
    std::string reason;
    std::string message;
    EventSource source;
    std::optional<Time> firstTimestamp;
    std::optional<Time> lastTimestamp;
    std::int32_t count = 0;
    std::string type;
    std::optional<MicroTime> eventTime;
    std::optional<EventSeries> series;
    std::string action;
    std::optional<ObjectReference> related;
    std::string reportingComponent;
    std::string reportingInstance;
    friend bool operator==(const Event&, const Event&) = default;
};

struct ConfigMap {
    std::string apiVersion = "v1";
    std::string kind = "ConfigMap";
    ObjectMeta metadata;
    std::optional<bool> immutable;
    std::map<std::string, std::string> data;
    std::map<std::string, Base64> binaryData;
    friend bool operator==(const ConfigMap&, const ConfigMap&) = default;
};

struct Secret {
    std::string apiVersion = "v1";
    std::string kind = "Secret";
    ObjectMeta metadata;
    std::optional<bool> immutable;
    std::map<std::string, Base64> data;
    std::map<std::string, std::string> stringData;
    std::string type;
    friend bool operator==(const Secret&, const Secret&) = default;
};

struct ServicePort {
    std::string name;
    std::string protocol;
    std::optional<std::string> appProtocol;
    std::int32_t port = 0;
    IntOrString targetPort;
    std::int32_t nodePort = 0;
    friend bool operator==(const ServicePort&, const ServicePort&) = default;
};

struct ServiceSpec {
    std::vector<ServicePort> ports;
    std::map<std::string, std::string> selector;
    std::string clusterIP;
    std::vector<std::string> clusterIPs;
    std::string type;
    std::vector<std::string> externalIPs;
    std::string sessionAffinity;
    std::string loadBalancerIP;
    std::vector<std::string> loadBalancerSourceRanges;
    std::string externalName;
    std::string externalTrafficPolicy;
    std::int32_t healthCheckNodePort = 0;
    bool publishNotReadyAddresses = false;
    std::optional<RawJson> sessionAffinityConfig;
    std::vector<std::string> ipFamilies;
    std::optional<std::string> ipFamilyPolicy;
    std::optional<bool> allocateLoadBalancerNodePorts;
    std::optional<std::string> loadBalancerClass;
    std::optional<std::string> internalTrafficPolicy;
    std::optional<std::string> trafficDistribution;
    friend bool operator==(const ServiceSpec&, const ServiceSpec&) = default;
};

struct ServiceStatus {
    Ignored loadBalancer;
    std::vector<Condition> conditions;
    friend bool operator==(const ServiceStatus&, const ServiceStatus&) = default;
};

struct Service {
    std::string apiVersion = "v1";
    std::string kind = "Service";
    ObjectMeta metadata;
    ServiceSpec spec;
    ServiceStatus status;
    friend bool operator==(const Service&, const Service&) = default;
};

struct RuntimeClassOverhead {
    ResourceList podFixed;
    friend bool operator==(const RuntimeClassOverhead&, const RuntimeClassOverhead&) = default;
};

struct RuntimeClassScheduling {
    std::map<std::string, std::string> nodeSelector;
    std::vector<Toleration> tolerations;
    friend bool operator==(const RuntimeClassScheduling&, const RuntimeClassScheduling&) = default;
};

struct RuntimeClass {
    std::string apiVersion = "node.k8s.io/v1";
    std::string kind = "RuntimeClass";
    ObjectMeta metadata;
    std::string handler;
    std::optional<RuntimeClassOverhead> overhead;
    std::optional<RuntimeClassScheduling> scheduling;
    friend bool operator==(const RuntimeClass&, const RuntimeClass&) = default;
};

}  // namespace skiff::kube
