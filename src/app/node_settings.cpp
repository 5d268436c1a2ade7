#include "app/node_settings.h"

#include "base/log.h"

namespace skiff::app {

static kube::ResourceList resources_of(const std::map<std::string, std::string>& texts) {
    kube::ResourceList list;
    for (const auto& [name, text] : texts) {
        if (auto quantity = kube::Quantity::parse(text)) {
            list[name] = *quantity;
        } else {
            log::warn("reserved resource ignored", log::kv("name", name), log::kv("value", text));
        }
    }
    return list;
}

node::NodeSettings node_settings(const config::Settings& settings,
                                 std::vector<std::string> node_ips) {
    node::NodeSettings its;
    its.name = settings.node_name;
    its.hostname = settings.node_name;
    its.ips = std::move(node_ips);
    its.port = static_cast<std::uint16_t>(settings.port);
    its.root_dir = settings.root_dir;
    its.cert_dir = settings.cert_dir;
    its.kubeconfig = settings.kubeconfig;
    its.bootstrap_kubeconfig = settings.bootstrap_kubeconfig;
    its.api_servers = settings.api_servers;
    its.rotate_certificates = settings.rotate_certificates;
    its.server_tls_bootstrap = settings.server_tls_bootstrap;
    its.labels = settings.node_labels;
    for (const config::TaintSetting& taint : settings.register_with_taints) {
        kube::Taint one;
        one.key = taint.key;
        one.value = taint.value;
        one.effect = taint.effect;
        its.taints.push_back(std::move(one));
    }
    its.registration = settings.register_node ? node::NodeSettings::Registration::by_itself
                                              : node::NodeSettings::Registration::by_somebody_else;
    its.provider_id = settings.provider_id;
    its.max_pods = settings.max_pods;
    its.status_images_max = settings.node_status_max_images;
    its.system_reserved = resources_of(settings.system_reserved);
    its.kube_reserved = resources_of(settings.kube_reserved);
    its.eviction_hard = settings.eviction_hard;
    its.status_update_frequency = settings.node_status_update_frequency;
    its.status_report_frequency = settings.node_status_report_frequency;
    its.lease_duration_seconds = settings.node_lease_duration_seconds;
    return its;
}

std::vector<pods::ShutdownGroup> shutdown_groups(const config::Settings& settings) {
    std::vector<pods::ShutdownGroup> groups;
    for (const config::ShutdownSetting& group : settings.shutdown_by_priority) {
        groups.push_back(
            {static_cast<std::int32_t>(group.priority), std::chrono::seconds(group.seconds)});
    }
    return groups.empty() ? pods::shutdown_groups(settings.shutdown_grace_period,
                                                  settings.shutdown_grace_period_critical_pods)
                          : groups;
}

}  // namespace skiff::app
