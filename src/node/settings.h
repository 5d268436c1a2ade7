// What src/app tells this room about the node. A value.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/time.h"
#include "base/types.h"
#include "kube/types.h"

namespace skiff::node {

struct NodeSettings {
    std::string name;              // metadata.name of the Node, lower case
    std::string hostname;          // label kubernetes.io/hostname and address Hostname; empty: name
    std::vector<std::string> ips;  // InternalIP addresses, at least one, at most one per family
    std::uint16_t port = 10250;    // of the kubelet API
    std::filesystem::path root_dir = "/var/lib/skiff";
    std::filesystem::path cert_dir = "/var/lib/skiff/pki";
    std::filesystem::path kubeconfig = "/etc/skiff/kubeconfig";
    std::filesystem::path bootstrap_kubeconfig = "/etc/skiff/bootstrap-kubeconfig";
    std::vector<std::string> api_servers;  // further addresses of the kubeconfigs' API server
    bool rotate_certificates = true;       // the client certificate is renewed in time
    bool server_tls_bootstrap = false;     // the cluster signs the certificate of port 10250

    // Added to (and winning over) the labels that every Skiff node has.
    std::map<std::string, std::string> labels;
    std::vector<kube::Taint> taints;  // set at registration only: a node may not change them later
    enum class Registration { by_itself, by_somebody_else } registration = Registration::by_itself;
    std::string provider_id;

    std::int64_t max_pods = 110;
    std::int64_t status_images_max = 50;  // in the node's status; -1: all
    kube::ResourceList system_reserved;
    kube::ResourceList kube_reserved;
    // "memory.available" → "100Mi", "imagefs.inodesFree" → "5%": where pressure begins.
    std::map<std::string, std::string> eviction_hard;
    // Of RuntimeClasses; "" stands for pods without one.
    std::vector<std::string> runtime_handlers = {"", "wasmtime", "pulley", "wasmi"};

    Duration status_update_frequency = std::chrono::seconds(10);
    Duration status_report_frequency = std::chrono::minutes(5);
    std::int64_t lease_duration_seconds = 40;
};

}  // namespace skiff::node
