#include "network/cni_request.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "base/text.h"
#include "kube/codec.h"

namespace skiff::network {

namespace json = boost::json;

namespace {

// IFNAMSIZ without its zero byte.
constexpr std::size_t kInterfaceBytesMax = 15;

json::array array_of(const std::vector<std::string>& texts) {
    json::array array;
    for (const std::string& text : texts) {
        array.emplace_back(text);
    }
    return array;
}

json::array mappings_of(const std::vector<CniPortMapping>& mappings) {
    json::array array;
    for (const CniPortMapping& mapping : mappings) {
        json::object entry;
        entry["hostPort"] = mapping.host_port;
        entry["containerPort"] = mapping.container_port;
        entry["protocol"] = mapping.protocol;
        if (!mapping.host_ip.empty()) {
            entry["hostIP"] = mapping.host_ip;
        }
        array.push_back(std::move(entry));
    }
    return array;
}

json::object bandwidth_of(const CniBandwidth& bandwidth) {
    json::object object;
    if (bandwidth.ingress_rate > 0) {
        object["ingressRate"] = bandwidth.ingress_rate;
        object["ingressBurst"] = bandwidth.ingress_burst;
    }
    if (bandwidth.egress_rate > 0) {
        object["egressRate"] = bandwidth.egress_rate;
        object["egressBurst"] = bandwidth.egress_burst;
    }
    return object;
}

json::object dns_of(const DnsConfig& dns) {
    json::object object;
    object["servers"] = array_of(dns.nameservers);
    object["searches"] = array_of(dns.searches);
    object["options"] = array_of(dns.options);
    return object;
}

// A list for each address, and in it the ranges that it may come from.
json::array ranges_of(const std::vector<std::string>& subnets) {
    json::array sets;
    for (const std::string& subnet : subnets) {
        json::object range;
        range["subnet"] = subnet;
        json::array set;
        set.push_back(std::move(range));
        sets.push_back(std::move(set));
    }
    return sets;
}

json::object annotations_of(const std::map<std::string, std::string>& annotations) {
    json::object object;
    for (const auto& [key, value] : annotations) {
        object[key] = value;
    }
    return object;
}

RawObject capabilities_of(const CniAttachment& attachment) {
    RawObject offered;
    const auto offer = [&](const char* name, const json::value& value) {
        offered.push_back({name, json::serialize(value)});
    };
    if (!attachment.port_mappings.empty()) {
        offer("portMappings", mappings_of(attachment.port_mappings));
    }
    if (attachment.bandwidth) {
        offer("bandwidth", bandwidth_of(*attachment.bandwidth));
    }
    if (attachment.dns != DnsConfig{}) {
        offer("dns", dns_of(attachment.dns));
    }
    if (!attachment.ip_ranges.empty()) {
        offer("ipRanges", ranges_of(attachment.ip_ranges));
    }
    if (!attachment.ips.empty()) {
        offer("ips", array_of(attachment.ips));
    }
    if (!attachment.mac.empty()) {
        offer("mac", json::string(attachment.mac));
    }
    if (!attachment.cgroup_path.empty()) {
        offer("cgroupPath", json::string(attachment.cgroup_path));
    }
    if (!attachment.pod_annotations.empty()) {
        offer("io.kubernetes.cri.pod-annotations", annotations_of(attachment.pod_annotations));
    }
    return offered;
}

Result<std::string> args_of(const CniAttachment& attachment) {
    // The names are Kubernetes' since the kubelet called plugins itself. IgnoreUnknown is for
    // plugins that know none of them.
    const std::pair<std::string_view, std::string_view> pairs[] = {
        {"K8S_POD_NAMESPACE", attachment.pod.ns},
        {"K8S_POD_NAME", attachment.pod.name},
        {"K8S_POD_INFRA_CONTAINER_ID", attachment.key.container_id},
        {"K8S_POD_UID", attachment.pod_uid.str()},
    };
    std::string args = "IgnoreUnknown=1";
    for (const auto& [name, value] : pairs) {
        if (value.find_first_of(std::string_view(";=\0", 3)) != std::string_view::npos) {
            return fail(Code::invalid, "{} {} has a character that CNI_ARGS cannot hold", name,
                        shown_cni(value));
        }
        args += fmt::format(";{}={}", name, value);
    }
    return args;
}

}  // namespace

std::string_view to_string(CniCommand command) {
    switch (command) {
        case CniCommand::add:
            return "ADD";
        case CniCommand::del:
            return "DEL";
        case CniCommand::check:
            return "CHECK";
        case CniCommand::gc:
            return "GC";
        case CniCommand::status:
            return "STATUS";
        case CniCommand::version:
            return "VERSION";
    }
    return "";
}

Result<void> check_cni_key(const CniKey& key) {
    if (!is_cni_name(key.container_id)) {
        return fail(Code::invalid, "{} is no container id of CNI", shown_cni(key.container_id));
    }
    const std::string& name = key.interface;
    const bool has_odd = std::ranges::any_of(name, [](char c) {
        return c == '/' || c == ':' || static_cast<unsigned char>(c) <= ' ' || c == '\x7f';
    });
    if (name.empty() || name.size() > kInterfaceBytesMax || name == "." || name == ".." ||
        has_odd || bounded_utf8(name, kInterfaceBytesMax) != name) {
        return fail(Code::invalid, "{} is no name of a network interface", shown_cni(name));
    }
    return {};
}

Result<CniParameters> make_cni_parameters(const CniAttachment& attachment) {
    SKIFF_CHECK(check_cni_key(attachment.key));
    CniParameters parameters;
    parameters.key = attachment.key;
    parameters.network_namespace = attachment.network_namespace.string();
    if (!parameters.network_namespace.empty() && !attachment.network_namespace.is_absolute()) {
        return fail(Code::invalid, "network namespace {}: not an absolute path",
                    shown_cni(parameters.network_namespace));
    }
    SKIFF_TRY(parameters.args, args_of(attachment));
    parameters.capabilities = capabilities_of(attachment);
    if (format_raw(parameters.capabilities).size() > kCniCapabilityBytesMax.value) {
        return fail(Code::exhausted, "port mappings and annotations are larger than {} as JSON",
                    kCniCapabilityBytesMax);
    }
    return parameters;
}

std::vector<std::string> format_cni_environment(
    CniCommand command, const CniParameters* parameters,
    const std::vector<std::filesystem::path>& plugin_folders) {
    std::vector<std::string> variables;
    variables.push_back(fmt::format("CNI_COMMAND={}", to_string(command)));
    std::string path;
    for (const auto& folder : plugin_folders) {
        path += (path.empty() ? "" : ":") + folder.string();
    }
    variables.push_back("CNI_PATH=" + path);
    if (parameters != nullptr) {
        variables.push_back("CNI_CONTAINERID=" + parameters->key.container_id);
        variables.push_back("CNI_NETNS=" + parameters->network_namespace);
        variables.push_back("CNI_IFNAME=" + parameters->key.interface);
        variables.push_back("CNI_ARGS=" + parameters->args);
    }
    return variables;
}

RawObject make_cni_request(const CniConfig& config, const CniPlugin& plugin) {
    RawObject request = plugin.members;
    std::erase_if(request, [](const RawMember& member) {
        return member.name == "capabilities" || member.name == "prevResult" ||
               member.name.starts_with("cni.dev/");
    });
    set_raw(request, "cniVersion", kube::quote_json(to_string(config.version)));
    set_raw(request, "name", kube::quote_json(config.name));
    return request;
}

void add_attachment(RawObject& request, const CniPlugin& plugin, const CniParameters& parameters,
                    std::string_view previous_result) {
    RawObject given;
    for (const RawMember& capability : parameters.capabilities) {
        if (std::ranges::find(plugin.capabilities, capability.name) != plugin.capabilities.end()) {
            given.push_back(capability);
        }
    }
    if (!given.empty()) {
        set_raw(request, "runtimeConfig", format_raw(given));
    }
    if (!previous_result.empty()) {
        set_raw(request, "prevResult", std::string(previous_result));
    }
}

void add_valid_attachments(RawObject& request, const std::vector<CniKey>& valid) {
    json::array attachments;
    for (const CniKey& key : valid) {
        json::object entry;
        entry["containerID"] = key.container_id;
        entry["ifname"] = key.interface;
        attachments.push_back(std::move(entry));
    }
    const std::string text = json::serialize(attachments);
    set_raw(request, "cni.dev/valid-attachments", text);
    // The name that the first text of 1.1 had: a plugin made by it would take a missing list for an
    // empty one, and free everything.
    set_raw(request, "cni.dev/attachments", text);
}

std::string format_cni_version_request(CniVersion version) {
    return fmt::format("{{\"cniVersion\":\"{}\"}}", to_string(version));
}

}  // namespace skiff::network
