// Tunnels to the servers of k3s and RKE2, whose API server reaches a node through them only
// (contract row 82). One to each server, for as long as the server offers it. Reactor thread only.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "async/event.h"
#include "async/scope.h"
#include "async/task.h"
#include "base/random.h"
#include "http/client.h"
#include "kube/client_config.h"
#include "node/tunnel_session.h"

namespace skiff::node {

// How many servers a node opens tunnels to.
inline constexpr std::size_t kTunnelServersMax = 32;

struct TunnelPace {
    // How often the list of servers and the own certificate are looked at.
    Duration look_every = std::chrono::seconds(30);
    // A server that does not answer, doubled each time; a lost tunnel is opened again after the
    // first.
    Duration retry_first = std::chrono::seconds(1);
    Duration retry_longest = std::chrono::seconds(30);
    // A server that has no such endpoint.
    Duration absent_retry = std::chrono::minutes(10);
    // How long the connections of a tunnel go on that a new certificate has replaced.
    Duration retire_max = std::chrono::minutes(10);
};

struct TunnelSettings {
    // "https://SERVER/v1-k3s/connect"; empty: at the API server.
    std::string endpoint;
    // `surely`: the node joined a k3s or RKE2 cluster, so a server without the endpoint is a
    // problem. `maybe`: most likely it is no k3s. `never`: no server is asked.
    enum class Expected { never, maybe, surely } expected = Expected::maybe;
    std::uint16_t port = 10250;      // of the kubelet
    std::vector<std::string> hosts;  // the addresses that mean this node, besides the loopback
    std::string kubelet_url;         // "http://127.0.0.1:10250": where the kubelet listens
    TunnelPace pace;
};

// The answer of /v1-k3s/apiservers: ["10.0.0.1:6443"]. Fails with corrupt.
[[nodiscard]] Result<std::vector<std::string>> parse_server_list(std::string_view json);
// Where the server `listed` there has its tunnel, if `endpoint` is that of another one: the same
// port and path (RKE2 lists its API servers, which have another port). Fails with invalid.
[[nodiscard]] Result<std::string> endpoint_at(const std::string& endpoint, std::string_view listed);

class Tunnels {
public:
    // `identity` says who and where the API server is, now; `random` outlives it.
    Tunnels(async::Executor executor, std::function<kube::ClientConfig()> identity, Random& random,
            TunnelSettings settings);

    void start();
    // Ends every tunnel with what goes through it.
    [[nodiscard]] async::Task<void> stop();

    // The endpoints with an open tunnel.
    [[nodiscard]] std::set<std::string> open() const;
    // How often one was opened. 0: this cluster offers none.
    [[nodiscard]] std::uint64_t opened_count() const { return opened_count_; }

private:
    // The tunnel to one server.
    struct Tunnel {
        Tunnel(async::Executor executor, std::string its_endpoint)
            : endpoint(std::move(its_endpoint)), scope(std::move(executor)) {}
        std::string endpoint;
        std::shared_ptr<TunnelSession> session;
        bool renew = false;  // the certificate has changed
        bool known = false;  // the server has offered it before
        bool told = false;   // its present trouble is in the log
        int failures = 0;    // in a row
        async::Event poked;
        async::Scope scope;
    };

    [[nodiscard]] std::string first_endpoint() const;
    [[nodiscard]] http::Request request_for(std::string url) const;
    [[nodiscard]] async::Task<void> follow();
    [[nodiscard]] async::Task<void> follow_servers();
    [[nodiscard]] async::Task<Result<std::vector<std::string>>> fetch_servers();
    void renew_if_changed();
    [[nodiscard]] async::Task<void> keep(Tunnel* tunnel);
    [[nodiscard]] async::Task<Result<std::shared_ptr<TunnelSession>>> connect(std::string endpoint);
    [[nodiscard]] async::Task<void> serve(Tunnel* tunnel, std::shared_ptr<TunnelSession> session);
    [[nodiscard]] async::Task<void> end_later(std::shared_ptr<TunnelSession> session) const;
    [[nodiscard]] Duration pause_after(Tunnel& tunnel, const Error& error);
    void add(const std::string& endpoint);

    async::Executor executor_;
    std::function<kube::ClientConfig()> identity_;
    Random& random_;
    TunnelSettings settings_;
    http::Client http_;
    std::map<std::string, std::unique_ptr<Tunnel>> tunnels_;
    std::string fingerprint_;
    async::Event opened_;
    std::uint64_t opened_count_ = 0;
    async::Scope scope_;
};

}  // namespace skiff::node
