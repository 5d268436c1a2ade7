#include "node/bootstrap.h"

#include <unistd.h>

#include "async/scope.h"
#include "base/log.h"
#include "node/certificates.h"
#include "os/file.h"

namespace skiff::node {

namespace {

namespace fs = std::filesystem;

constexpr Bytes kPemBytesMax = 1_MiB;
constexpr std::string_view kSigner = "kubernetes.io/kube-apiserver-client-kubelet";
constexpr std::string_view kGroup = "system:nodes";
constexpr Duration kPollMin = std::chrono::milliseconds(100);
constexpr Duration kPollMax = std::chrono::seconds(5);
// A certificate that ends this soon is replaced before it is used.
constexpr Duration kRemainingMin = std::chrono::minutes(5);
constexpr Duration kRenewRetry = std::chrono::minutes(1);
constexpr Duration kHealthTimeout = std::chrono::seconds(5);
constexpr Duration kHealthPauseMax = std::chrono::seconds(2);

std::string user_of(const NodeSettings& settings) {
    return "system:node:" + settings.name;
}

fs::path current_pem(const NodeSettings& settings) {
    return settings.cert_dir / "kubelet-client-current.pem";
}

fs::path pending_key(const NodeSettings& settings) {
    return settings.cert_dir / "kubelet-client.key.tmp";
}

// The PEM that a kubeconfig's client certificate is, from the file or the text itself.
std::string certificate_of(const kube::ClientConfig& config) {
    if (config.tls.client_certificate_file.empty()) {
        return config.tls.client_certificate_pem;
    }
    // current.pem may be a link to the latest file.
    std::error_code error;
    fs::path real = fs::canonical(config.tls.client_certificate_file, error);
    auto text = error ? Result<std::string>(fail(Code::not_found, "{}", error.message()))
                      : os::read_file(real, kPemBytesMax);
    return text ? *text : std::string();
}

bool uses_certificate(const kube::ClientConfig& config) {
    return !config.tls.client_certificate_file.empty() ||
           !config.tls.client_certificate_pem.empty();
}

// Why the identity in `config` cannot be used; empty if it can.
std::string problem_of(const kube::ClientConfig& config, const NodeSettings& settings,
                       WallTime now) {
    if (!uses_certificate(config)) {
        return {};
    }
    auto facts = read_certificate(certificate_of(config));
    if (!facts) {
        return "its client certificate cannot be read";
    }
    if (facts->not_after - now < kRemainingMin) {
        return fmt::format("its client certificate ended at {}", format_rfc3339(facts->not_after));
    }
    if (facts->common_name.starts_with("system:node:") && facts->common_name != user_of(settings)) {
        return fmt::format("it belongs to {}, not to {}", facts->common_name, user_of(settings));
    }
    return {};
}

// The key of the request in progress: kept, so that a restarted node asks with the same name.
Result<std::string> pending_or_new_key(const NodeSettings& settings) {
    auto kept = os::read_file(pending_key(settings), kPemBytesMax);
    if (kept && certificate_request_name(*kept, "", "", {})) {
        return kept;
    }
    SKIFF_TRY(auto key, generate_key());
    SKIFF_CHECK(os::make_folders(settings.cert_dir, 0700));
    SKIFF_CHECK(os::write_file_atomic(pending_key(settings), key, 0600, os::Durability::power));
    return key;
}

Result<kube::CertificateSigningRequest> make_request(const NodeSettings& settings,
                                                     const std::string& key) {
    kube::CertificateSigningRequest request;
    request.spec.signerName = kSigner;
    request.spec.usages = {"digital signature", "client auth"};
    SKIFF_TRY(request.metadata.name,
              certificate_request_name(key, user_of(settings), kGroup, request.spec.usages));
    SKIFF_TRY(request.spec.request.bytes, make_certificate_request(key, user_of(settings), kGroup));
    return request;
}

const kube::CertificateSigningRequestCondition* find_condition(
    const kube::CertificateSigningRequest& request, std::string_view type) {
    for (const auto& condition : request.status.conditions) {
        if (condition.type == type && condition.status != "False") {
            return &condition;
        }
    }
    return nullptr;
}

bool is_away(const Error& error) {
    return error.code == Code::unavailable || error.code == Code::timeout;
}

// A server that does not answer: one line when it begins, however long it lasts.
class Outage {
public:
    explicit Outage(std::string server) : server_(std::move(server)) {}
    void note(const Error& error) {
        if (!std::exchange(told_, true)) {
            log::warn("API server does not answer, waiting for it", log::kv("server", server_),
                      log::kv("error", format_as(error)));
        }
    }

private:
    std::string server_;
    bool told_ = false;
};

// Until the server is healthy, at most `pace.healthz_max`. Any other answer will do: it is there.
async::Task<Result<void>> wait_healthy(kube::ApiClient& client, Outage& outage, const Clock& clock,
                                       BootstrapPace pace) {
    auto deadline =
        clock.steady_now() + std::chrono::duration_cast<SteadyTime::duration>(pace.healthz_max);
    Duration pause = pace.first;
    while (clock.steady_now() < deadline) {
        kube::ApiRequest request;
        request.path = "/healthz";
        request.timeout = kHealthTimeout;
        auto healthy = co_await client.call(std::move(request));
        if (healthy || !is_away(healthy.error())) {
            break;
        }
        outage.note(healthy.error());
        SKIFF_CO_CHECK(co_await async::sleep_for(pause));
        pause = std::min(pause * 2, kHealthPauseMax);
    }
    co_return Result<void>{};
}

// Hands the request in, for as long as it takes: a machine may boot long before its control plane.
async::Task<Result<void>> submit(kube::ApiClient& client, kube::CertificateSigningRequest request,
                                 const Clock& clock, BootstrapPace pace) {
    Outage outage(client.config().server);
    SKIFF_CO_CHECK(co_await wait_healthy(client, outage, clock, pace));
    Duration pause = pace.first;
    while (true) {
        auto created = co_await client.create(request);
        if (created || created.error().code == Code::exists) {
            co_return Result<void>{};
        }
        if (!is_away(created.error())) {
            co_return fail(std::move(created.error()).context("certificate request"));
        }
        outage.note(created.error());
        SKIFF_CO_CHECK(co_await async::sleep_for(pause));
        pause = std::min(pause * 2, pace.longest);
    }
}

// Asks for a certificate and waits for it.
async::Task<Result<std::string>> obtain(kube::ApiClient& client, NodeSettings settings,
                                        std::string key, const Clock& clock, BootstrapPace pace) {
    SKIFF_CO_TRY(auto request, make_request(settings, key));
    std::string name = request.metadata.name;
    SKIFF_CO_CHECK(co_await submit(client, std::move(request), clock, pace));
    log::info("certificate requested", log::kv("csr", name));
    auto deadline =
        clock.steady_now() + std::chrono::duration_cast<SteadyTime::duration>(kApprovalTimeout);
    Duration pause = kPollMin;
    while (clock.steady_now() < deadline) {
        auto seen = co_await client.get<kube::CertificateSigningRequest>("", name);
        if (!seen && seen.error().code == Code::not_found) {
            co_return fail(Code::not_found, "certificate request {} was deleted", name);
        }
        if (!seen && seen.error().code == Code::unauthenticated) {
            co_return fail(std::move(seen.error()).context("certificate request"));
        }
        if (seen) {
            for (std::string_view verdict : {"Denied", "Failed"}) {
                if (const auto* refused = find_condition(*seen, verdict)) {
                    co_return fail(Code::denied, "certificate request {}: {} {}: {}", name, verdict,
                                   refused->reason, refused->message);
                }
            }
            if (find_condition(*seen, "Approved") && !seen->status.certificate.bytes.empty()) {
                if (!key_fits(seen->status.certificate.bytes, key)) {
                    co_return fail(Code::conflict,
                                   "certificate request {} was answered for another key", name);
                }
                co_return seen->status.certificate.bytes;
            }
        }
        SKIFF_CO_CHECK(co_await async::sleep_for(pause));
        pause = std::min(pause * 2, kPollMax);
    }
    co_return fail(Code::timeout,
                   "certificate request {} was not approved (approve it with "
                   "`kubectl certificate approve {}`)",
                   name, name);
}

Result<void> store(const NodeSettings& settings, const std::string& certificate,
                   const std::string& key, const Clock& clock) {
    auto stamp = format_rfc3339(clock.wall_now());
    std::replace(stamp.begin(), stamp.end(), ':', '-');
    fs::path file = settings.cert_dir / fmt::format("kubelet-client-{}.pem", stamp);
    SKIFF_CHECK(os::write_file_atomic(file, certificate + key, 0600, os::Durability::power));
    // The link is replaced in one step: whoever opens current.pem finds a whole pair.
    fs::path link = current_pem(settings);
    fs::path fresh = link;
    fresh += ".new";
    std::error_code error;
    fs::remove(fresh, error);
    fs::create_symlink(file.filename(), fresh, error);
    if (!error) {
        fs::rename(fresh, link, error);
    }
    if (error) {
        return fail(Code::internal, "{}: {}", link.string(), error.message());
    }
    SKIFF_CHECK(os::fsync_folder(settings.cert_dir));
    return os::remove_file(pending_key(settings));
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

async::Task<Result<kube::ClientConfig>> bootstrap(NodeSettings settings, const Clock& clock,
                                                  BootstrapPace pace) {
    SKIFF_CO_TRY(auto config, kube::load_kubeconfig(settings.bootstrap_kubeconfig));
    SKIFF_CO_TRY(auto key, pending_or_new_key(settings));
    auto executor = co_await async::current_executor();
    kube::ApiClient client(executor, clock, config);
    auto certificate = co_await obtain(client, settings, key, clock, pace);
    if (!certificate && certificate.error().code == Code::conflict) {
        // The old key is of no use any more.
        SKIFF_CO_CHECK(os::remove_file(pending_key(settings)));
    }
    if (!certificate && certificate.error().code == Code::unauthenticated) {
        co_return fail(token_refused(config, settings));
    }
    if (!certificate) {
        co_return fail(std::move(certificate.error()));
    }
    SKIFF_CO_CHECK(store(settings, *certificate, key, clock));
    kube::ClientConfig own = config;
    own.token.clear();
    own.token_file.clear();
    own.tls.client_certificate_pem.clear();
    own.tls.client_key_pem.clear();
    own.tls.client_certificate_file = current_pem(settings);
    own.tls.client_key_file = current_pem(settings);
    SKIFF_CO_CHECK(os::make_folders(settings.kubeconfig.parent_path(), 0755));
    SKIFF_CO_CHECK(os::write_file_atomic(settings.kubeconfig, kube::format_kubeconfig(own, "skiff"),
                                         0600, os::Durability::power));
    log::info("client certificate stored", log::kv("path", current_pem(settings).string()));
    co_return own;
}

}  // namespace

async::Task<Result<kube::ClientConfig>> ensure_identity(NodeSettings settings, const Clock& clock,
                                                        BootstrapPace pace) {
    auto config = kube::load_kubeconfig(settings.kubeconfig);
    std::string problem =
        config ? problem_of(*config, settings, clock.wall_now()) : config.error().message;
    if (problem.empty()) {
        co_return std::move(*config);
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

async::Task<void> keep_identity(NodeSettings settings, kube::ApiClient& client, const Clock& clock,
                                Random& random) {
    fs::path renewable = current_pem(settings);
    while (client.config().tls.client_certificate_file == renewable) {
        auto facts = read_certificate(certificate_of(client.config()));
        Duration wait = kRenewRetry;
        if (facts) {
            auto life = facts->not_after - facts->not_before;
            auto renew_at = facts->not_before + std::chrono::duration_cast<Duration>(
                                                    life * (0.7 + 0.2 * random.uniform()));
            wait = std::max<Duration>(renew_at - clock.wall_now(), std::chrono::seconds(1));
        }
        // In steps: the wall clock may jump.
        auto step = std::min<Duration>(wait, std::chrono::minutes(10));
        auto slept = co_await async::sleep_for(step);
        if (!slept) {
            co_return;
        }
        if (step < wait) {
            continue;
        }
        auto key = pending_or_new_key(settings);
        if (!key) {
            log::error("certificate not renewed", log::kv("error", format_as(key.error())));
            continue;
        }
        BootstrapPace pace;
        auto certificate = co_await obtain(client, settings, *key, clock, pace);
        auto stored = certificate ? store(settings, *certificate, *key, clock)
                                  : Result<void>(fail(std::move(certificate.error())));
        if (!stored) {
            log::error("certificate not renewed", log::kv("error", format_as(stored.error())));
            auto paused = co_await async::sleep_for(kRenewRetry);
            if (!paused) {
                co_return;
            }
            continue;
        }
        // Connections made with the old certificate end: the server knows a peer by its handshake.
        client.set_config(client.config());
        log::info("client certificate renewed");
    }
}

}  // namespace skiff::node
