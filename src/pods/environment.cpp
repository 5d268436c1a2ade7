#include "pods/environment.h"

#include <cctype>

#include "base/text.h"
#include "kube/pod_fields.h"
#include "pods/env_file.h"
#include "pods/observed.h"

namespace skiff::pods {
namespace {

constexpr std::string_view kConfigError = "CreateContainerConfigError";

// Names in order, each once; a later value replaces an earlier one.
class Ordered {
public:
    void set(const std::string& name, std::string value) {
        if (!values_.contains(name)) {
            order_.push_back(name);
        }
        values_[name] = std::move(value);
    }
    void set_if_absent(const std::string& name, std::string value) {
        if (!values_.contains(name)) {
            set(name, std::move(value));
        }
    }
    [[nodiscard]] const Variables& values() const { return values_; }
    [[nodiscard]] std::vector<std::string> lines() const {
        std::vector<std::string> lines;
        lines.reserve(order_.size());
        for (const std::string& name : order_) {
            lines.push_back(name + "=" + values_.at(name));
        }
        return lines;
    }

private:
    std::vector<std::string> order_;
    Variables values_;
};

std::string environment_name(std::string_view service) {
    std::string name;
    for (char c : service) {
        name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    return name;
}

void add_service(Variables& out, const kube::Service& service) {
    const std::string& ip = service.spec.clusterIP;
    if (ip.empty() || ip == "None" || service.spec.ports.empty()) {
        return;
    }
    std::string name = environment_name(service.metadata.name);
    std::string host = ip.find(':') == std::string::npos ? ip : "[" + ip + "]";
    out[name + "_SERVICE_HOST"] = ip;
    out[name + "_SERVICE_PORT"] = std::to_string(service.spec.ports.front().port);
    bool first = true;
    for (const kube::ServicePort& port : service.spec.ports) {
        if (!port.name.empty()) {
            out[name + "_SERVICE_PORT_" + environment_name(port.name)] = std::to_string(port.port);
        }
        std::string upper = port.protocol.empty() ? "TCP" : port.protocol;
        std::string lower = to_lower(upper);
        std::string url = fmt::format("{}://{}:{}", lower, host, port.port);
        if (first) {
            out[name + "_PORT"] = url;
            first = false;
        }
        std::string prefix = fmt::format("{}_PORT_{}_{}", name, port.port, upper);
        out[prefix] = url;
        out[prefix + "_PROTO"] = lower;
        out[prefix + "_PORT"] = std::to_string(port.port);
        out[prefix + "_ADDR"] = ip;
    }
}

// Who reads for one container; lives in the coroutine of resolve_environment().
struct Reading {
    EnvironmentSources sources;
    std::shared_ptr<const kube::Pod> pod;
    const kube::Container& container;
    PodFacts facts;
    Ordered out;
    Variables services;
};

Error config_error(Error error) {
    return std::move(error).with_reason(kConfigError);
}

bool is_optional(const std::optional<bool>& optional) {
    return optional.value_or(false);
}

Task<Result<void>> read_env_from(Reading& reading, const kube::EnvFromSource& source) {
    if (source.configMapRef) {
        auto map =
            co_await reading.sources.objects.config_map(*reading.pod, source.configMapRef->name);
        if (map) {
            for (const auto& [key, value] : (*map)->data) {
                reading.out.set(source.prefix + key, value);
            }
        } else if (map.error().code != Code::not_found ||
                   !is_optional(source.configMapRef->optional)) {
            co_return fail(config_error(std::move(map.error())));
        }
    }
    if (source.secretRef) {
        auto secret = co_await reading.sources.objects.secret(*reading.pod, source.secretRef->name);
        if (secret) {
            for (const auto& [key, value] : (*secret)->data) {
                reading.out.set(source.prefix + key, value.bytes);
            }
        } else if (secret.error().code != Code::not_found ||
                   !is_optional(source.secretRef->optional)) {
            co_return fail(config_error(std::move(secret.error())));
        }
    }
    co_return Result<void>();
}

// nullopt: optional and missing, so the variable is not set at all.
using Found = std::optional<std::string>;

Task<Result<Found>> read_config_map_key(Reading& reading, const kube::ConfigMapKeySelector& ref) {
    auto map = co_await reading.sources.objects.config_map(*reading.pod, ref.name);
    if (!map) {
        if (map.error().code == Code::not_found && is_optional(ref.optional)) {
            co_return Found();
        }
        co_return fail(config_error(std::move(map.error())));
    }
    auto found = (*map)->data.find(ref.key);
    if (found != (*map)->data.end()) {
        co_return Found(found->second);
    }
    if (is_optional(ref.optional)) {
        co_return Found();
    }
    co_return fail_because(Code::not_found, kConfigError, "couldn't find key {} in ConfigMap {}/{}",
                           ref.key, reading.pod->metadata.namespace_, ref.name);
}

Task<Result<Found>> read_secret_key(Reading& reading, const kube::SecretKeySelector& ref) {
    auto secret = co_await reading.sources.objects.secret(*reading.pod, ref.name);
    if (!secret) {
        if (secret.error().code == Code::not_found && is_optional(ref.optional)) {
            co_return Found();
        }
        co_return fail(config_error(std::move(secret.error())));
    }
    auto found = (*secret)->data.find(ref.key);
    if (found != (*secret)->data.end()) {
        co_return Found(found->second.bytes);
    }
    if (is_optional(ref.optional)) {
        co_return Found();
    }
    co_return fail_because(Code::not_found, kConfigError, "couldn't find key {} in Secret {}/{}",
                           ref.key, reading.pod->metadata.namespace_, ref.name);
}

// Contract row 68.
Task<Result<Found>> read_file_key(Reading& reading, const kube::FileKeySelector& ref) {
    auto volume = reading.sources.mounted.find(ref.volumeName);
    if (volume == reading.sources.mounted.end()) {
        co_return fail_because(Code::invalid, kConfigError,
                               "cannot find the volume \"{}\" referenced by fileKeyRef: a "
                               "container of the pod must mount it",
                               ref.volumeName);
    }
    auto text = co_await reading.sources.volumes.read_file(volume->second, ref.path);
    if (!text && text.error().code == Code::not_found && is_optional(ref.optional)) {
        co_return Found();
    }
    auto found =
        text ? find_in_env_file(*text, ref.key) : Result<Found>(fail(std::move(text.error())));
    if (!found) {
        auto what = fmt::format("couldn't parse env file {} of the volume \"{}\"", ref.path,
                                ref.volumeName);
        co_return fail(config_error(std::move(found.error()).context(what)));
    }
    if (!*found && !is_optional(ref.optional)) {
        co_return fail_because(Code::not_found, kConfigError,
                               "environment variable key \"{}\" not found in file {} of the "
                               "volume \"{}\"",
                               ref.key, ref.path, ref.volumeName);
    }
    co_return found;
}

// A field that a variable may show ("metadata.labels['app']", "status.podIP" …).
Result<std::string> field_value(const kube::Pod& pod, const PodFacts& facts,
                                std::string_view field_path) {
    if (auto known = kube::metadata_field(pod, field_path)) {
        return std::move(*known);
    }
    auto first = [](const std::vector<std::string>& list) {
        return list.empty() ? std::string() : list.front();
    };
    if (field_path == "spec.nodeName") {
        return pod.spec.nodeName.empty() ? facts.node_name : pod.spec.nodeName;
    }
    if (field_path == "spec.serviceAccountName") {
        return pod.spec.serviceAccountName;
    }
    if (field_path == "status.hostIP") {
        return first(facts.host_ips);
    }
    if (field_path == "status.hostIPs") {
        return fmt::format("{}", fmt::join(facts.host_ips, ","));
    }
    if (field_path == "status.podIP") {
        return first(facts.pod_ips);
    }
    if (field_path == "status.podIPs") {
        return fmt::format("{}", fmt::join(facts.pod_ips, ","));
    }
    return fail(Code::invalid, "unsupported fieldPath: {}", field_path);
}

Result<std::string> resource_value(const Reading& reading,
                                   const kube::ResourceFieldSelector& selector) {
    const kube::Container* of = &reading.container;
    if (!selector.containerName.empty()) {
        of = kube::find_container(*reading.pod, selector.containerName);
        if (of == nullptr) {
            return fail(Code::invalid, "container {} not found", selector.containerName);
        }
    }
    return kube::resource_field(*of, reading.facts.allocatable, selector);
}

Result<Found> read_own(const Reading& reading, const kube::EnvVarSource& source) {
    Result<std::string> value = std::string();
    if (source.fieldRef) {
        value = field_value(*reading.pod, reading.facts, source.fieldRef->fieldPath);
    } else if (source.resourceFieldRef) {
        value = resource_value(reading, *source.resourceFieldRef);
    } else {
        value = fail(Code::unsupported, "an env source of an unknown kind");
    }
    if (!value) {
        return fail(config_error(std::move(value.error())));
    }
    return Found(std::move(*value));
}

Task<Result<void>> read_variable(Reading& reading, const kube::EnvVar& variable) {
    if (!variable.valueFrom) {
        Variables known = reading.services;
        for (const auto& [name, value] : reading.out.values()) {
            known[name] = value;
        }
        reading.out.set(variable.name, expand(variable.value, known));
        co_return Result<void>();
    }
    const kube::EnvVarSource& source = *variable.valueFrom;
    Result<Found> value = Found();
    if (source.configMapKeyRef) {
        value = co_await read_config_map_key(reading, *source.configMapKeyRef);
    } else if (source.secretKeyRef) {
        value = co_await read_secret_key(reading, *source.secretKeyRef);
    } else if (source.fileKeyRef) {
        value = co_await read_file_key(reading, *source.fileKeyRef);
    } else {
        value = read_own(reading, source);
    }
    if (!value) {
        co_return fail(std::move(value.error()));
    }
    if (*value) {
        reading.out.set(variable.name, std::move(**value));
    }
    co_return Result<void>();
}

}  // namespace

Variables service_variables(const std::vector<std::shared_ptr<const kube::Service>>& services,
                            std::string_view ns, ServiceLinks links) {
    Variables variables;
    for (const auto& service : services) {
        if (service->metadata.namespace_ == "default" && service->metadata.name == "kubernetes") {
            add_service(variables, *service);
        }
    }
    if (links == ServiceLinks::on) {
        for (const auto& service : services) {
            if (service->metadata.namespace_ == ns) {
                add_service(variables, *service);
            }
        }
    }
    return variables;
}

Task<Result<Environment>> resolve_environment(EnvironmentSources sources,
                                              std::shared_ptr<const kube::Pod> pod,
                                              std::string container, PodFacts facts,
                                              std::vector<std::string> image_env,
                                              std::string hostname) {
    const kube::Container* spec = kube::find_container(*pod, container);
    if (spec == nullptr) {
        co_return fail_because(Code::invalid, kConfigError, "container {} not found", container);
    }
    auto services = sources.objects.services();
    if (!services && !is_static(*pod)) {
        co_return fail_because(Code::unavailable, kConfigError,
                               "services have not yet been read at least once, cannot construct "
                               "envvars");
    }
    Reading reading{std::move(sources), pod, *spec, std::move(facts), {}, {}};
    if (services) {
        reading.services = service_variables(
            *services, pod->metadata.namespace_,
            pod->spec.enableServiceLinks.value_or(true) ? ServiceLinks::on : ServiceLinks::off);
    }
    for (const kube::EnvFromSource& source : spec->envFrom) {
        auto read = co_await read_env_from(reading, source);
        if (!read) {
            co_return fail(std::move(read.error()));
        }
    }
    for (const kube::EnvVar& variable : spec->env) {
        auto read = co_await read_variable(reading, variable);
        if (!read) {
            co_return fail(std::move(read.error()));
        }
    }
    for (const auto& [name, value] : reading.services) {
        reading.out.set_if_absent(name, value);
    }
    Environment environment;
    environment.declared = reading.out.values();
    Ordered all;
    for (const std::string& line : image_env) {
        std::size_t equals = line.find('=');
        if (equals != std::string::npos && equals > 0) {
            all.set(line.substr(0, equals), line.substr(equals + 1));
        }
    }
    for (const std::string& line : reading.out.lines()) {
        std::size_t equals = line.find('=');
        all.set(line.substr(0, equals), line.substr(equals + 1));
    }
    all.set_if_absent("HOSTNAME", hostname);
    environment.variables = all.lines();
    co_return environment;
}

}  // namespace skiff::pods
