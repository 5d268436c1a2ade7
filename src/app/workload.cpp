#include "app/workload.h"

#include <cstdlib>
#include <filesystem>

#include "app/publish.h"
#include "base/text.h"
#include "kube/codec.h"
#include "kube/defaults.h"
#include "kube/validate.h"

namespace skiff::app {

namespace {

constexpr std::string_view kRunnable = "Pod, Deployment, Job, CronJob, ConfigMap, Secret";
// Kinds that a manifest for a cluster often holds and that mean nothing to one machine's pods.
constexpr std::string_view kLeftAside[] = {"Service",
                                           "Namespace",
                                           "ServiceAccount",
                                           "RuntimeClass",
                                           "Ingress",
                                           "NetworkPolicy",
                                           "Role",
                                           "RoleBinding",
                                           "ClusterRole",
                                           "ClusterRoleBinding",
                                           "LimitRange",
                                           "ResourceQuota",
                                           "HorizontalPodAutoscaler",
                                           "PodDisruptionBudget"};

// There is no cluster DNS here: what the manifest leaves open is the machine's.
void use_machines_names(kube::Pod& pod) {
    if (pod.spec.dnsPolicy.empty()) {
        pod.spec.dnsPolicy = "Default";
    }
}

Result<void> add_set(Workload& workload, PodSet set, const kube::Document& document) {
    if (set.name.empty()) {
        return fail(Code::invalid, "{}: metadata.name is empty", place_of(document));
    }
    if (set.pod.metadata.namespace_.empty()) {
        set.pod.metadata.namespace_ = "default";
    }
    if (set.count < 0 || set.count > kWorkloadPodsMax) {
        return fail(Code::invalid, "{}: {} pods are not in 0–{}", place_of(document), set.count,
                    kWorkloadPodsMax);
    }
    use_machines_names(set.pod);
    kube::apply_defaults(set.pod);
    auto valid = kube::validate(set.pod);
    if (!valid) {
        return fail(std::move(valid.error()).context(place_of(document)));
    }
    workload.sets.push_back(std::move(set));
    return {};
}

PodSet set_of_template(const kube::ObjectMeta& owner, kube::PodTemplateSpec spec) {
    PodSet set;
    set.name = owner.name;
    set.pod.metadata = std::move(spec.metadata);
    // Templates have no name; each pod gets one of its own later.
    set.pod.metadata.name = owner.name;
    set.pod.metadata.namespace_ = owner.namespace_;
    set.pod.spec = std::move(spec.spec);
    return set;
}

Result<PodSet> set_of_job(const kube::ObjectMeta& owner, kube::JobSpec spec,
                          const kube::Document& document) {
    PodSet set = set_of_template(owner, std::move(spec.template_));
    set.kind = PodSet::Kind::job;
    set.count = spec.completions.value_or(1);
    set.parallel = std::max(1, spec.parallelism.value_or(1));
    set.failures_max = spec.backoffLimit.value_or(6);
    const std::string& policy = set.pod.spec.restartPolicy;
    if (policy != "Never" && policy != "OnFailure") {
        return fail(
            Code::invalid,
            "{}: spec.template.spec.restartPolicy: \"{}\" is not allowed in a Job; allowed: "
            "OnFailure, Never",
            place_of(document), bounded_utf8(policy, 80));
    }
    return set;
}

Result<void> add_document(Workload& workload, const kube::Document& document) {
    if (document.kind == "Pod") {
        SKIFF_TRY(kube::Pod pod, kube::from_document<kube::Pod>(document));
        PodSet set;
        set.name = pod.metadata.name;
        set.pod = std::move(pod);
        return add_set(workload, std::move(set), document);
    }
    if (document.kind == "Deployment") {
        SKIFF_TRY(kube::Deployment object, kube::from_document<kube::Deployment>(document));
        PodSet set = set_of_template(object.metadata, std::move(object.spec.template_));
        set.kind = PodSet::Kind::deployment;
        set.count = object.spec.replicas.value_or(1);
        return add_set(workload, std::move(set), document);
    }
    if (document.kind == "Job") {
        SKIFF_TRY(kube::Job object, kube::from_document<kube::Job>(document));
        SKIFF_TRY(PodSet set, set_of_job(object.metadata, std::move(object.spec), document));
        return add_set(workload, std::move(set), document);
    }
    if (document.kind == "CronJob") {
        SKIFF_TRY(kube::CronJob object, kube::from_document<kube::CronJob>(document));
        SKIFF_TRY(PodSet set,
                  set_of_job(object.metadata, std::move(object.spec.jobTemplate.spec), document));
        workload.warnings.push_back(
            fmt::format("{}: run once now; its schedule is for a cluster", place_of(document)));
        return add_set(workload, std::move(set), document);
    }
    if (document.kind == "ConfigMap") {
        SKIFF_TRY(kube::ConfigMap object, kube::from_document<kube::ConfigMap>(document));
        workload.config_maps.push_back(std::make_shared<kube::ConfigMap>(std::move(object)));
        return {};
    }
    if (document.kind == "Secret") {
        SKIFF_TRY(kube::Secret object, kube::from_document<kube::Secret>(document));
        for (const auto& [key, value] : object.stringData) {
            object.data[key] = kube::Base64{value};
        }
        object.stringData.clear();
        workload.secrets.push_back(std::make_shared<kube::Secret>(std::move(object)));
        return {};
    }
    if (std::find(std::begin(kLeftAside), std::end(kLeftAside), document.kind) !=
        std::end(kLeftAside)) {
        workload.warnings.push_back(place_of(document) + ": left aside, it needs a cluster");
        return {};
    }
    return fail(Code::invalid, "{}: this kind cannot be run here; allowed: {}", place_of(document),
                kRunnable);
}

}  // namespace

Result<Workload> parse_workload(std::string_view text) {
    SKIFF_TRY(auto documents, kube::parse_manifest(text));
    Workload workload;
    for (const kube::Document& document : documents) {
        SKIFF_CHECK(add_document(workload, document));
    }
    std::int64_t pods = 0;
    std::map<std::string, int> names;
    for (const PodSet& set : workload.sets) {
        pods += set.count;
        if (++names[set.pod.metadata.namespace_ + "/" + set.name] > 1) {
            return fail(Code::invalid, "two documents run pods named \"{}\"", set.name);
        }
    }
    if (pods == 0 || pods > kWorkloadPodsMax) {
        return fail(Code::invalid, "the file asks for {} pods; allowed: 1–{}", pods,
                    kWorkloadPodsMax);
    }
    return workload;
}

static Result<kube::EnvVar> parse_env(const std::string& text) {
    std::size_t equals = text.find('=');
    std::string name = text.substr(0, equals);
    if (name.empty()) {
        return fail(Code::invalid, "-e \"{}\": not NAME=VALUE or NAME", bounded_utf8(text, 80));
    }
    kube::EnvVar variable;
    variable.name = name;
    if (equals != std::string::npos) {
        variable.value = text.substr(equals + 1);
    } else if (const char* own = std::getenv(name.c_str())) {
        variable.value = own;
    }
    return variable;
}

static Result<void> add_volume(kube::Pod& pod, const std::string& text) {
    auto parts = split(text, ':');
    bool read_only = parts.size() == 3 && parts[2] == "ro";
    bool access_known = parts.size() == 2 || read_only || (parts.size() == 3 && parts[2] == "rw");
    if (!access_known || parts[0].empty() || !parts[1].starts_with('/')) {
        return fail(Code::invalid, "-v \"{}\": not HOST:CONTAINER[:ro], CONTAINER an absolute path",
                    bounded_utf8(text, 200));
    }
    std::error_code error;
    auto host = std::filesystem::absolute(std::filesystem::path(parts[0]), error);
    if (error || !std::filesystem::exists(host, error)) {
        return fail(Code::not_found, "-v \"{}\": {} does not exist", bounded_utf8(text, 200),
                    host.string());
    }
    kube::Volume volume;
    volume.name = fmt::format("v{}", pod.spec.volumes.size());
    volume.hostPath.emplace();
    volume.hostPath->path = host.lexically_normal().string();
    kube::VolumeMount mount;
    mount.name = volume.name;
    mount.mountPath = parts[1];
    mount.readOnly = read_only;
    pod.spec.volumes.push_back(std::move(volume));
    pod.spec.containers[0].volumeMounts.push_back(std::move(mount));
    return {};
}

static Result<void> add_limit(kube::Container& container, const std::string& resource,
                              const std::string& text, std::string_view flag) {
    if (text.empty()) {
        return {};
    }
    // As podman and docker write it: 64m is 64 MiB there, and milli-bytes in Kubernetes.
    std::string value = text;
    if (resource == "memory" && !value.empty()) {
        char unit = value.back();
        if (unit == 'm' || unit == 'k' || unit == 'g' || unit == 'M' || unit == 'K' ||
            unit == 'G') {
            value.back() = unit == 'k' ? 'K' : static_cast<char>(std::toupper(unit));
            value += 'i';
        }
    }
    auto quantity = kube::Quantity::parse(value);
    if (!quantity || quantity->value() < 0) {
        return fail(Code::invalid, "{} \"{}\": not a quantity such as {}", flag,
                    bounded_utf8(text, 80), resource == "memory" ? "64m or 64Mi" : "0.5");
    }
    container.resources.limits[resource] = *quantity;
    return {};
}

Result<kube::Pod> pod_of_image(const ImageRun& run) {
    kube::Pod pod;
    pod.metadata.name = run.name;
    pod.metadata.namespace_ = "default";
    pod.spec.restartPolicy = "Never";
    pod.spec.enableServiceLinks = false;
    use_machines_names(pod);
    kube::Container container;
    container.name = run.name;
    container.image = run.image;
    container.args = run.args;
    container.workingDir = run.working_dir;
    container.stdin = run.interactive;
    container.tty = run.terminal;
    if (!run.runtime.empty()) {
        pod.spec.runtimeClassName = run.runtime;
    }
    for (const std::string& text : run.annotations) {
        const std::size_t equals = text.find('=');
        if (equals == std::string::npos || equals == 0) {
            return fail(Code::invalid, "--annotation \"{}\": not KEY=VALUE", text);
        }
        pod.metadata.annotations[text.substr(0, equals)] = text.substr(equals + 1);
    }
    for (const std::string& text : run.env) {
        SKIFF_TRY(kube::EnvVar variable, parse_env(text));
        container.env.push_back(std::move(variable));
    }
    SKIFF_TRY(container.ports, parse_published(run.ports));
    SKIFF_CHECK(add_limit(container, "memory", run.memory, "--memory"));
    SKIFF_CHECK(add_limit(container, "cpu", run.cpus, "--cpus"));
    pod.spec.containers.push_back(std::move(container));
    for (const std::string& text : run.volumes) {
        SKIFF_CHECK(add_volume(pod, text));
    }
    kube::apply_defaults(pod);
    return pod;
}

}  // namespace skiff::app
