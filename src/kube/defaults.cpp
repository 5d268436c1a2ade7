#include "kube/defaults.h"

#include <array>

namespace skiff::kube {

namespace {

constexpr std::int64_t kGracePeriodSeconds = 30;
constexpr std::int32_t kVolumeMode = 0644;
constexpr std::int64_t kTokenSeconds = 3600;

void fill(std::string& field, std::string_view value) {
    if (field.empty()) {
        field = value;
    }
}

template <typename T>
void fill(std::optional<T>& field, T value) {
    if (!field) {
        field = std::move(value);
    }
}

void fill(std::int32_t& field, std::int32_t value) {
    if (field == 0) {
        field = value;
    }
}

void fill(std::optional<ObjectFieldSelector>& selector) {
    if (selector) {
        fill(selector->apiVersion, "v1");
    }
}

void fill(std::optional<HTTPGetAction>& action) {
    if (action) {
        fill(action->path, "/");
        fill(action->scheme, "HTTP");
    }
}

void fill(std::optional<Probe>& probe) {
    if (!probe) {
        return;
    }
    fill(probe->timeoutSeconds, 1);
    fill(probe->periodSeconds, 10);
    fill(probe->successThreshold, 1);
    fill(probe->failureThreshold, 3);
    fill(probe->httpGet);
    if (probe->grpc) {
        fill(probe->grpc->service, std::string());
    }
}

void fill(std::optional<LifecycleHandler>& handler) {
    if (handler) {
        fill(handler->httpGet);
    }
}

void fill(Container& container) {
    fill(container.imagePullPolicy, default_pull_policy(container.image));
    fill(container.terminationMessagePath, "/dev/termination-log");
    fill(container.terminationMessagePolicy, "File");
    for (ContainerPort& port : container.ports) {
        fill(port.protocol, "TCP");
    }
    for (EnvVar& variable : container.env) {
        if (variable.valueFrom) {
            fill(variable.valueFrom->fieldRef);
            if (variable.valueFrom->fileKeyRef) {
                fill(variable.valueFrom->fileKeyRef->optional, false);
            }
        }
    }
    fill(container.livenessProbe);
    fill(container.readinessProbe);
    fill(container.startupProbe);
    if (container.lifecycle) {
        fill(container.lifecycle->postStart);
        fill(container.lifecycle->preStop);
    }
}

void fill(std::vector<DownwardAPIVolumeFile>& files) {
    for (DownwardAPIVolumeFile& file : files) {
        fill(file.fieldRef);
    }
}

bool has_source(const Volume& volume) {
    Volume empty;
    empty.name = volume.name;
    return volume != empty;
}

void fill(ProjectedVolumeSource& projected) {
    fill(projected.defaultMode, kVolumeMode);
    for (VolumeProjection& source : projected.sources) {
        if (source.downwardAPI) {
            fill(source.downwardAPI->items);
        }
        if (source.serviceAccountToken) {
            fill(source.serviceAccountToken->expirationSeconds, kTokenSeconds);
        }
    }
}

void fill(Volume& volume) {
    if (!has_source(volume)) {
        volume.emptyDir.emplace();
    }
    if (volume.configMap) {
        fill(volume.configMap->defaultMode, kVolumeMode);
    }
    if (volume.secret) {
        fill(volume.secret->defaultMode, kVolumeMode);
    }
    if (volume.downwardAPI) {
        fill(volume.downwardAPI->defaultMode, kVolumeMode);
        fill(volume.downwardAPI->items);
    }
    if (volume.projected) {
        fill(*volume.projected);
    }
    if (volume.hostPath) {
        fill(volume.hostPath->type, std::string());
    }
    if (volume.ephemeral && volume.ephemeral->volumeClaimTemplate) {
        fill(volume.ephemeral->volumeClaimTemplate->spec.volumeMode, std::string("Filesystem"));
    }
    if (volume.image) {
        fill(volume.image->pullPolicy, default_pull_policy(volume.image->reference));
    }
}

void fill(PodSpec& spec) {
    fill(spec.serviceAccountName, spec.serviceAccount);
    spec.serviceAccount = spec.serviceAccountName;
    fill(spec.dnsPolicy, "ClusterFirst");
    fill(spec.restartPolicy, "Always");
    fill(spec.securityContext, PodSecurityContext());
    fill(spec.terminationGracePeriodSeconds, kGracePeriodSeconds);
    fill(spec.schedulerName, "default-scheduler");
    for (Container& container : spec.containers) {
        fill(container);
    }
    for (Container& container : spec.initContainers) {
        fill(container);
    }
    for (EphemeralContainer& container : spec.ephemeralContainers) {
        fill(static_cast<Container&>(container));
    }
    for (Volume& volume : spec.volumes) {
        fill(volume);
    }
}

void fill_pod_only(std::vector<Container>& containers, bool host_network) {
    for (Container& container : containers) {
        for (const auto& [name, limit] : container.resources.limits) {
            container.resources.requests.emplace(name, limit);
        }
        for (ContainerPort& port : container.ports) {
            if (host_network) {
                fill(port.hostPort, port.containerPort);
            }
        }
    }
}

constexpr std::array<std::string_view, 2> kQosResources = {"cpu", "memory"};

const Quantity* find_positive(const ResourceList& list, std::string_view name) {
    auto found = list.find(std::string(name));
    return found == list.end() || found->second.is_zero() ? nullptr : &found->second;
}

struct QosVerdict {
    bool any = false;        // some request or limit
    bool guaranteed = true;  // everything limited, requests equal to limits
};

void judge(const ResourceRequirements& resources, QosVerdict& verdict) {
    for (std::string_view name : kQosResources) {
        const Quantity* limit = find_positive(resources.limits, name);
        const Quantity* request = find_positive(resources.requests, name);
        verdict.any = verdict.any || limit != nullptr || request != nullptr;
        // A missing request means the limit, as the API server fills it in.
        bool equal = limit != nullptr && (request == nullptr || *request == *limit);
        verdict.guaranteed = verdict.guaranteed && equal;
    }
}

}  // namespace

void apply_defaults(PodTemplateSpec& pod_template) {
    fill(pod_template.spec);
}

void apply_defaults(Pod& pod) {
    fill(pod.spec);
    if (pod.spec.terminationGracePeriodSeconds < 0) {
        pod.spec.terminationGracePeriodSeconds = 1;
    }
    fill_pod_only(pod.spec.containers, pod.spec.hostNetwork);
    fill_pod_only(pod.spec.initContainers, pod.spec.hostNetwork);
    fill(pod.spec.enableServiceLinks, true);
    fill(pod.status.phase, "Pending");
    fill(pod.status.qosClass, qos_class(pod.spec));
}

std::string_view qos_class(const PodSpec& spec) {
    QosVerdict verdict;
    if (spec.resources) {
        // Pod-level resources decide alone where they are set.
        judge(*spec.resources, verdict);
    } else {
        for (const Container& container : spec.containers) {
            judge(container.resources, verdict);
        }
        for (const Container& container : spec.initContainers) {
            judge(container.resources, verdict);
        }
    }
    if (!verdict.any) {
        return "BestEffort";
    }
    return verdict.guaranteed ? "Guaranteed" : "Burstable";
}

std::string_view default_pull_policy(std::string_view image) {
    auto name = image.substr(image.rfind('/') + 1);
    auto digest = name.find('@');
    auto tag = name.substr(0, digest).rfind(':');
    bool latest = tag == std::string_view::npos
                      ? digest == std::string_view::npos
                      : name.substr(tag + 1, digest - tag - 1) == "latest";
    return latest ? "Always" : "IfNotPresent";
}

}  // namespace skiff::kube
