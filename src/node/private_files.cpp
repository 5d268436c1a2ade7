#include "node/private_files.h"

#include <sys/stat.h>

#include "node/exec_plugin.h"
#include "os/file.h"

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

Result<void> store_own_kubeconfig(const std::filesystem::path& path,
                                  const kube::ClientConfig& config) {
    SKIFF_CHECK(os::make_folders(path.parent_path(), 0755));
    return os::write_file_atomic(path, kube::format_kubeconfig(config, "skiff"), 0600,
                                 os::Durability::power);
}

static std::string read_pem(const std::filesystem::path& file) {
    constexpr Bytes kPemBytesMax = 1_MiB;
    std::error_code error;
    auto real = std::filesystem::canonical(file, error);
    auto text = error ? Result<std::string>(std::string()) : os::read_file(real, kPemBytesMax);
    return text ? *text : std::string();
}

std::string client_certificate_of(const kube::ClientConfig& config) {
    return config.tls.client_certificate_file.empty()
               ? config.tls.client_certificate_pem
               : read_pem(config.tls.client_certificate_file);
}

std::string client_key_of(const kube::ClientConfig& config) {
    return config.tls.client_key_file.empty() ? config.tls.client_key_pem
                                              : read_pem(config.tls.client_key_file);
}

}  // namespace skiff::node
