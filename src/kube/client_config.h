// Where the API server is and who we are there: kubeconfig files.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/client.h"

namespace skiff::kube {

// What one context of a kubeconfig says. A value; files that it names are read when they are
// needed, so that rotated certificates and tokens take effect.
struct ClientConfig {
    std::string server;  // "https://10.0.0.1:6443", perhaps with a path prefix, no trailing slash
    http::Tls tls;
    std::string token;                 // bearer token; the file wins
    std::filesystem::path token_file;  // read again at least every minute
    std::string namespace_;            // of the context, "default" when it names none
    std::optional<std::string> proxy;  // proxy-url; nullopt: from the environment
};

inline constexpr std::size_t kKubeconfigBytesMax = std::size_t{4} << 20;

// Reads the current context (or the named one) of the file. Fails with not_found, denied (cannot
// be read), or invalid: not a kubeconfig, no such context, or a way of authenticating that Skiff
// does not offer (exec plugins, auth providers, passwords); the message names file and field.
[[nodiscard]] Result<ClientConfig> load_kubeconfig(const std::filesystem::path& path,
                                                   std::string_view context = {});
// The same for text; relative file names are taken from `folder`.
[[nodiscard]] Result<ClientConfig> parse_kubeconfig(std::string_view yaml,
                                                    const std::filesystem::path& folder,
                                                    std::string_view context = {});

// The server and CA of the first cluster of a kubeconfig that needs no context and no user: the
// public cluster-info. Fails with Code::invalid.
[[nodiscard]] Result<ClientConfig> parse_first_cluster(std::string_view yaml);

// A kubeconfig file with one cluster, user and context called `name` that says `config`.
[[nodiscard]] std::string format_kubeconfig(const ClientConfig& config, std::string_view name);

}  // namespace skiff::kube
