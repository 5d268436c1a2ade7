#include "node/tunnels.h"

#include <algorithm>
#include <boost/json.hpp>

#include "base/log.h"
#include "base/text.h"
#include "node/private_files.h"

namespace skiff::node {

namespace {

constexpr std::size_t kServerListBytesMax = 64U << 10;
constexpr Duration kConnectTimeout = std::chrono::seconds(10);

// Whether the server says that it has nothing there for us, rather than that it cannot now.
bool is_absent(const Error& error) {
    return error.code == Code::not_found || error.code == Code::denied ||
           error.code == Code::unsupported || error.code == Code::unauthenticated;
}

}  // namespace

Result<std::vector<std::string>> parse_server_list(std::string_view json) {
    boost::system::error_code error;
    auto parsed = boost::json::parse(json, error);
    const auto* list = error ? nullptr : parsed.if_array();
    if (list == nullptr) {
        return fail(Code::corrupt, "the list of servers is no JSON list");
    }
    std::vector<std::string> servers;
    for (const auto& item : *list) {
        const auto* text = item.if_string();
        if (text == nullptr) {
            return fail(Code::corrupt, "the list of servers has an entry that is no text");
        }
        servers.emplace_back(text->c_str(), text->size());
    }
    std::ranges::sort(servers);
    servers.erase(std::ranges::unique(servers).begin(), servers.end());
    servers.resize(std::min(servers.size(), kTunnelServersMax));
    return servers;
}

Result<std::string> endpoint_at(const std::string& endpoint, std::string_view listed) {
    SKIFF_TRY(auto known, http::parse_url(endpoint));
    SKIFF_TRY(auto server, http::parse_url(fmt::format("https://{}/", listed)));
    known.host = server.host;
    return known.str();
}

Tunnels::Tunnels(async::Executor executor, std::function<kube::ClientConfig()> identity,
                 Random& random, TunnelSettings settings)
    : executor_(executor),
      identity_(std::move(identity)),
      random_(random),
      settings_(std::move(settings)),
      http_(executor, "skiff"),
      scope_(std::move(executor)) {
    settings_.hosts.insert(settings_.hosts.end(), {"127.0.0.1", "::1"});
}

std::string Tunnels::first_endpoint() const {
    return settings_.endpoint.empty() ? identity_().server + "/v1-k3s/connect" : settings_.endpoint;
}

void Tunnels::start() {
    if (settings_.expected == TunnelSettings::Expected::never) {
        return;
    }
    fingerprint_ = client_certificate_of(identity_());
    add(first_endpoint());
    scope_.spawn("tunnels", follow());
}

async::Task<void> Tunnels::stop() {
    co_await scope_.stop();
    for (auto& [endpoint, tunnel] : tunnels_) {
        co_await tunnel->scope.stop();
    }
    tunnels_.clear();
}

std::set<std::string> Tunnels::open() const {
    std::set<std::string> endpoints;
    for (const auto& [endpoint, tunnel] : tunnels_) {
        if (tunnel->session != nullptr) {
            endpoints.insert(endpoint);
        }
    }
    return endpoints;
}

void Tunnels::add(const std::string& endpoint) {
    auto tunnel = std::make_unique<Tunnel>(executor_, endpoint);
    Tunnel* its = tunnel.get();
    tunnels_.emplace(endpoint, std::move(tunnel));
    its->scope.spawn("tunnel", keep(its));
}

async::Task<void> Tunnels::follow() {
    while (true) {
        // At once when a tunnel opens: a node that starts shall soon be known to all servers.
        opened_.reset();
        auto waited = co_await opened_.wait(after(settings_.pace.look_every));
        if (!waited && waited.error().code == Code::cancelled) {
            co_return;
        }
        renew_if_changed();
        if (!open().empty()) {
            co_await follow_servers();
        }
    }
}

void Tunnels::renew_if_changed() {
    std::string now = client_certificate_of(identity_());
    if (now == fingerprint_ || now.empty()) {
        return;
    }
    fingerprint_ = std::move(now);
    http_.reset_connections();
    for (auto& [endpoint, tunnel] : tunnels_) {
        tunnel->renew = true;
        // A server that offers no tunnel does not begin to because of another certificate: it is
        // not asked (and its audit log has no line) before its time.
        if (tunnel->known || settings_.expected == TunnelSettings::Expected::surely) {
            tunnel->poked.set();
        }
    }
}

async::Task<void> Tunnels::follow_servers() {
    auto servers = co_await fetch_servers();
    if (!servers) {
        log::debug("list of servers not read", log::kv("error", format_as(servers.error())));
        co_return;
    }
    std::set<std::string> wanted;
    const std::string first = first_endpoint();
    for (const std::string& server : *servers) {
        auto endpoint = endpoint_at(first, server);
        if (endpoint) {
            wanted.insert(std::move(*endpoint));
        }
    }
    if (wanted.empty()) {
        // A cluster without servers would not have answered.
        co_return;
    }
    for (const std::string& endpoint : wanted) {
        if (!tunnels_.contains(endpoint)) {
            add(endpoint);
            tunnels_[endpoint]->known = true;
        }
    }
    // One that left the list ends once others carry on: the list may lack what we dial.
    const auto opened = open();
    const bool carried = std::ranges::any_of(
        wanted, [&](const std::string& endpoint) { return opened.contains(endpoint); });
    for (auto at = tunnels_.begin(); carried && at != tunnels_.end();) {
        if (wanted.contains(at->first)) {
            ++at;
            continue;
        }
        auto gone = std::move(at->second);
        at = tunnels_.erase(at);
        co_await boost::asio::this_coro::throw_if_cancelled(false);
        co_await gone->scope.stop();
        co_await boost::asio::this_coro::throw_if_cancelled(true);
        log::info("tunnel ended: the server left the cluster", log::kv("endpoint", gone->endpoint));
    }
}

async::Task<Result<std::vector<std::string>>> Tunnels::fetch_servers() {
    Error last = fail(Code::not_found, "no tunnel is open").value();
    for (const std::string& endpoint : open()) {
        SKIFF_CO_TRY(auto url, http::parse_url(endpoint));
        url.path = url.path.substr(0, url.path.rfind('/')) + "/apiservers";
        auto request = request_for(url.str());
        request.body_bytes_max = kServerListBytesMax;
        auto response = co_await http_.fetch(std::move(request));
        if (response && response->status == 200) {
            co_return parse_server_list(response->body);
        }
        last = response
                   ? fail(Code::unavailable, "{} answered {}", url.str(), response->status).value()
                   : std::move(response.error());
    }
    co_return fail(std::move(last));
}

http::Request Tunnels::request_for(std::string url) const {
    const kube::ClientConfig config = identity_();
    http::Request request;
    request.url = std::move(url);
    request.tls = config.tls;
    request.proxy = config.proxy;
    request.timeouts.connect = kConnectTimeout;
    return request;
}

async::Task<Result<std::shared_ptr<TunnelSession>>> Tunnels::connect(std::string endpoint) {
    auto request = request_for(std::move(endpoint));
    SKIFF_CO_TRY(auto socket, co_await http::WebSocketClient::open(std::move(request), random_,
                                                                   kTunnelMessageBytesMax));
    TunnelTarget target;
    target.port = settings_.port;
    target.hosts = settings_.hosts;
    target.dial = [url = settings_.kubelet_url] {
        http::Request kubelet;
        kubelet.url = url;
        kubelet.proxy = "";
        kubelet.timeouts.connect = kConnectTimeout;
        return http::dial(std::move(kubelet));
    };
    co_return std::make_shared<TunnelSession>(executor_, std::move(socket), std::move(target));
}

Duration Tunnels::pause_after(Tunnel& tunnel, const Error& error) {
    const bool expected = tunnel.known || settings_.expected == TunnelSettings::Expected::surely;
    const bool absent = !expected && is_absent(error);
    if (!std::exchange(tunnel.told, true)) {
        const auto level = expected ? log::Level::warn : log::Level::debug;
        log::write(level, absent ? "no tunnel offered by this server" : "tunnel not open",
                   {log::kv("endpoint", tunnel.endpoint), log::kv("error", format_as(error))});
    }
    if (absent) {
        return settings_.pace.absent_retry;
    }
    const int doublings = std::min(tunnel.failures++, 10);
    const Duration pause = std::min<Duration>(settings_.pace.retry_first * (1 << doublings),
                                              settings_.pace.retry_longest);
    // Not all nodes at the same instant.
    return std::chrono::duration_cast<Duration>(pause * (0.5 + random_.uniform()));
}

async::Task<void> Tunnels::keep(Tunnel* tunnel) {
    while (true) {
        tunnel->renew = false;
        tunnel->poked.reset();
        auto opened = co_await connect(tunnel->endpoint);
        if (!opened) {
            const Duration pause = pause_after(*tunnel, opened.error());
            auto waited = co_await tunnel->poked.wait(after(pause));
            if (!waited && waited.error().code == Code::cancelled) {
                co_return;
            }
            continue;
        }
        tunnel->known = true;
        tunnel->told = false;
        tunnel->failures = 0;
        log::info("tunnel open", log::kv("endpoint", tunnel->endpoint));
        ++opened_count_;
        auto former = std::exchange(tunnel->session, *opened);
        opened_.set();
        tunnel->scope.spawn("tunnel session", serve(tunnel, *opened));
        if (former != nullptr) {
            former->retire();
            tunnel->scope.spawn("end of a tunnel", end_later(std::move(former)));
        }
        while (tunnel->session != nullptr && !tunnel->renew) {
            tunnel->poked.reset();
            auto waited = co_await tunnel->poked.wait();
            if (!waited) {
                co_return;
            }
        }
        if (tunnel->session == nullptr) {
            const auto pause = settings_.pace.retry_first * (0.5 + random_.uniform());
            auto slept = co_await async::sleep_for(std::chrono::duration_cast<Duration>(pause));
            if (!slept) {
                co_return;
            }
        }
    }
}

async::Task<void> Tunnels::serve(Tunnel* tunnel, std::shared_ptr<TunnelSession> session) {
    auto ended = co_await session->run();
    if (tunnel->session != session) {
        // Another one has replaced it.
        co_return;
    }
    tunnel->session.reset();
    tunnel->poked.set();
    if (!ended && ended.error().code != Code::cancelled) {
        log::warn("tunnel lost", log::kv("endpoint", tunnel->endpoint),
                  log::kv("error", format_as(ended.error())));
    }
}

async::Task<void> Tunnels::end_later(std::shared_ptr<TunnelSession> session) const {
    auto slept = co_await async::sleep_for(settings_.pace.retire_max);
    if (slept) {
        session->stop();
    }
}

}  // namespace skiff::node
