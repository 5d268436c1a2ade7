// The files of a volume whose contents come from the API: pure values, and the rules by which keys
// become files.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "kube/types.h"

namespace skiff::volumes {

struct PayloadFile {
    std::string content;
    std::uint32_t mode = 0644;
    std::optional<std::uint32_t> uid;  // owner; root if absent
    friend bool operator==(const PayloadFile&, const PayloadFile&) = default;
};

// Relative path below the volume → file.
using Payload = std::map<std::string, PayloadFile>;

// What a Secret or ConfigMap offers: key → bytes.
using Keys = std::map<std::string, std::string>;

enum class Presence { required, optional };

// How keys of one object become files.
struct Selection {
    const std::vector<kube::KeyToPath>& items;  // empty: every key, under its own name
    std::uint32_t default_mode = 0644;
    Presence presence = Presence::required;
    std::string_view object_kind;  // "configmap", "secret": for messages
};

// Adds the selected files; a later file of the same path replaces an earlier one. Fails with
// not_found for a missing key (unless optional) and with invalid for a path that leaves the volume.
[[nodiscard]] Result<void> add_selection(Payload& payload, const Keys& keys,
                                         const Selection& selection);

// Whether `path` may be a file of a payload: relative, no `..` component, no first component that
// begins with `..` (those names belong to the layout), within the system's length limits.
[[nodiscard]] Result<void> check_payload_path(std::string_view path);

// The names in a volume's own folder at or below which something else is mounted in the pod's
// containers: where volume `c` is mounted at /c and another one at /c/sub/deep, it is "sub". Files
// of the node's (/etc/hosts) count, too.
[[nodiscard]] std::set<std::string> nested_mount_points(const kube::Pod& pod,
                                                        std::string_view volume);

// The mode of a file: its own, else the volume's, else 0644.
[[nodiscard]] std::uint32_t file_mode(const std::optional<std::int32_t>& own,
                                      const std::optional<std::int32_t>& volume);

}  // namespace skiff::volumes
