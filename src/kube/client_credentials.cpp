#include "kube/client_credentials.h"

#include <fstream>

#include "base/assert.h"
#include "base/log.h"
#include "base/text.h"

namespace skiff::kube {

namespace {

constexpr std::size_t kTokenBytesMax = std::size_t{64} << 10;

}  // namespace

CredentialCache::CredentialCache(const Clock& clock, const ClientConfig& config)
    : clock_(clock), config_(config) {
    reset();
}

void CredentialCache::reset() {
    credential_.reset();
    plugin_failure_.reset();
    if (!config_.exec && config_.token_file.empty()) {
        Credential fixed;
        fixed.token = config_.token;
        credential_ = std::make_shared<const Credential>(std::move(fixed));
    }
}

bool CredentialCache::is_good() const {
    if (credential_ == nullptr) {
        return false;
    }
    if (config_.exec) {
        return !credential_->expires || clock_.wall_now() < *credential_->expires;
    }
    return config_.token_file.empty() || clock_.steady_now() - read_at_ <= kTokenFileLifetime;
}

void CredentialCache::read_token_file() {
    std::ifstream file(config_.token_file, std::ios::binary);
    std::string text(kTokenBytesMax, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
    read_at_ = clock_.steady_now();
    if (text.empty() && credential_ != nullptr) {
        // Keep the last one: the file may be in the middle of its replacement.
        log::warn("token file unreadable", log::kv("path", config_.token_file.string()));
        return;
    }
    Credential read;
    read.token = trim(text);
    if (credential_ == nullptr || read != *credential_) {
        credential_ = std::make_shared<const Credential>(std::move(read));
    }
}

async::Task<Result<void>> CredentialCache::ask_plugin() {
    SKIFF_CO_TRY(auto turn, co_await asking_.acquire());
    static_cast<void>(turn);
    // Somebody else may have asked meanwhile.
    if (is_good()) {
        co_return Result<void>();
    }
    if (plugin_failure_ && clock_.steady_now() - read_at_ < kPluginPause) {
        co_return fail(*plugin_failure_);
    }
    SKIFF_ASSERT(config_.run_plugin != nullptr, "a kubeconfig with a plugin, and nobody to run it");
    read_at_ = clock_.steady_now();
    auto running = config_.run_plugin(*config_.exec, format_exec_info(config_));
    auto output = co_await std::move(running);
    auto answer = output ? parse_exec_credential(*output, config_.exec->api_version)
                         : Result<Credential>(fail(std::move(output.error())));
    if (answer) {
        plugin_failure_.reset();
        credential_ = std::make_shared<const Credential>(std::move(*answer));
        log::info("credential of a plugin taken", log::kv("plugin", config_.exec->command));
        co_return Result<void>();
    }
    if (answer.error().code == Code::cancelled) {
        co_return fail(std::move(answer.error()));
    }
    Error failure = std::move(answer.error());
    failure.code = Code::unauthenticated;
    plugin_failure_ =
        std::move(failure).context(fmt::format("credential plugin {}", config_.exec->command));
    log::warn("no credential from the plugin", log::kv("error", plugin_failure_->message));
    co_return fail(*plugin_failure_);
}

async::Task<Result<std::shared_ptr<const Credential>>> CredentialCache::get() {
    if (config_.exec) {
        if (!is_good()) {
            SKIFF_CO_CHECK(co_await ask_plugin());
        }
    } else if (!is_good()) {
        read_token_file();
    }
    co_return credential_;
}

bool CredentialCache::refused(const std::shared_ptr<const Credential>& used) {
    if (credential_ != used) {
        return true;
    }
    if (!config_.exec) {
        if (!config_.token_file.empty()) {
            read_token_file();
        }
        return credential_ != used;
    }
    if (clock_.steady_now() - read_at_ < kPluginPause) {
        return false;
    }
    credential_.reset();
    return true;
}

}  // namespace skiff::kube
