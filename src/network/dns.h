// The text of a pod's /etc/hosts and /etc/resolv.conf (contract row 50). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kube/types.h"

namespace skiff::network {

struct DnsConfig {
    std::vector<std::string> nameservers;
    std::vector<std::string> searches;
    std::vector<std::string> options;  // "ndots:5"
    friend bool operator==(const DnsConfig&, const DnsConfig&) = default;
};

// resolv.conf(5) as the kubelet reads it: unknown lines are skipped, the last `search` wins.
[[nodiscard]] DnsConfig parse_resolv_conf(std::string_view text);
[[nodiscard]] std::string format_resolv_conf(const DnsConfig& config);

struct ClusterDns {
    std::vector<std::string> servers;
    std::string domain;  // "cluster.local"
};

struct FormedDns {
    DnsConfig config;
    // What had to be left out or changed, for a Warning event: its reason and message.
    struct Complaint {
        std::string reason;  // DNSConfigForming, MissingClusterDNS
        std::string message;
    };
    std::vector<Complaint> complaints;
};
// dnsPolicy and dnsConfig of the pod applied to what node and cluster offer, cut to the limits that
// resolvers have: 3 nameservers, 32 searches of 2048 characters together.
[[nodiscard]] FormedDns form_dns(const kube::Pod& pod, const DnsConfig& node,
                                 const ClusterDns& cluster);

// The pod's own host name: hostnameOverride, else spec.hostname, else its name (63 characters);
// with hostNetwork the node's. With setHostnameAsFQDN the full one.
[[nodiscard]] std::string pod_hostname(const kube::Pod& pod, const std::string& node_hostname,
                                       const ClusterDns& cluster);

// The managed file; with hostNetwork the node's own text under another header.
[[nodiscard]] std::string hosts_text(const kube::Pod& pod, const std::vector<std::string>& pod_ips,
                                     std::string_view node_hosts, const ClusterDns& cluster);

}  // namespace skiff::network
