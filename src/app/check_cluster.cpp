#include "app/check_cluster.h"

#include <array>
#include <cmath>

#include "base/text.h"
#include "http/client.h"
#include "kube/client_api.h"
#include "kube/codec.h"
#include "node/status.h"
#include "os/file.h"

namespace skiff::app {

namespace {

constexpr Duration kTimeout = std::chrono::seconds(5);
// Tokens and certificates are judged to the second; a lease is good for forty.
constexpr auto kSkewWarn = std::chrono::seconds(5);
constexpr auto kSkewFail = std::chrono::seconds(30);
constexpr Bytes kTokenBytesMax = 64_KiB;

async::Task<Result<ServerAnswer>> ask(http::Client& client, kube::ClientConfig config,
                                      std::string path) {
    http::Request request;
    request.url = config.server + path;
    request.tls = config.tls;
    request.proxy = config.proxy;
    request.timeouts.connect = kTimeout;
    request.timeouts.total = kTimeout;
    std::string token = config.token;
    if (!config.token_file.empty()) {
        auto text = os::read_kernel_file(config.token_file);
        token = text && text->size() <= kTokenBytesMax.value ? std::string(trim(*text)) : "";
    }
    if (!token.empty()) {
        request.headers.set("Authorization", "Bearer " + token);
    }
    SKIFF_CO_TRY(auto response, co_await client.fetch(std::move(request)));
    ServerAnswer answer;
    answer.status = response.status;
    answer.date = response.headers.find("Date").value_or("");
    answer.body = std::move(response.body);
    answer.at = SystemClock().wall_now();
    co_return answer;
}

std::optional<std::int64_t> month_of(std::string_view name) {
    constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    for (std::size_t i = 0; i < kMonths.size(); ++i) {
        if (kMonths[i] == name) {
            return static_cast<std::int64_t>(i + 1);
        }
    }
    return std::nullopt;
}

Finding judge_version(const ClusterFacts& facts) {
    const std::string check = "cluster: API server";
    if (!facts.version) {
        return {check, Verdict::fail,
                fmt::format("{}: {}", facts.server, facts.version.error().message),
                "Check address, firewall, proxy variables and the CA in the kubeconfig."};
    }
    auto version = kube::from_json<kube::VersionAnswer>(facts.version->body);
    // A server may hide its version from strangers.
    if (facts.version->status != 200 || !version) {
        return fine(check, fmt::format("{} answers {}", facts.server, facts.version->status));
    }
    return fine(check, fmt::format("{} is {}, the node will be {}", facts.server,
                                   bounded_utf8(version->gitVersion, 40),
                                   node::kubelet_version_for(version->gitVersion)));
}

Finding judge_skew(const ClusterFacts& facts) {
    const std::string check = "time: clock";
    auto theirs = parse_http_date(facts.version->date);
    if (!theirs) {
        return {check, Verdict::warn, "the API server does not tell the time",
                "Compare this machine's clock with the API server's by hand."};
    }
    auto skew = std::chrono::duration_cast<std::chrono::seconds>(facts.version->at - *theirs);
    std::string detail = fmt::format("{} s {} the API server's", std::abs(skew.count()),
                                     skew < std::chrono::seconds(0) ? "behind" : "ahead of");
    auto size = std::chrono::abs(skew);
    std::string remedy = "Synchronise both machines' clocks (chrony, systemd-timesyncd, ntpd).";
    if (size >= kSkewFail) {
        return {check, Verdict::fail, detail, remedy};
    }
    return size >= kSkewWarn ? Finding{check, Verdict::warn, detail, remedy} : fine(check, detail);
}

Finding judge_credentials(const ClusterFacts& facts) {
    bool is_node = facts.credentials == ClusterFacts::Credentials::node;
    const std::string check = "cluster: credentials";
    if (facts.credentials == ClusterFacts::Credentials::plugin) {
        return fine(check, "not tried: a plugin of the kubeconfig gives them");
    }
    std::string remedy = is_node ? "Remove the kubeconfig and join again: skiff node join."
                                 : "Make a new token (kubeadm token create) and join again: skiff "
                                   "node join.";
    if (!facts.own) {
        return {check, Verdict::fail, facts.own.error().message, "See the API server's check."};
    }
    switch (facts.own->status) {
        case 200:
            return fine(check, is_node ? "accepted; the Node exists" : "accepted");
        case 404:
            return fine(check, "accepted; there is no Node of this name yet");
        case 401:
            return {check, Verdict::fail, "the API server does not know them", remedy};
        case 403:
            // A bootstrap token may ask for certificates and little else.
            return is_node ? Finding{check, Verdict::fail, "they are not this node's",
                                     "The certificate must be of system:node:NAME in the group "
                                     "system:nodes; see deploy/cluster.yaml for other identities."}
                           : fine(check, "accepted");
        default:
            return {check, Verdict::warn,
                    fmt::format("the API server answers {}", facts.own->status),
                    "Look at the API server."};
    }
}

}  // namespace

std::optional<WallTime> parse_http_date(std::string_view text) {
    // Day, DD Mon YYYY HH:MM:SS GMT
    constexpr std::size_t kSize = 29;
    if (text.size() != kSize || text.substr(3, 2) != ", " || text.substr(25) != " GMT" ||
        text[7] != ' ' || text[11] != ' ' || text[16] != ' ' || text[19] != ':' ||
        text[22] != ':') {
        return std::nullopt;
    }
    auto number = [text](std::size_t at, std::size_t size) -> std::int64_t {
        std::string_view digits = text.substr(at, size);
        bool plain = digits.find_first_not_of("0123456789") == std::string_view::npos;
        return plain ? parse_int(digits).value_or(-1) : -1;
    };
    auto month = month_of(text.substr(8, 3));
    std::int64_t hour = number(17, 2);
    std::int64_t minute = number(20, 2);
    std::int64_t second = number(23, 2);
    if (!month || number(5, 2) < 0 || number(12, 4) < 0 || hour < 0 || hour > 23 || minute < 0 ||
        minute > 59 || second < 0 || second > 60) {
        return std::nullopt;
    }
    std::chrono::year_month_day day(std::chrono::year(static_cast<int>(number(12, 4))),
                                    std::chrono::month(static_cast<unsigned>(*month)),
                                    std::chrono::day(static_cast<unsigned>(number(5, 2))));
    if (!day.ok()) {
        return std::nullopt;
    }
    return WallTime(std::chrono::sys_days(day).time_since_epoch() + std::chrono::hours(hour) +
                    std::chrono::minutes(minute) + std::chrono::seconds(second));
}

async::Task<ClusterFacts> observe_cluster(kube::ClientConfig client,
                                          ClusterFacts::Credentials credentials,
                                          std::string node_name) {
    http::Client http(co_await async::current_executor(), "skiff/" SKIFF_VERSION);
    ClusterFacts facts;
    facts.server = client.server;
    facts.credentials = credentials;
    facts.version = co_await ask(http, client, "/version");
    if (credentials != ClusterFacts::Credentials::plugin) {
        // Whatever a cluster lets nodes read of each other, the node authorizer keeps these apart.
        facts.own = co_await ask(
            http, client,
            kube::resource_path(kube::kResource<kube::Lease>, "kube-node-lease", node_name));
    }
    co_return facts;
}

Findings judge_cluster(const ClusterFacts& facts) {
    Findings all = {judge_version(facts)};
    if (facts.version) {
        all.push_back(judge_skew(facts));
        all.push_back(judge_credentials(facts));
    }
    return all;
}

}  // namespace skiff::app
