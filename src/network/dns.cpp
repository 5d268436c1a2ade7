#include "network/dns.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/text.h"

namespace skiff::network {

namespace {

constexpr std::size_t kNameserversMax = 3;
constexpr std::size_t kSearchesMax = 32;
constexpr std::size_t kSearchBytesMax = 2048;
constexpr std::size_t kHostnameBytesMax = 63;

std::vector<std::string> words_of(std::string_view line) {
    std::vector<std::string> words;
    std::string word;
    for (char c : line) {
        if (c == ' ' || c == '\t') {
            if (!word.empty()) {
                words.push_back(std::move(word));
                word.clear();
            }
        } else {
            word += c;
        }
    }
    if (!word.empty()) {
        words.push_back(std::move(word));
    }
    return words;
}

void add_new(std::vector<std::string>& to, const std::vector<std::string>& from) {
    for (const std::string& item : from) {
        if (std::find(to.begin(), to.end(), item) == to.end()) {
            to.push_back(item);
        }
    }
}

std::string option_name(const std::string& option) {
    return option.substr(0, option.find(':'));
}

// An option of the pod replaces one of the same name.
void merge_options(std::vector<std::string>& options,
                   const std::vector<kube::PodDNSConfigOption>& of_pod) {
    for (const auto& option : of_pod) {
        std::string text = option.name;
        if (option.value && !option.value->empty()) {
            text += ":" + *option.value;
        }
        auto same = std::find_if(options.begin(), options.end(), [&](const std::string& present) {
            return option_name(present) == option.name;
        });
        if (same == options.end()) {
            options.push_back(text);
        } else {
            *same = text;
        }
    }
}

void cut_searches(FormedDns& formed) {
    auto& searches = formed.config.searches;
    std::size_t before = searches.size();
    std::size_t bytes = 0;
    std::size_t keep = 0;
    while (keep < searches.size() && keep < kSearchesMax) {
        bytes += searches[keep].size() + (keep == 0 ? 0 : 1);
        if (bytes > kSearchBytesMax) {
            break;
        }
        ++keep;
    }
    if (keep < before) {
        searches.resize(keep);
        formed.complaints.push_back(
            {"DNSConfigForming",
             fmt::format("Search Line limits were exceeded, some search paths have been omitted, "
                         "the applied search line is: {}",
                         fmt::join(searches, " "))});
    }
}

void cut_nameservers(FormedDns& formed) {
    auto& nameservers = formed.config.nameservers;
    if (nameservers.size() > kNameserversMax) {
        nameservers.resize(kNameserversMax);
        formed.complaints.push_back(
            {"DNSConfigForming",
             fmt::format("Nameserver limits were exceeded, some nameservers have been omitted, the "
                         "applied nameserver line is: {}",
                         fmt::join(nameservers, " "))});
    }
}

bool wants_cluster_dns(const kube::Pod& pod) {
    const std::string& policy = pod.spec.dnsPolicy;
    return policy == "ClusterFirstWithHostNet" ||
           ((policy == "ClusterFirst" || policy.empty()) && !pod.spec.hostNetwork);
}

std::string pod_domain(const kube::Pod& pod, const ClusterDns& cluster) {
    if (pod.spec.subdomain.empty()) {
        return {};
    }
    return fmt::format("{}.{}.svc.{}", pod.spec.subdomain, pod.metadata.namespace_, cluster.domain);
}

std::string short_hostname(const kube::Pod& pod) {
    std::string name = pod.spec.hostname.empty() ? pod.metadata.name : pod.spec.hostname;
    if (name.size() > kHostnameBytesMax) {
        name.resize(kHostnameBytesMax);
        while (!name.empty() && (name.back() == '-' || name.back() == '.')) {
            name.pop_back();
        }
    }
    return name;
}

}  // namespace

DnsConfig parse_resolv_conf(std::string_view text) {
    DnsConfig config;
    for (std::string_view line : split(text, '\n')) {
        line = trim(line);
        if (line.empty() || line.front() == '#' || line.front() == ';') {
            continue;
        }
        auto words = words_of(line);
        std::vector<std::string> rest(words.begin() + 1, words.end());
        if (words[0] == "nameserver" && !rest.empty()) {
            add_new(config.nameservers, {rest[0]});
        } else if (words[0] == "search") {
            config.searches.clear();
            for (std::string& domain : rest) {
                if (domain.size() > 1 && domain.back() == '.') {
                    domain.pop_back();
                }
                config.searches.push_back(std::move(domain));
            }
        } else if (words[0] == "options") {
            add_new(config.options, rest);
        }
    }
    return config;
}

std::string format_resolv_conf(const DnsConfig& config) {
    std::string text;
    if (!config.searches.empty()) {
        text += fmt::format("search {}\n", fmt::join(config.searches, " "));
    }
    for (const std::string& server : config.nameservers) {
        text += fmt::format("nameserver {}\n", server);
    }
    if (!config.options.empty()) {
        text += fmt::format("options {}\n", fmt::join(config.options, " "));
    }
    return text;
}

FormedDns form_dns(const kube::Pod& pod, const DnsConfig& node, const ClusterDns& cluster) {
    FormedDns formed;
    bool by_cluster = wants_cluster_dns(pod);
    if (by_cluster && cluster.servers.empty()) {
        by_cluster = false;
        formed.complaints.push_back(
            {"MissingClusterDNS",
             fmt::format("pod: \"{}/{}({})\". kubelet does not have ClusterDNS IP configured and "
                         "cannot create Pod using \"{}\" policy. Falling back to \"Default\" "
                         "policy.",
                         pod.metadata.namespace_, pod.metadata.name, pod.metadata.uid,
                         pod.spec.dnsPolicy.empty() ? "ClusterFirst" : pod.spec.dnsPolicy)});
    }
    if (pod.spec.dnsPolicy == "None") {
        // Nothing but dnsConfig.
    } else if (by_cluster) {
        formed.config.nameservers = cluster.servers;
        if (!cluster.domain.empty()) {
            formed.config.searches = {
                fmt::format("{}.svc.{}", pod.metadata.namespace_, cluster.domain),
                "svc." + cluster.domain, cluster.domain};
        }
        add_new(formed.config.searches, node.searches);
        formed.config.options = {"ndots:5"};
    } else {
        formed.config = node;
    }
    if (pod.spec.dnsConfig) {
        add_new(formed.config.nameservers, pod.spec.dnsConfig->nameservers);
        add_new(formed.config.searches, pod.spec.dnsConfig->searches);
        merge_options(formed.config.options, pod.spec.dnsConfig->options);
    }
    cut_nameservers(formed);
    cut_searches(formed);
    return formed;
}

std::string pod_hostname(const kube::Pod& pod, const std::string& node_hostname,
                         const ClusterDns& cluster) {
    if (pod.spec.hostnameOverride) {
        return *pod.spec.hostnameOverride;
    }
    if (pod.spec.hostNetwork) {
        return node_hostname;
    }
    std::string name = short_hostname(pod);
    std::string domain = pod_domain(pod, cluster);
    if (pod.spec.setHostnameAsFQDN.value_or(false) && !domain.empty()) {
        return name + "." + domain;
    }
    return name;
}

std::string hosts_text(const kube::Pod& pod, const std::vector<std::string>& pod_ips,
                       std::string_view node_hosts, const ClusterDns& cluster) {
    std::string text;
    if (pod.spec.hostNetwork) {
        text = fmt::format("# Kubernetes-managed hosts file (host network).\n{}", node_hosts);
    } else {
        text =
            "# Kubernetes-managed hosts file.\n"
            "127.0.0.1\tlocalhost\n"
            "::1\tlocalhost ip6-localhost ip6-loopback\n"
            "fe00::0\tip6-localnet\n"
            "fe00::0\tip6-mcastprefix\n"
            "fe00::1\tip6-allnodes\n"
            "fe00::2\tip6-allrouters\n";
        std::string name = pod.spec.hostnameOverride.value_or(short_hostname(pod));
        std::string domain = pod.spec.hostnameOverride ? "" : pod_domain(pod, cluster);
        for (const std::string& ip : pod_ips) {
            text += domain.empty() ? fmt::format("{}\t{}\n", ip, name)
                                   : fmt::format("{}\t{}.{}\t{}\n", ip, name, domain, name);
        }
    }
    if (!pod.spec.hostAliases.empty()) {
        text += "\n# Entries added by HostAliases.\n";
        for (const auto& alias : pod.spec.hostAliases) {
            text += fmt::format("{}\t{}\n", alias.ip, fmt::join(alias.hostnames, "\t"));
        }
    }
    return text;
}

}  // namespace skiff::network
