#include "node/private_files.h"

#include <sys/stat.h>

#include "node/exec_plugin.h"

namespace skiff::node {

Result<void> check_private(const std::filesystem::path& path) {
    constexpr unsigned kOthers = 0077;
    struct stat facts{};
    if (::stat(path.c_str(), &facts) != 0 || (facts.st_mode & kOthers) == 0) {
        return {};
    }
    return fail(Code::denied,
                "{} has mode {:04o}: it holds a secret, and group or others may read or change it. "
                "Run `chmod 600 {}`",
                path.string(), facts.st_mode & 07777U, path.string());
}

Result<kube::ClientConfig> load_own_kubeconfig(const std::filesystem::path& path) {
    SKIFF_TRY(auto config, kube::load_kubeconfig(path));
    bool holds_secret = !config.token.empty() || !config.tls.client_key_pem.empty() ||
                        (config.exec && !config.exec->env.empty());
    if (holds_secret) {
        SKIFF_CHECK(check_private(path));
    }
    if (!config.tls.client_key_file.empty()) {
        SKIFF_CHECK(check_private(config.tls.client_key_file));
    }
    config.run_plugin = [](kube::ExecPlugin plugin, std::string info) {
        return run_exec_plugin(std::move(plugin), std::move(info));
    };
    return config;
}

}  // namespace skiff::node
