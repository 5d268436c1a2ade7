// The effective settings of a Skiff node: defaults, then /etc/skiff/config.yaml, then flags.
//
// Every setting is declared once, in fields.cpp: name, flag, meaning, default, validator.
// docs/config.md and `skiff node --help` are made from that table.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "base/types.h"

namespace skiff::config {

struct TaintSetting {
    std::string key;
    std::string value;
    std::string effect;  // NoSchedule, PreferNoSchedule, NoExecute
};

// Header fields of a request. Their values may be credentials: they are never shown.
struct HeaderSettings {
    std::map<std::string, std::vector<std::string>> fields;
};

// One registry (SkiffConfiguration `registries`).
struct RegistrySetting {
    std::string host;  // "registry.example:5000", as image references name it
    enum class Scheme { https, http } scheme = Scheme::https;
    enum class Verify { certificate, nothing } verify = Verify::certificate;
    std::filesystem::path ca_file;     // empty: the system's authorities
    std::vector<std::string> mirrors;  // asked first, in order: "mirror.example:5000[/prefix]"
};

// One group of pods that end together when the machine goes down.
struct ShutdownSetting {
    std::int64_t priority = 0;  // the lowest in the group
    std::int64_t seconds = 0;
};

struct Settings {
    // Identity and places. Empty strings are filled in by resolve().
    std::string node_name;
    std::string node_ip;
    std::filesystem::path root_dir = "/var/lib/skiff";
    std::filesystem::path run_dir = "/run/skiff";
    // Default: /var/log/pods; beside a kubelet, which sweeps that, /var/log/skiff/pods.
    std::filesystem::path pod_log_dir;
    // Default: `containers` beside pod_log_dir; where that one is the default, /var/log/containers.
    std::filesystem::path container_log_dir;
    std::filesystem::path cert_dir;  // default: root_dir/pki
    std::filesystem::path kubeconfig = "/etc/skiff/kubeconfig";
    std::filesystem::path bootstrap_kubeconfig = "/etc/skiff/bootstrap-kubeconfig";
    std::string cgroup_root;            // empty: below the agent's own cgroup
    std::filesystem::path engine_path;  // skiff-engine; default: beside this program, else in PATH

    // Serving.
    std::string address = "0.0.0.0";
    std::int64_t port = 10250;
    std::string healthz_bind_address = "127.0.0.1";
    std::int64_t healthz_port = 10248;
    std::filesystem::path client_ca_file;
    std::filesystem::path tls_cert_file;
    std::filesystem::path tls_private_key_file;
    bool rotate_certificates = true;
    bool server_tls_bootstrap = false;
    bool anonymous_auth = false;
    bool enable_debugging_handlers = true;
    bool webhook_auth = true;
    Duration webhook_auth_cache_ttl = std::chrono::minutes(2);
    std::string authorization_mode = "Webhook";
    Duration authorized_cache_ttl = std::chrono::minutes(5);
    Duration unauthorized_cache_ttl = std::chrono::seconds(30);

    // How the node looks to the cluster.
    std::map<std::string, std::string> node_labels;
    std::vector<TaintSetting> register_with_taints = {
        {"kubernetes.io/arch", "wasm32-wasi", "NoSchedule"},
        {"kubernetes.io/arch", "wasm32-wasi", "NoExecute"}};
    bool register_node = true;
    std::string provider_id;
    std::int64_t max_pods = 110;
    std::int64_t pods_per_core = 0;
    std::map<std::string, std::string> system_reserved;
    std::map<std::string, std::string> kube_reserved;
    std::map<std::string, std::string> eviction_hard = {{"memory.available", "100Mi"},
                                                        {"nodefs.available", "10%"},
                                                        {"nodefs.inodesFree", "5%"},
                                                        {"imagefs.available", "15%"},
                                                        {"imagefs.inodesFree", "5%"}};
    bool merge_default_eviction_settings = false;
    std::map<std::string, std::string> eviction_soft;
    std::map<std::string, std::string> eviction_soft_grace_period;
    std::map<std::string, std::string> eviction_minimum_reclaim;
    Duration eviction_pressure_transition_period = std::chrono::minutes(5);
    std::int64_t eviction_max_pod_grace_period = 0;  // seconds
    std::int64_t node_status_max_images = 50;
    Duration node_status_update_frequency = std::chrono::seconds(10);
    Duration node_status_report_frequency = std::chrono::minutes(5);
    std::int64_t node_lease_duration_seconds = 40;
    std::vector<std::string> cluster_dns;
    std::string pod_cidr;              // one, or two of different families with a comma
    std::string pod_network = "auto";  // or "cni", "routed", "node"
    std::filesystem::path cni_conf_dir = "/etc/cni/net.d";
    // Where upstream, Debian and Fedora put the plugins.
    std::vector<std::string> cni_bin_dirs = {"/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"};
    bool cni_exclusive = false;
    Duration runtime_request_timeout = std::chrono::minutes(2);
    std::string pod_routes = "auto";  // or "vxlan", "host-gw", "none"
    std::string cluster_domain = "cluster.local";
    std::filesystem::path resolv_conf = "/etc/resolv.conf";

    // Pods.
    std::filesystem::path static_pod_path;
    std::string static_pod_url;
    HeaderSettings static_pod_url_header;
    Duration http_check_frequency = std::chrono::seconds(20);
    Duration sync_frequency = std::chrono::minutes(1);
    Duration file_check_frequency = std::chrono::seconds(20);
    Bytes container_log_max_size = 10_MiB;
    std::int64_t container_log_max_files = 5;
    Bytes container_log_max_per_second = 8_MiB;  // 0: no limit
    Duration shutdown_grace_period{};
    Duration shutdown_grace_period_critical_pods{};
    std::vector<ShutdownSetting> shutdown_by_priority;
    bool shutdown_on_term = false;
    Duration max_container_restart_period = std::chrono::minutes(5);
    bool host_path_machine_ids = true;

    // Images and compiling.
    bool serialize_image_pulls = false;
    std::int64_t max_parallel_image_pulls = 4;
    std::int64_t image_gc_high = 85;  // percent of the disk
    std::int64_t image_gc_low = 80;
    Duration image_minimum_age = std::chrono::minutes(2);
    Duration image_maximum_age{};  // zero: kept however old
    std::vector<RegistrySetting> registries;
    std::filesystem::path docker_config;  // the node's own registry credentials
    Duration compile_timeout = std::chrono::minutes(5);
    Bytes compile_memory;  // zero: a quarter of the machine, at least 2 GiB where there is as much
    std::vector<std::string> default_egress;
    bool wasi03 = true;

    // The API server.
    std::vector<std::string> api_servers;  // beside the kubeconfig's
    std::int64_t kube_api_qps = 50;
    std::int64_t kube_api_burst = 100;
    std::string k3s_tunnel = "auto";  // or "off", or the URL of the endpoint

    std::string log_level = "info";
    std::string logging_format = "text";
    std::int64_t logging_verbosity = 0;
};

}  // namespace skiff::config
