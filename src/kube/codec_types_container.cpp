// The codec tables of types_container.h: every member, and which are written even when empty.
#include "kube/codec_internal.h"

namespace skiff::kube {

BOOST_DESCRIBE_STRUCT(ContainerPort, (), (name, hostPort, containerPort, protocol, hostIP))
SKIFF_KUBE_TYPE(ContainerPort, "containerPort")

BOOST_DESCRIBE_STRUCT(FileKeySelector, (), (volumeName, path, key, optional))
SKIFF_KUBE_TYPE(FileKeySelector, "volumeName", "path", "key")

BOOST_DESCRIBE_STRUCT(ConfigMapKeySelector, (), (name, key, optional))
SKIFF_KUBE_TYPE(ConfigMapKeySelector, "key")

BOOST_DESCRIBE_STRUCT(SecretKeySelector, (), (name, key, optional))
SKIFF_KUBE_TYPE(SecretKeySelector, "key")

BOOST_DESCRIBE_STRUCT(EnvVarSource, (),
                      (fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef, fileKeyRef))
SKIFF_KUBE_TYPE(EnvVarSource)

BOOST_DESCRIBE_STRUCT(EnvVar, (), (name, value, valueFrom))
SKIFF_KUBE_TYPE(EnvVar, "name")

BOOST_DESCRIBE_STRUCT(ConfigMapEnvSource, (), (name, optional))
SKIFF_KUBE_TYPE(ConfigMapEnvSource)

BOOST_DESCRIBE_STRUCT(SecretEnvSource, (), (name, optional))
SKIFF_KUBE_TYPE(SecretEnvSource)

BOOST_DESCRIBE_STRUCT(EnvFromSource, (), (prefix, configMapRef, secretRef))
SKIFF_KUBE_TYPE(EnvFromSource)

BOOST_DESCRIBE_STRUCT(ResourceClaim, (), (name, request))
SKIFF_KUBE_TYPE(ResourceClaim, "name")

BOOST_DESCRIBE_STRUCT(ResourceRequirements, (), (limits, requests, claims))
SKIFF_KUBE_TYPE(ResourceRequirements)

BOOST_DESCRIBE_STRUCT(VolumeMount, (),
                      (name, readOnly, recursiveReadOnly, mountPath, subPath, mountPropagation,
                       subPathExpr, bindMountOptions))
SKIFF_KUBE_TYPE(VolumeMount, "name", "mountPath")

BOOST_DESCRIBE_STRUCT(VolumeDevice, (), (name, devicePath))
SKIFF_KUBE_TYPE(VolumeDevice, "name", "devicePath")

BOOST_DESCRIBE_STRUCT(ExecAction, (), (command))
SKIFF_KUBE_TYPE(ExecAction)

BOOST_DESCRIBE_STRUCT(HTTPHeader, (), (name, value))
SKIFF_KUBE_TYPE(HTTPHeader, "name", "value")

BOOST_DESCRIBE_STRUCT(HTTPGetAction, (), (path, port, host, scheme, httpHeaders, protocol))
SKIFF_KUBE_TYPE(HTTPGetAction, "port")

BOOST_DESCRIBE_STRUCT(TCPSocketAction, (), (port, host))
SKIFF_KUBE_TYPE(TCPSocketAction, "port")

BOOST_DESCRIBE_STRUCT(GRPCAction, (), (port, service, mode))
SKIFF_KUBE_TYPE(GRPCAction, "port")

BOOST_DESCRIBE_STRUCT(SleepAction, (), (seconds))
SKIFF_KUBE_TYPE(SleepAction, "seconds")

BOOST_DESCRIBE_STRUCT(Probe, (),
                      (exec, httpGet, tcpSocket, grpc, initialDelaySeconds, timeoutSeconds,
                       periodSeconds, successThreshold, failureThreshold,
                       terminationGracePeriodSeconds))
SKIFF_KUBE_TYPE(Probe)

BOOST_DESCRIBE_STRUCT(LifecycleHandler, (), (exec, httpGet, tcpSocket, sleep))
SKIFF_KUBE_TYPE(LifecycleHandler)

BOOST_DESCRIBE_STRUCT(Lifecycle, (), (postStart, preStop, stopSignal))
SKIFF_KUBE_TYPE(Lifecycle)

BOOST_DESCRIBE_STRUCT(Capabilities, (), (add, drop))
SKIFF_KUBE_TYPE(Capabilities)

BOOST_DESCRIBE_STRUCT(SELinuxOptions, (), (user, role, type, level))
SKIFF_KUBE_TYPE(SELinuxOptions)

BOOST_DESCRIBE_STRUCT(WindowsSecurityContextOptions, (),
                      (gmsaCredentialSpecName, gmsaCredentialSpec, runAsUserName, hostProcess))
SKIFF_KUBE_TYPE(WindowsSecurityContextOptions)

BOOST_DESCRIBE_STRUCT(SeccompProfile, (), (type, localhostProfile))
SKIFF_KUBE_TYPE(SeccompProfile, "type")

BOOST_DESCRIBE_STRUCT(AppArmorProfile, (), (type, localhostProfile))
SKIFF_KUBE_TYPE(AppArmorProfile, "type")

BOOST_DESCRIBE_STRUCT(SecurityContext, (),
                      (capabilities, privileged, seLinuxOptions, windowsOptions, runAsUser,
                       runAsGroup, runAsNonRoot, readOnlyRootFilesystem, allowPrivilegeEscalation,
                       procMount, seccompProfile, appArmorProfile))
SKIFF_KUBE_TYPE(SecurityContext)

BOOST_DESCRIBE_STRUCT(ContainerResizePolicy, (), (resourceName, restartPolicy))
SKIFF_KUBE_TYPE(ContainerResizePolicy, "resourceName", "restartPolicy")

BOOST_DESCRIBE_STRUCT(ContainerRestartRuleOnExitCodes, (), (operator_, values))
SKIFF_KUBE_TYPE(ContainerRestartRuleOnExitCodes)

BOOST_DESCRIBE_STRUCT(ContainerRestartRule, (), (action, exitCodes))
SKIFF_KUBE_TYPE(ContainerRestartRule)

BOOST_DESCRIBE_STRUCT(Container, (),
                      (name, image, command, args, workingDir, ports, envFrom, env, resources,
                       resizePolicy, restartPolicy, restartPolicyRules, volumeMounts, volumeDevices,
                       livenessProbe, readinessProbe, startupProbe, lifecycle,
                       terminationMessagePath, terminationMessagePolicy, imagePullPolicy,
                       securityContext, stdin, stdinOnce, tty))
SKIFF_KUBE_TYPE(Container, "name")

BOOST_DESCRIBE_STRUCT(EphemeralContainer, (Container), (targetContainerName))
SKIFF_KUBE_TYPE(EphemeralContainer)

}  // namespace skiff::kube
