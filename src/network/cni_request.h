// What a CNI plugin is told: environment and standard input (CNI specification 1.1, section 2,
// "parameters", and section 3, "deriving request configuration"). Pure; any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "network/cni_config.h"
#include "network/dns.h"

namespace skiff::network {

// The capability arguments of one attachment together, as JSON.
inline constexpr Bytes kCniCapabilityBytesMax = 256_KiB;

enum class CniCommand { add, del, check, gc, status, version };
// "ADD": the value of CNI_COMMAND.
[[nodiscard]] std::string_view to_string(CniCommand command);

// An attachment's name: what one container has in the network (section 3).
struct CniKey {
    std::string container_id;  // is_cni_name(); of a pod: the same for all of its life
    std::string interface = "eth0";
    friend auto operator<=>(const CniKey&, const CniKey&) = default;
};
// Fails with Code::invalid: no such container id, or no name that Linux gives an interface.
[[nodiscard]] Result<void> check_cni_key(const CniKey& key);

struct CniPortMapping {
    std::uint16_t host_port = 0;
    std::uint16_t container_port = 0;
    std::string protocol = "tcp";  // tcp, udp, sctp
    std::string host_ip;           // empty: every address of the node
};

// In bits a second, and bits; 0: unlimited. The plugin wants a burst with every rate, and takes
// none of 4 GiB or more.
struct CniBandwidth {
    std::uint64_t ingress_rate = 0;
    std::uint64_t ingress_burst = 4'294'967'295;
    std::uint64_t egress_rate = 0;
    std::uint64_t egress_burst = 4'294'967'295;
};

// One attachment of a pod and what its plugins may be told about it.
struct CniAttachment {
    CniKey key;
    // The path of the pod's network namespace. For remove() it may be empty, or lead nowhere any
    // more.
    std::filesystem::path network_namespace;
    PodName pod;  // CNI_ARGS, for plugins that look the pod up: Calico, Multus
    PodUid pod_uid;
    // Capabilities (CONVENTIONS.md of CNI): a plugin is given those that it declares. Empty ones
    // are not offered.
    std::vector<CniPortMapping> port_mappings;
    std::optional<CniBandwidth> bandwidth;
    DnsConfig dns;
    std::vector<std::string> ip_ranges;  // the node's podCIDRs, one of each family
    std::vector<std::string> ips;
    std::string mac;
    std::string cgroup_path;
    std::map<std::string, std::string> pod_annotations;  // as containerd offers them
};

// What an attachment is for its plugins, in the form in which it is kept for CHECK and DEL: these
// have to be told the same as ADD.
struct CniParameters {
    CniKey key;
    std::string network_namespace;
    std::string args;        // CNI_ARGS
    RawObject capabilities;  // by name, the values are JSON
    friend bool operator==(const CniParameters&, const CniParameters&) = default;
};
// Fails with Code::invalid: see check_cni_key(), a relative path, a pod's name that would break
// CNI_ARGS; exhausted: more than kCniCapabilityBytesMax of capabilities.
[[nodiscard]] Result<CniParameters> make_cni_parameters(const CniAttachment& attachment);

// The variables of one command; `parameters` is null for GC, STATUS and VERSION, which concern no
// attachment. `plugin_folders` is where plugins look for those that they call themselves.
[[nodiscard]] std::vector<std::string> format_cni_environment(
    CniCommand command, const CniParameters* parameters,
    const std::vector<std::filesystem::path>& plugin_folders);

// The configuration of `plugin` as it reads it: what the file says, spelled as there, with name and
// version of the network. `capabilities` stays out (section 3), and so does what only a runtime may
// say (cni.dev/…).
[[nodiscard]] RawObject make_cni_request(const CniConfig& config, const CniPlugin& plugin);
// Adds what an attachment's commands have besides: `runtimeConfig` with those of the capabilities
// that the plugin declares, and `prevResult`, unless `previous_result` is empty.
void add_attachment(RawObject& request, const CniPlugin& plugin, const CniParameters& parameters,
                    std::string_view previous_result);
// Adds what GC has besides: which attachments are still in use.
void add_valid_attachments(RawObject& request, const std::vector<CniKey>& valid);
// What VERSION reads.
[[nodiscard]] std::string format_cni_version_request(CniVersion version);

}  // namespace skiff::network
