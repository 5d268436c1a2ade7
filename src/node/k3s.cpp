// k3s.h: what is asked of the supervisor.
#include "node/k3s.h"

#include <boost/json.hpp>

#include "base/log.h"
#include "base/text.h"
#include "http/status.h"
#include "http/url.h"
#include "node/certificates.h"
#include "node/private_files.h"
#include "os/file.h"

namespace skiff::node {

namespace {

namespace fs = std::filesystem;

constexpr Bytes kPemBytesMax = 1_MiB;
constexpr std::size_t kAnswerBytesMax = 1U << 20;
constexpr std::uint16_t kRke2SupervisorPort = 9345;
constexpr std::size_t kPasswordBytes = 16;
// A certificate is renewed in this part of its life.
constexpr double kRenewFrom = 0.5;
constexpr double kRenewSpread = 0.15;
constexpr Duration kLookEvery = std::chrono::minutes(10);
// However short-lived a server makes its certificates.
constexpr Duration kLookMin = std::chrono::seconds(10);
// Not before one is due.
constexpr Duration kLookPast = std::chrono::seconds(1);
constexpr Duration kRetry = std::chrono::minutes(1);

// Who asks.
enum class As { nobody, token, node };

// Requests to one supervisor.
class Supervisor {
public:
    Supervisor(async::Executor executor, K3sCluster cluster)
        : http_(std::move(executor), "skiff"), cluster_(std::move(cluster)) {}

    void set_certificate(const fs::path& file) { certificate_ = file; }

    [[nodiscard]] http::Request request(std::string url, As as) const {
        http::Request its;
        its.url = std::move(url);
        its.tls.ca_pem = cluster_.ca_pem;
        its.body_bytes_max = kAnswerBytesMax;
        if (as == As::node) {
            its.tls.client_certificate_file = certificate_;
            its.tls.client_key_file = certificate_;
        } else if (as == As::token && !cluster_.token.bootstrap.empty()) {
            its.headers.set("Authorization", "Bearer " + cluster_.token.bootstrap);
        } else if (as == As::token) {
            // Never as "server", whatever the token says: that is what servers join with.
            its.headers.set("Authorization",
                            "Basic " + base64_encode("node:" + cluster_.token.password));
        }
        return its;
    }
    // The body of a 200; other statuses as Code says.
    [[nodiscard]] async::Task<Result<std::string>> fetch(http::Request request) {
        const std::string url = request.url;
        SKIFF_CO_TRY(auto response, co_await http_.fetch(std::move(request)));
        if (response.status == 200) {
            co_return std::move(response.body);
        }
        const Code code = http::code_of_status(response.status).value_or(Code::unavailable);
        co_return fail(code, "{} answered {}", url, response.status);
    }
    [[nodiscard]] const K3sCluster& cluster() const { return cluster_; }

private:
    http::Client http_;
    K3sCluster cluster_;
    fs::path certificate_;
};

Result<std::string> supervisor_url(std::string_view server) {
    SKIFF_TRY(auto url, server_url(server));
    SKIFF_TRY(auto parsed, http::parse_url(url));
    if (parsed.path != "/" || !parsed.query.empty()) {
        return fail(Code::invalid, "the server is HOST:PORT, without a path: {}", server);
    }
    return url;
}

// The port of the API server, from the supervisor's configuration of its agents.
Result<std::uint16_t> api_port(std::string_view json) {
    boost::system::error_code error;
    const auto parsed = boost::json::parse(json, error);
    const auto* object = error ? nullptr : parsed.if_object();
    const auto* port = object == nullptr ? nullptr : object->if_contains("HTTPSPort");
    const auto* number = port == nullptr ? nullptr : port->if_int64();
    if (number == nullptr || *number < 1 || *number > 65535) {
        return fail(Code::corrupt, "the supervisor's configuration has no usable HTTPSPort");
    }
    return static_cast<std::uint16_t>(*number);
}

// Fills in program and API server.
async::Task<Result<void>> explore(K3sCluster& cluster) {
    auto executor = co_await async::current_executor();
    SKIFF_CO_TRY(auto url, http::parse_url(cluster.supervisor));
    std::vector<std::string> programs = {"k3s", "rke2"};
    if (url.port == kRke2SupervisorPort) {
        std::swap(programs[0], programs[1]);
    }
    Error first = fail(Code::not_found, "").value();
    for (const std::string& program : programs) {
        cluster.program = program;
        Supervisor its(executor, cluster);
        auto request = its.request(cluster.url("config"), As::token);
        auto answer = co_await its.fetch(std::move(request));
        if (answer) {
            SKIFF_CO_TRY(url.port, api_port(*answer));
            cluster.api_server = url.origin();
            co_return Result<void>{};
        }
        if (program == programs.front()) {
            first = std::move(answer.error());
        }
    }
    if (first.code == Code::unauthenticated || first.code == Code::denied) {
        co_return fail(Code::denied,
                       "{} does not accept the token: it is mistyped, was changed, or has expired",
                       cluster.supervisor);
    }
    co_return fail(std::move(first));
}

// The password by which the supervisor knows that it is still the same machine.
Result<std::string> node_password(const NodeSettings& settings) {
    const fs::path file = settings.cert_dir / "k3s-node-password";
    auto kept = os::read_file(file, 4_KiB);
    if (kept && trim(*kept).size() >= kPasswordBytes) {
        return std::string(trim(*kept));
    }
    if (!kept && kept.error().code != Code::not_found) {
        return fail(std::move(kept.error()));
    }
    SystemRandom random;
    const std::string made = random.hex(kPasswordBytes);
    SKIFF_CHECK(os::make_folders(settings.cert_dir, 0700));
    SKIFF_CHECK(os::write_file_atomic(file, made + "\n", 0600, os::Durability::power));
    return made;
}

// The bytes of the first PEM block.
Result<std::string> der_of(std::string_view pem) {
    std::string base64;
    for (std::string_view line : split(pem, '\n')) {
        if (!line.starts_with("-----")) {
            base64 += trim(line);
        }
    }
    auto der = base64_decode(base64);
    if (!der) {
        return fail(Code::internal, "certificate request not readable");
    }
    return std::move(*der);
}

struct Pair {
    std::string certificates;
    std::string key;
};

// The PEM blocks of an answer. An older server sends its own key with the certificate, the same
// one for all nodes, and does not look at ours.
Pair split_pem(std::string_view text) {
    Pair pair;
    constexpr std::string_view kBegin = "-----BEGIN ";
    while (true) {
        const auto begin = text.find(kBegin);
        const auto mark = begin == std::string_view::npos ? begin : text.find("-----END ", begin);
        const auto line = mark == std::string_view::npos ? mark : text.find("-----", mark + 9);
        if (line == std::string_view::npos) {
            return pair;
        }
        const std::string_view block = text.substr(begin, line + 5 - begin);
        const bool is_key =
            block.substr(0, block.find('\n')).find("PRIVATE KEY") != std::string_view::npos;
        (is_key ? pair.key : pair.certificates).append(block).append("\n");
        text.remove_prefix(line + 5);
    }
}

// Asks as the node, and with the token where that is refused: the Node may have been deleted.
async::Task<Result<std::string>> ask(Supervisor& supervisor, http::Request base, As as) {
    auto request = supervisor.request(base.url, as);
    for (const auto& [name, value] : base.headers) {
        request.headers.add(name, value);
    }
    request.method = base.method;
    request.body = base.body;
    auto answer = co_await supervisor.fetch(std::move(request));
    if (answer || as == As::token || answer.error().code != Code::unauthenticated) {
        co_return answer;
    }
    auto again = ask(supervisor, std::move(base), As::token);
    co_return co_await std::move(again);
}

// One certificate, with its key, as one PEM text.
async::Task<Result<std::string>> obtain(Supervisor& supervisor, const NodeSettings& settings,
                                        std::string name, As as) {
    SKIFF_CO_TRY(auto key, generate_key());
    SKIFF_CO_TRY(auto password, node_password(settings));
    // Of which the supervisor takes the key only.
    RequestedSubject subject;
    subject.common_name = node_user(settings.name);
    subject.organization = kNodeGroup;
    SKIFF_CO_TRY(auto pem, make_certificate_request(key, subject));
    const std::string& program = supervisor.cluster().program;
    http::Request request;
    request.method = "POST";
    request.url = supervisor.cluster().url(name);
    SKIFF_CO_TRY(request.body, der_of(pem));
    request.headers.set("Content-Type", "application/pkcs10");
    request.headers.set(program + "-Node-Name", settings.name);
    request.headers.set(program + "-Node-Password", password);
    request.headers.set(program + "-Node-IP", fmt::format("{}", fmt::join(settings.ips, ",")));
    SKIFF_CO_TRY(auto answer, co_await ask(supervisor, std::move(request), as));
    Pair pair = split_pem(answer);
    if (pair.key.empty()) {
        pair.key = std::move(key);
    } else {
        log::warn("this server gives every node the same key: upgrade it",
                  log::kv("url", supervisor.cluster().url(name)));
    }
    if (!key_fits(pair.certificates, pair.key)) {
        co_return fail(Code::corrupt, "{} gave a certificate that does not fit the key",
                       supervisor.cluster().url(name));
    }
    co_return pair.certificates + pair.key;
}

async::Task<Result<void>> obtain_serving(Supervisor& supervisor, const NodeSettings& settings,
                                         As as) {
    SKIFF_CO_TRY(auto serving, co_await obtain(supervisor, settings, "serving-kubelet.crt", as));
    http::Request request;
    request.url = supervisor.cluster().url("client-ca.crt");
    SKIFF_CO_TRY(auto client_ca, co_await ask(supervisor, std::move(request), as));
    SKIFF_CO_CHECK(public_key_hashes(client_ca));
    SKIFF_CO_CHECK(os::write_file_atomic(k3s_client_ca_file(settings), client_ca, 0644,
                                         os::Durability::power));
    co_return os::write_file_atomic(k3s_serving_file(settings), serving, 0600,
                                    os::Durability::power);
}

async::Task<Result<void>> obtain_all(Supervisor& supervisor, const NodeSettings& settings, As as) {
    SKIFF_CO_TRY(auto client, co_await obtain(supervisor, settings, "client-kubelet.crt", as));
    SKIFF_CO_CHECK(co_await obtain_serving(supervisor, settings, as));
    co_return os::write_file_atomic(k3s_client_file(settings), client, 0600, os::Durability::power);
}

// A refusal in words that say what to do.
Error explain(Error error, const NodeSettings& settings, const K3sCluster& cluster) {
    if (error.code == Code::denied) {
        error.message = fmt::format(
            "{} knows another machine by the name {}, or this one by another password. Choose "
            "another nodeName, or, if that machine is gone, delete the Node and the Secret "
            "{}.node-password.{} in kube-system ({})",
            cluster.supervisor, settings.name, settings.name, cluster.program, error.message);
    } else if (error.code == Code::unauthenticated) {
        error.message = fmt::format(
            "{} does not accept the token any more: run `skiff node join` with a new one ({})",
            cluster.supervisor, error.message);
    }
    return error;
}

Result<CertificateFacts> facts_of(const fs::path& file) {
    SKIFF_TRY(auto pem, os::read_file(file, kPemBytesMax));
    return read_certificate(pem);
}

// How long until it is to be renewed; zero: now.
Duration until_due(const Result<CertificateFacts>& facts, WallTime now, double part) {
    if (!facts) {
        return Duration::zero();
    }
    const auto due = renewal_time(*facts, facts->not_before, part);
    return std::max<Duration>(due - now, Duration::zero());
}

// When to look at the certificates again, which are as they should be.
Duration next_look(const NodeSettings& settings, WallTime now, double part) {
    const Duration left = std::min(until_due(facts_of(k3s_client_file(settings)), now, part),
                                   until_due(facts_of(k3s_serving_file(settings)), now, part));
    return std::clamp<Duration>(left + kLookPast, kLookMin, kLookEvery);
}

// Whether callers find the node's addresses in it.
bool names_all(const CertificateFacts& facts, const NodeSettings& settings) {
    return std::ranges::all_of(settings.ips, [&](const std::string& ip) {
        return std::ranges::count(facts.ips, format_ip(ip).value_or(ip)) > 0;
    });
}

}  // namespace

async::Task<Result<void>> join_k3s(JoinRequest request) {
    K3sCluster cluster;
    SKIFF_CO_TRY(cluster.token, parse_k3s_token(request.token));
    SKIFF_CO_TRY(cluster.supervisor, supervisor_url(request.server));
    auto executor = co_await async::current_executor();
    // The CA first, from whoever answers; then once more from who can prove to be of it.
    Supervisor stranger(executor, cluster);
    auto untrusted = stranger.request(cluster.supervisor + "/cacerts", As::nobody);
    untrusted.tls.verify = http::Verify::kNothing;
    SKIFF_CO_TRY(cluster.ca_pem, co_await stranger.fetch(std::move(untrusted)));
    SKIFF_CO_TRY(auto hash, k3s_ca_hash(cluster.ca_pem));
    if (hash != cluster.token.ca_hash) {
        co_return fail(Code::denied,
                       "the CA of {} has the hash {}, the token is for {}: either it is of "
                       "another cluster, or somebody answers in the server's place",
                       cluster.supervisor, hash, cluster.token.ca_hash);
    }
    Supervisor supervisor(executor, cluster);
    auto trusted = supervisor.request(cluster.supervisor + "/cacerts", As::nobody);
    SKIFF_CO_CHECK(co_await supervisor.fetch(std::move(trusted)));
    SKIFF_CO_CHECK(co_await explore(cluster));
    SKIFF_CO_CHECK(os::make_folders(request.bootstrap_kubeconfig.parent_path(), 0755));
    co_return os::write_file_atomic(k3s_cluster_file(request.bootstrap_kubeconfig),
                                    format_k3s_cluster(cluster), 0600, os::Durability::power);
}

async::Task<Result<void>> ensure_k3s_identity(NodeSettings settings, K3sCluster cluster,
                                              BootstrapPace pace) {
    auto executor = co_await async::current_executor();
    Supervisor supervisor(executor, cluster);
    SKIFF_CO_CHECK(os::make_folders(settings.cert_dir, 0700));
    Duration pause = pace.first;
    bool told = false;
    while (true) {
        auto obtained = co_await obtain_all(supervisor, settings, As::token);
        if (obtained) {
            break;
        }
        if (!is_away(obtained.error())) {
            co_return fail(explain(std::move(obtained.error()), settings, cluster));
        }
        if (!std::exchange(told, true)) {
            log::warn("server does not answer, waiting for it",
                      log::kv("server", cluster.supervisor),
                      log::kv("error", format_as(obtained.error())));
        }
        SKIFF_CO_CHECK(co_await async::sleep_for(pause));
        pause = std::min(pause * 2, pace.longest);
    }
    kube::ClientConfig own;
    own.server = cluster.api_server;
    own.tls.ca_pem = cluster.ca_pem;
    own.tls.client_certificate_file = k3s_client_file(settings);
    own.tls.client_key_file = k3s_client_file(settings);
    SKIFF_CO_CHECK(store_own_kubeconfig(settings.kubeconfig, own));
    log::info("certificates stored", log::kv("server", cluster.supervisor),
              log::kv("path", own.tls.client_certificate_file));
    co_return Result<void>{};
}

async::Task<void> keep_k3s_certificates(NodeSettings settings, const kube::ApiClient& client,
                                        const Clock& clock, Random& random) {
    auto cluster = find_k3s_cluster(settings);
    if (!cluster || !*cluster ||
        client.config().tls.client_certificate_file != k3s_client_file(settings)) {
        co_return;
    }
    auto executor = co_await async::current_executor();
    const double part = kRenewFrom + kRenewSpread * random.uniform();
    std::string told;
    while (true) {
        const auto own = facts_of(k3s_client_file(settings));
        const auto serving = facts_of(k3s_serving_file(settings));
        const Duration client_left = until_due(own, clock.wall_now(), part);
        const Duration serving_left = until_due(serving, clock.wall_now(), part);
        const bool client_old = client_left == Duration::zero();
        const bool serving_old = serving_left == Duration::zero() || !names_all(*serving, settings);
        Result<void> renewed;
        if (client_old || serving_old) {
            // Anew each time: a connection is as whom it was made.
            Supervisor supervisor(executor, **cluster);
            supervisor.set_certificate(k3s_client_file(settings));
            const As as = own ? As::node : As::token;
            if (client_old) {
                renewed = co_await obtain_all(supervisor, settings, as);
            } else {
                renewed = co_await obtain_serving(supervisor, settings, as);
            }
        }
        if (renewed && (client_old || serving_old)) {
            log::info("certificates renewed", log::kv("server", (*cluster)->supervisor));
        }
        const std::string problem =
            renewed ? std::string()
                    : explain(std::move(renewed.error()), settings, **cluster).message;
        if (!problem.empty() && problem != told) {
            log::warn("certificates not renewed", log::kv("error", problem));
        }
        told = problem;
        const Duration pause =
            problem.empty() ? next_look(settings, clock.wall_now(), part) : kRetry;
        auto slept = co_await async::sleep_for(pause);
        if (!slept) {
            co_return;
        }
    }
}

}  // namespace skiff::node
