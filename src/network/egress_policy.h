// What a pod may reach, as the kernel is told in the pod's own network namespace. Pure: makes the
// text, nftables.h gives it to the kernel.
//
//   out, of every packet that a process of the pod sends:
//     loopback, and what an entry names by its own address           accept
//     port 53 of the pod's name servers, where names are of use      accept
//     answers to what came in (pods with a policy)                   accept
//     metadata addresses, ports of the node's own agent              refuse
//     the rest: without a policy accept; with one what its networks and its names' addresses say
//
// One table for a pod, since all its containers share the namespace: it allows what any of them
// may. What a container may of that, and names, are the engine's to check.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/egress.h"
#include "network/ip.h"

namespace skiff::network {

// Where clouds answer with a machine's credentials: closed but for an entry of exactly this
// address. The engine by itself withholds those of most clouds (engine/src/egress.rs).
[[nodiscard]] const std::vector<IpAddress>& metadata_addresses();

struct EgressPolicy {
    Egress allowed;
    std::vector<IpAddress> name_servers;    // of the pod's resolv.conf
    std::vector<IpAddress> node_addresses;  // all that the node has
    std::vector<std::uint16_t> node_ports;  // of the agent's, closed at these addresses
    friend bool operator==(const EgressPolicy&, const EgressPolicy&) = default;
};

// The addresses of names, as EgressRule::name spells them.
using NameAddresses = std::map<std::string, std::vector<IpAddress>>;

// The names to be looked up, each once. Not "*.DOMAIN": nobody can list what is below a domain.
[[nodiscard]] std::vector<std::string> names_of(const Egress& allowed);
// Entries whose names the kernel does not narrow: it leaves their port open to every address that
// is not closed, and only the engine checks the name.
[[nodiscard]] std::vector<std::string> unenforced_entries(const Egress& allowed);
// Whether guests have a use for name servers.
[[nodiscard]] bool needs_names(const Egress& allowed);

// Addresses of all names and ports together that a table takes; what is beyond is left out.
inline constexpr std::size_t kNameElementsMax = 4096;

// What becomes of the addresses of names that the table has from before, if it was made for the
// same entries. `kept`: they stay beside the new ones.
enum class EarlierAnswers { removed, kept };

// A script for nft that puts the table into force in one step. Idempotent.
[[nodiscard]] std::string format_egress_table(const EgressPolicy& policy,
                                              const NameAddresses& addresses,
                                              EarlierAnswers earlier);

}  // namespace skiff::network
