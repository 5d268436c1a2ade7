// Containers: their environment, resources, mounts, probes, hooks, security context.
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

struct ContainerPort {
    std::string name;
    std::int32_t hostPort = 0;
    std::int32_t containerPort = 0;
    std::string protocol;
    std::string hostIP;
    friend bool operator==(const ContainerPort&, const ContainerPort&) = default;
};

struct FileKeySelector {
    std::string volumeName;
    std::string path;
    std::string key;
    std::optional<bool> optional;
    friend bool operator==(const FileKeySelector&, const FileKeySelector&) = default;
};

struct ConfigMapKeySelector {
    std::string name;
    std::string key;
    std::optional<bool> optional;
    friend bool operator==(const ConfigMapKeySelector&, const ConfigMapKeySelector&) = default;
};

struct SecretKeySelector {
    std::string name;
    std::string key;
    std::optional<bool> optional;
    friend bool operator==(const SecretKeySelector&, const SecretKeySelector&) = default;
};

struct EnvVarSource {
    std::optional<ObjectFieldSelector> fieldRef;
    std::optional<ResourceFieldSelector> resourceFieldRef;
    std::optional<ConfigMapKeySelector> configMapKeyRef;
    std::optional<SecretKeySelector> secretKeyRef;
    std::optional<FileKeySelector> fileKeyRef;
    friend bool operator==(const EnvVarSource&, const EnvVarSource&) = default;
};

struct EnvVar {
    std::string name;
    std::string value;
    std::optional<EnvVarSource> valueFrom;
    friend bool operator==(const EnvVar&, const EnvVar&) = default;
};

struct ConfigMapEnvSource {
    std::string name;
    std::optional<bool> optional;
    friend bool operator==(const ConfigMapEnvSource&, const ConfigMapEnvSource&) = default;
};

struct SecretEnvSource {
    std::string name;
    std::optional<bool> optional;
    friend bool operator==(const SecretEnvSource&, const SecretEnvSource&) = default;
};

struct EnvFromSource {
    std::string prefix;
    std::optional<ConfigMapEnvSource> configMapRef;
    std::optional<SecretEnvSource> secretRef;
    friend bool operator==(const EnvFromSource&, const EnvFromSource&) = default;
};

struct ResourceClaim {
    std::string name;
    std::string request;
    friend bool operator==(const ResourceClaim&, const ResourceClaim&) = default;
};

struct ResourceRequirements {
    ResourceList limits;
    ResourceList requests;
    std::vector<ResourceClaim> claims;
    friend bool operator==(const ResourceRequirements&, const ResourceRequirements&) = default;
};

struct VolumeMount {
    std::string name;
    bool readOnly = false;
    std::optional<std::string> recursiveReadOnly;
    std::string mountPath;
    std::string subPath;
    std::optional<std::string> mountPropagation;
    std::string subPathExpr;
    std::vector<std::string> bindMountOptions;
    friend bool operator==(const VolumeMount&, const VolumeMount&) = default;
};

struct VolumeDevice {
    std::string name;
    std::string devicePath;
    friend bool operator==(const VolumeDevice&, const VolumeDevice&) = default;
};

struct ExecAction {
    std::vector<std::string> command;
    friend bool operator==(const ExecAction&, const ExecAction&) = default;
};

struct HTTPHeader {
    std::string name;
    std::string value;
    friend bool operator==(const HTTPHeader&, const HTTPHeader&) = default;
};

struct HTTPGetAction {
    std::string path;
    IntOrString port;
    std::string host;
    std::string scheme;
    std::vector<HTTPHeader> httpHeaders;
    std::optional<std::string> protocol;
    friend bool operator==(const HTTPGetAction&, const HTTPGetAction&) = default;
};

struct TCPSocketAction {
    IntOrString port;
    std::string host;
    friend bool operator==(const TCPSocketAction&, const TCPSocketAction&) = default;
};

struct GRPCAction {
    std::int32_t port = 0;
    std::optional<std::string> service;
    std::optional<std::string> mode;
    friend bool operator==(const GRPCAction&, const GRPCAction&) = default;
};

struct SleepAction {
    std::int64_t seconds = 0;
    friend bool operator==(const SleepAction&, const SleepAction&) = default;
};

struct Probe {
    std::optional<ExecAction> exec;
    std::optional<HTTPGetAction> httpGet;
    std::optional<TCPSocketAction> tcpSocket;
    std::optional<GRPCAction> grpc;
    std::int32_t initialDelaySeconds = 0;
    std::int32_t timeoutSeconds = 0;
    std::int32_t periodSeconds = 0;
    std::int32_t successThreshold = 0;
    std::int32_t failureThreshold = 0;
    std::optional<std::int64_t> terminationGracePeriodSeconds;
    friend bool operator==(const Probe&, const Probe&) = default;
};

struct LifecycleHandler {
    std::optional<ExecAction> exec;
    std::optional<HTTPGetAction> httpGet;
    std::optional<TCPSocketAction> tcpSocket;
    std::optional<SleepAction> sleep;
    friend bool operator==(const LifecycleHandler&, const LifecycleHandler&) = default;
};

struct Lifecycle {
    std::optional<LifecycleHandler> postStart;
    std::optional<LifecycleHandler> preStop;
    std::optional<std::string> stopSignal;
    friend bool operator==(const Lifecycle&, const Lifecycle&) = default;
};

struct Capabilities {
    std::vector<std::string> add;
    std::vector<std::string> drop;
    friend bool operator==(const Capabilities&, const Capabilities&) = default;
};

struct SELinuxOptions {
    std::string user;
    std::string role;
    std::string type;
    std::string level;
    friend bool operator==(const SELinuxOptions&, const SELinuxOptions&) = default;
};

struct WindowsSecurityContextOptions {
    std::optional<std::string> gmsaCredentialSpecName;
    std::optional<std::string> gmsaCredentialSpec;
    std::optional<std::string> runAsUserName;
    std::optional<bool> hostProcess;
    friend bool operator==(const WindowsSecurityContextOptions&,
                           const WindowsSecurityContextOptions&) = default;
};

struct SeccompProfile {
    std::string type;
    std::optional<std::string> localhostProfile;
    friend bool operator==(const SeccompProfile&, const SeccompProfile&) = default;
};

struct AppArmorProfile {
    std::string type;
    std::optional<std::string> localhostProfile;
    friend bool operator==(const AppArmorProfile&, const AppArmorProfile&) = default;
};

struct SecurityContext {
    std::optional<Capabilities> capabilities;
    std::optional<bool> privileged;
    std::optional<SELinuxOptions> seLinuxOptions;
    std::optional<WindowsSecurityContextOptions> windowsOptions;
    std::optional<std::int64_t> runAsUser;
    std::optional<std::int64_t> runAsGroup;
    std::optional<bool> runAsNonRoot;
    std::optional<bool> readOnlyRootFilesystem;
    std::optional<bool> allowPrivilegeEscalation;
    std::optional<std::string> procMount;
    std::optional<SeccompProfile> seccompProfile;
    std::optional<AppArmorProfile> appArmorProfile;
    friend bool operator==(const SecurityContext&, const SecurityContext&) = default;
};

struct ContainerResizePolicy {
    std::string resourceName;
    std::string restartPolicy;
    friend bool operator==(const ContainerResizePolicy&, const ContainerResizePolicy&) = default;
};

struct ContainerRestartRuleOnExitCodes {
    std::string operator_;
    std::vector<std::int32_t> values;
    friend bool operator==(const ContainerRestartRuleOnExitCodes&,
                           const ContainerRestartRuleOnExitCodes&) = default;
};

struct ContainerRestartRule {
    std::string action;
    std::optional<ContainerRestartRuleOnExitCodes> exitCodes;
    friend bool operator==(const ContainerRestartRule&, const ContainerRestartRule&) = default;
};

struct Container {
    std::string name;
    std::string image;
    std::vector<std::string> command;
    std::vector<std::string> args;
    std::string workingDir;
    std::vector<ContainerPort> ports;
    std::vector<EnvFromSource> envFrom;
    std::vector<EnvVar> env;
    ResourceRequirements resources;
    std::vector<ContainerResizePolicy> resizePolicy;
    std::optional<std::string> restartPolicy;
    std::vector<ContainerRestartRule> restartPolicyRules;
    std::vector<VolumeMount> volumeMounts;
    std::vector<VolumeDevice> volumeDevices;
    std::optional<Probe> livenessProbe;
    std::optional<Probe> readinessProbe;
    std::optional<Probe> startupProbe;
    std::optional<Lifecycle> lifecycle;
    std::string terminationMessagePath;
    std::string terminationMessagePolicy;
    std::string imagePullPolicy;
    std::optional<SecurityContext> securityContext;
    bool stdin = false;
    bool stdinOnce = false;
    bool tty = false;
    friend bool operator==(const Container&, const Container&) = default;
};

struct EphemeralContainer : Container {
    std::string targetContainerName;
    friend bool operator==(const EphemeralContainer&, const EphemeralContainer&) = default;
};

}  // namespace skiff::kube
