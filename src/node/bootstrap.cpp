#include "node/bootstrap.h"

#include <algorithm>

#include "base/log.h"
#include "node/certificate_renewal.h"
#include "node/k3s.h"
#include "node/private_files.h"
#include "os/file.h"

namespace skiff::node {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kClientSigner = "kubernetes.io/kube-apiserver-client-kubelet";
// A certificate that ends this soon, or within this part of its life, is replaced before it is
// used.
constexpr Duration kRemainingMin = std::chrono::minutes(5);
constexpr int kRemainingPart = 100;
// After a failure, by the time that is left.
constexpr int kRetryPart = 20;
constexpr Duration kRetryMin = std::chrono::seconds(1);
constexpr Duration kRetryMax = std::chrono::seconds(30);
// A server that has known nobody of our name for so long will not again: its authorities are
// others.
constexpr Duration kRefusedMax = std::chrono::minutes(1);

CertificateFiles client_files(const NodeSettings& settings) {
    return {settings.cert_dir, kClientFiles};
}

bool uses_certificate(const kube::ClientConfig& config) {
    return !config.exec && (!config.tls.client_certificate_file.empty() ||
                            !config.tls.client_certificate_pem.empty());
}

// Why the identity in `config` cannot be used; empty if it can.
std::string problem_of(const kube::ClientConfig& config, const NodeSettings& settings,
                       WallTime now) {
    if (!uses_certificate(config)) {
        return {};
    }
    std::string certificate = client_certificate_of(config);
    auto facts = read_certificate(certificate);
    if (!facts) {
        return "its client certificate cannot be read";
    }
    if (!key_fits(certificate, client_key_of(config))) {
        return "its key does not fit its client certificate";
    }
    auto life = facts->not_after - facts->not_before;
    if (facts->not_after - now < std::min<Duration>(kRemainingMin, life / kRemainingPart)) {
        return fmt::format("its client certificate ended at {}", format_rfc3339(facts->not_after));
    }
    if (facts->common_name.starts_with("system:node:") &&
        facts->common_name != node_user(settings.name)) {
        return fmt::format("it belongs to {}, not to {}", facts->common_name,
                           node_user(settings.name));
    }
    return {};
}

CertificateWish client_wish(const NodeSettings& settings) {
    CertificateWish wish;
    wish.signer = kClientSigner;
    wish.usage = "client auth";
    wish.subject.common_name = node_user(settings.name);
    wish.subject.organization = kNodeGroup;
    return wish;
}

// A certificate by `client`, whoever that is, stored.
async::Task<Result<void>> renew(kube::ApiClient& client, NodeSettings settings, const Clock& clock,
                                BootstrapPace pace) {
    CertificateFiles files = client_files(settings);
    CertificateWish wish = client_wish(settings);
    auto done = co_await obtain_and_store(client, files, wish, clock, pace);
    if (done || done.error().code != Code::conflict) {
        co_return done;
    }
    // Once more, with a new key.
    auto again = obtain_and_store(client, std::move(files), std::move(wish), clock, pace);
    co_return co_await std::move(again);
}

// What to tell the owner of a token that the server does not know any more.
Error token_refused(const kube::ClientConfig& config, const NodeSettings& settings) {
    const fs::path& file =
        config.token_file.empty() ? settings.bootstrap_kubeconfig : config.token_file;
    return Error{Code::unauthenticated,
                 {},
                 fmt::format("{} does not accept the bootstrap token in {}: it has expired or was "
                             "deleted. Make a new one (`kubeadm token create`) and run `skiff node "
                             "join` with it, or write it into that file",
                             config.server, file.string()),
                 std::source_location::current()};
}

Result<kube::ClientConfig> load_config(const fs::path& path, const NodeSettings& settings) {
    SKIFF_TRY(auto config, load_own_kubeconfig(path));
    for (const std::string& server : settings.api_servers) {
        if (server != config.server) {
            config.other_servers.push_back(server);
        }
    }
    return config;
}

async::Task<Result<kube::ClientConfig>> bootstrap(NodeSettings settings, const Clock& clock,
                                                  BootstrapPace pace) {
    SKIFF_CO_TRY(auto config, load_config(settings.bootstrap_kubeconfig, settings));
    auto executor = co_await async::current_executor();
    kube::ApiClient client(executor, clock, config);
    SKIFF_CO_CHECK(co_await wait_healthy(client, clock, pace));
    auto done = co_await renew(client, settings, clock, pace);
    if (!done && done.error().code == Code::unauthenticated) {
        co_return fail(token_refused(config, settings));
    }
    if (!done) {
        co_return fail(std::move(done.error()));
    }
    kube::ClientConfig own = config;
    fs::path current = client_files(settings).current();
    own.token.clear();
    own.token_file.clear();
    own.exec.reset();
    own.tls.client_certificate_pem.clear();
    own.tls.client_key_pem.clear();
    own.tls.client_certificate_file = current;
    own.tls.client_key_file = current;
    SKIFF_CO_CHECK(store_own_kubeconfig(settings.kubeconfig, own));
    log::info("client certificate stored", log::kv("path", current.string()));
    co_return own;
}

// Whether the certificate is the one that Skiff itself keeps, and is to renew.
bool renews(const kube::ClientConfig& config, const NodeSettings& settings) {
    auto file = fs::path(config.tls.client_certificate_file).lexically_normal();
    return settings.rotate_certificates &&
           file == client_files(settings).current().lexically_normal();
}

// Looks at the file; true when its certificate is another than at the last look.
bool look(RenewalSchedule& schedule, const kube::ClientConfig& config, IdentityParts& parts) {
    std::string pem = client_certificate_of(config);
    if (schedule.follows(pem)) {
        return false;
    }
    auto facts = read_certificate(pem);
    if (!facts) {
        return false;
    }
    bool is_first = schedule.is_empty();
    std::error_code error;
    auto written = fs::last_write_time(config.tls.client_certificate_file, error);
    WallTime obtained = error
                            ? facts->not_before
                            : WallTime(std::chrono::file_clock::to_sys(written).time_since_epoch());
    schedule.follow(std::move(pem), *facts, obtained, parts.record, parts.random);
    return !is_first;
}

// After a failure: the sooner the end, the more often.
Duration retry_after(const RenewalSchedule& schedule, WallTime now) {
    return std::clamp<Duration>(schedule.until_end(now) / kRetryPart, kRetryMin, kRetryMax);
}

// Whether the node can still ask for itself.
enum class Standing { known, lost };

// By the node itself while it is known, else by the bootstrap kubeconfig.
async::Task<Result<void>> replace(NodeSettings settings, IdentityParts parts, Standing standing,
                                  BootstrapPace pace) {
    if (standing == Standing::known) {
        auto renewed = co_await renew(parts.client, settings, parts.clock, pace);
        if (renewed || renewed.error().code != Code::unauthenticated) {
            co_return renewed;
        }
    }
    std::error_code error;
    if (!fs::exists(settings.bootstrap_kubeconfig, error)) {
        co_return fail(Code::unauthenticated,
                       "the client certificate has ended, or the server does not know it, and "
                       "there is no bootstrap kubeconfig {}: run `skiff node join`",
                       settings.bootstrap_kubeconfig.string());
    }
    SKIFF_CO_TRY(auto config, co_await bootstrap(settings, parts.clock, pace));
    const kube::ClientConfig& now = parts.client.config();
    if (std::ranges::find(config.other_servers, now.server) != config.other_servers.end()) {
        // The server that answers now stays in use.
        config.server = now.server;
        config.other_servers = now.other_servers;
    }
    parts.client.set_config(std::move(config));
    co_return Result<void>{};
}

}  // namespace

async::Task<Result<kube::ClientConfig>> ensure_identity(NodeSettings settings, const Clock& clock,
                                                        BootstrapPace pace) {
    auto config = load_config(settings.kubeconfig, settings);
    if (!config && config.error().code == Code::denied) {
        co_return fail(std::move(config.error()));
    }
    std::string problem =
        config ? problem_of(*config, settings, clock.wall_now()) : config.error().message;
    if (problem.empty()) {
        co_return std::move(*config);
    }
    SKIFF_CO_TRY(auto k3s, find_k3s_cluster(settings));
    if (k3s) {
        SKIFF_CO_CHECK(co_await ensure_k3s_identity(settings, std::move(*k3s), pace));
        co_return load_config(settings.kubeconfig, settings);
    }
    bool is_missing = !config && config.error().code == Code::not_found;
    std::error_code error;
    if (fs::exists(settings.bootstrap_kubeconfig, error)) {
        if (!is_missing) {
            log::warn("kubeconfig not usable, asking for a new certificate",
                      log::kv("path", settings.kubeconfig.string()), log::kv("problem", problem));
        }
        co_return co_await bootstrap(std::move(settings), clock, pace);
    }
    if (is_missing) {
        co_return fail(Code::not_found,
                       "neither {} nor {} exists: run `skiff node join SERVER --token … "
                       "--ca-cert-hash …` first",
                       settings.kubeconfig.string(), settings.bootstrap_kubeconfig.string());
    }
    if (!config) {
        co_return fail(std::move(config.error()));
    }
    co_return fail(Code::unauthenticated,
                   "kubeconfig {}: {}, and there is no bootstrap kubeconfig {}",
                   settings.kubeconfig.string(), problem, settings.bootstrap_kubeconfig.string());
}

async::Task<void> keep_identity(NodeSettings settings, IdentityParts parts, BootstrapPace pace) {
    const kube::ClientConfig& config = parts.client.config();
    RenewalSchedule schedule;
    Duration pause{};
    if (uses_certificate(config)) {
        // One inside the kubeconfig is looked at this once.
        (void)look(schedule, config, parts);
    }
    if (!renews(config, settings)) {
        log::info("client certificate is not renewed by the node",
                  log::kv("path", config.tls.client_certificate_file));
    }
    while (uses_certificate(config) && !config.tls.client_certificate_file.empty()) {
        if (look(schedule, config, parts)) {
            // Connections made with the old certificate end: the server knows a peer by its
            // handshake.
            parts.client.set_config(config);
            log::info("client certificate renewed",
                      log::kv("expires", format_rfc3339(*parts.record.expires)));
        }
        WallTime now = parts.clock.wall_now();
        bool is_ours = renews(config, settings);
        Duration wait = pace.look_every;
        if (is_ours) {
            wait =
                std::clamp<Duration>(std::max(schedule.until_due(now), pause), {}, pace.look_every);
        }
        auto slept = co_await async::sleep_for(wait);
        if (!slept) {
            co_return;
        }
        now = parts.clock.wall_now();
        auto refused = parts.client.refused_since();
        bool is_lost = schedule.until_end(now) <= Duration::zero() ||
                       (refused && parts.clock.steady_now() - *refused > kRefusedMax);
        if (!is_ours || (!is_lost && schedule.until_due(now) > Duration::zero())) {
            continue;
        }
        Standing standing = is_lost ? Standing::lost : Standing::known;
        auto renewed = co_await replace(settings, parts, standing, pace);
        if (renewed) {
            ++parts.record.renewals;
            parts.record.replaced_after = schedule.age(parts.clock.wall_now());
            pause = {};
        } else if (renewed.error().code != Code::cancelled) {
            ++parts.record.failures;
            pause = retry_after(schedule, parts.clock.wall_now());
            log::error("client certificate not renewed",
                       log::kv("error", format_as(renewed.error())));
        }
    }
}

}  // namespace skiff::node
