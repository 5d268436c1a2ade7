// The node's network as an administrator, or the cluster's network plugin, wrote it down in
// /etc/cni/net.d: CNI specification 1.1, section 1. Reading is the same as containerd's (go-cni)
// and libcni's, so that Skiff and a kubelet beside it choose the same network.
//
// Blocking where a folder is read, else pure; any thread. The files are an administrator's: trusted
// in what they ask for, not in being well formed. Everything is bounded.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "network/cni_json.h"

namespace skiff::network {

// A network's files together. The largest that are in use are of a few KiB.
inline constexpr Bytes kCniConfigBytesMax = 256_KiB;
inline constexpr std::size_t kCniPluginsMax = 32;
inline constexpr std::size_t kCniCapabilitiesMax = 64;
inline constexpr std::size_t kCniNameBytesMax = 200;
// Names in a configuration folder.
inline constexpr std::size_t kCniFolderNamesMax = 1000;

// The versions of the protocol that Skiff speaks, in their order. 0.3.1 corrected 0.3.0's text
// only.
enum class CniVersion { v0_3_0, v0_3_1, v0_4_0, v1_0_0, v1_1_0 };
inline constexpr std::array kCniVersions = {CniVersion::v0_3_0, CniVersion::v0_3_1,
                                            CniVersion::v0_4_0, CniVersion::v1_0_0,
                                            CniVersion::v1_1_0};
// "1.1.0".
[[nodiscard]] std::string_view to_string(CniVersion version);
// nullopt for every other text.
[[nodiscard]] std::optional<CniVersion> parse_cni_version(std::string_view text);
// "0.3.0, 0.3.1, …": for messages.
[[nodiscard]] std::string known_cni_versions();

// Whether `name` may name a network or a container: a letter or digit, then letters, digits, '_',
// '.', '-'; at most kCniNameBytesMax.
[[nodiscard]] bool is_cni_name(std::string_view name);

// One step of a network: a program and what it is told.
struct CniPlugin {
    std::string type;                       // the program's file name
    std::vector<std::string> capabilities;  // those that it declares with `true`
    RawObject members;                      // all of it, as it was written
    friend bool operator==(const CniPlugin&, const CniPlugin&) = default;
};

struct CniConfig {
    std::string name;
    // What is spoken with the plugins: the highest of `versions`, until plugins that know less make
    // it a lower one of them (CniNetwork::load).
    CniVersion version = CniVersion::v1_1_0;
    // What the file offers and Skiff speaks, ascending; at least one.
    std::vector<CniVersion> versions;
    bool disable_check = false;  // CHECK is never sent
    bool disable_gc = false;     // GC is never sent
    // Plugins in the folder of the network's name are left out.
    bool load_only_inlined_plugins = false;
    std::vector<CniPlugin> plugins;
    friend bool operator==(const CniConfig&, const CniConfig&) = default;
};

// What a file holds: a list of plugins (.conflist), or one plugin that is a list of one (.conf,
// .json).
enum class CniFormat { list, single };

// A network's file. Without `plugins` the list is empty: they may lie in a folder. Fails with
// Code::invalid, or unsupported for a version that Skiff does not speak; the message names field,
// value and what is allowed.
[[nodiscard]] Result<CniConfig> parse_cni_config(std::string_view text, CniFormat format);
// One plugin, as in a list or as a file of its own; fails as parse_cni_config().
[[nodiscard]] Result<CniPlugin> parse_cni_plugin(std::string_view text);
// A list that parse_cni_config() reads as the same network. Its `versions` are only the one chosen.
[[nodiscard]] std::string format_cni_config(const CniConfig& config);

// The network of a folder: its first file with the ending .conflist, .conf or .json in the order of
// the names, as containerd chooses; plus the plugins of <folder>/<name>/*.conf, unless the file
// says that it loads only its own. nullopt when there is no such file or no folder: there is no
// network yet. A file that is wrong is a failure (code as parse_cni_config(), exhausted, not_found)
// that names it: the next one is not taken instead, for it may be another network.
[[nodiscard]] Result<std::optional<CniConfig>> load_cni_config(const std::filesystem::path& folder);

}  // namespace skiff::network
