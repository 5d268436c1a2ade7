// The node's kubeconfig and what it names. Files with secrets must be the owner's alone: a node
// does not start on others, as its operator would not see that anybody of the machine can act as
// the node.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "kube/client_config.h"

namespace skiff::node {

// Fails with Code::denied when group or others have any right to `path` (links followed); the
// message names file, mode and remedy. A file that is not there is fine: who reads it will say so.
[[nodiscard]] Result<void> check_private(const std::filesystem::path& path);

// load_kubeconfig() for the node itself: refuses a file that holds a token or a key, and a key file
// that it names, where others may read it. Its plugin, if it has one, can be run.
[[nodiscard]] Result<kube::ClientConfig> load_own_kubeconfig(const std::filesystem::path& path);

// Writes it for the node's own use (0600), with its folder.
[[nodiscard]] Result<void> store_own_kubeconfig(const std::filesystem::path& path,
                                                const kube::ClientConfig& config);

// The PEM of a kubeconfig's client certificate, or its key: from the file, of which it may name a
// link to the latest, else the text itself. Empty when there is none, or it cannot be read.
[[nodiscard]] std::string client_certificate_of(const kube::ClientConfig& config);
[[nodiscard]] std::string client_key_of(const kube::ClientConfig& config);

}  // namespace skiff::node
