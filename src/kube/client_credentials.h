// Which credential the next request carries: the kubeconfig's own, a token file's, or a plugin's.
// Reactor thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "async/event.h"
#include "async/task.h"
#include "base/result.h"
#include "base/time.h"
#include "kube/client_exec.h"

namespace skiff::kube {

// A token file is read again after this long, and when the server refuses what it said.
inline constexpr Duration kTokenFileLifetime = std::chrono::minutes(1);
// Between two runs of a plugin, where the first failed or the server refused what it gave.
inline constexpr Duration kPluginPause = std::chrono::seconds(5);

class CredentialCache {
public:
    // Both outlive it. After every change of `config` but its server's, reset() is called.
    CredentialCache(const Clock& clock, const ClientConfig& config);

    // Forgets all that is known.
    void reset();
    // The credential for a request that is made now; empty but for a token file and a plugin where
    // the kubeconfig itself says all. Runs the plugin when there is none yet or the last one has
    // expired, once for all who wait. Fails with unauthenticated (the plugin: its name and what it
    // said) or cancelled.
    [[nodiscard]] async::Task<Result<std::shared_ptr<const Credential>>> get();
    // The server answered 401 to `used`: whether get() has or can get another, so that the request
    // is worth a second try.
    [[nodiscard]] bool refused(const std::shared_ptr<const Credential>& used);

private:
    [[nodiscard]] bool is_good() const;
    void read_token_file();
    [[nodiscard]] async::Task<Result<void>> ask_plugin();

    const Clock& clock_;
    const ClientConfig& config_;
    std::shared_ptr<const Credential> credential_;
    SteadyTime read_at_{};  // of the token file; when the plugin was last started
    std::optional<Error> plugin_failure_;
    async::Semaphore asking_{1};
};

}  // namespace skiff::kube
