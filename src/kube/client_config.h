// Where the API server is and who we are there: kubeconfig files.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "http/client.h"

namespace skiff::kube {

// A program that gives credentials (kubeconfig `users[].user.exec`).
struct ExecPlugin {
    std::string api_version;  // of what it is asked and answers: one of kExecApiVersions
    std::string command;      // a file (absolute) when it has a slash, else looked for in PATH
    std::vector<std::string> args;
    std::vector<std::pair<std::string, std::string>> env;  // beside the agent's own
    std::string install_hint;                              // shown when it is not there
    enum class ClusterFacts { withheld, provided } cluster_facts = ClusterFacts::withheld;
    std::string cluster_config;  // JSON for the plugin, from the cluster's extensions; may be empty
    friend bool operator==(const ExecPlugin&, const ExecPlugin&) = default;
};
inline constexpr std::string_view kExecApiVersions[] = {"client.authentication.k8s.io/v1",
                                                        "client.authentication.k8s.io/v1beta1"};

// Runs a plugin with KUBERNETES_EXEC_INFO set to `info` and returns what it wrote to its standard
// output. Fails when it cannot be started, fails itself, writes or takes too much.
using PluginRunner =
    std::function<async::Task<Result<std::string>>(ExecPlugin plugin, std::string info)>;

// What one context of a kubeconfig says. A value; files that it names are read when they are
// needed, so that rotated certificates and tokens take effect.
struct ClientConfig {
    std::string server;  // "https://10.0.0.1:6443", perhaps with a path prefix, no trailing slash
    // Further addresses of the same API server, not from the file. The one in use is `server`.
    std::vector<std::string> other_servers;
    http::Tls tls;
    std::string token;                 // bearer token; the file wins
    std::filesystem::path token_file;  // read again at least every minute
    std::optional<ExecPlugin> exec;    // its credentials win over token and certificate
    PluginRunner run_plugin;           // from who loads the file; needed with `exec`
    std::string namespace_;            // of the context, "default" when it names none
    std::optional<std::string> proxy;  // proxy-url; nullopt: from the environment
};

inline constexpr std::size_t kKubeconfigBytesMax = std::size_t{4} << 20;

// Reads the current context (or the named one) of the file. Fails with not_found, denied (cannot
// be read), or invalid: not a kubeconfig, no such context, or a way of authenticating that Skiff
// does not offer (auth providers, passwords, plugins that want a terminal); the message names file
// and field.
[[nodiscard]] Result<ClientConfig> load_kubeconfig(const std::filesystem::path& path,
                                                   std::string_view context = {});
// The same for text; relative file names are taken from `folder`.
[[nodiscard]] Result<ClientConfig> parse_kubeconfig(std::string_view yaml,
                                                    const std::filesystem::path& folder,
                                                    std::string_view context = {});

// The server and CA of the first cluster of a kubeconfig that needs no context and no user: the
// public cluster-info. Fails with Code::invalid.
[[nodiscard]] Result<ClientConfig> parse_first_cluster(std::string_view yaml);

// A kubeconfig file with one cluster, user and context called `name` that says `config`, but for
// `exec`.
[[nodiscard]] std::string format_kubeconfig(const ClientConfig& config, std::string_view name);

}  // namespace skiff::kube
