#include "app/doors.h"

#include "base/log.h"
#include "config/fields.h"
#include "node/serving_request.h"

namespace skiff::app {

namespace {

constexpr auto kServerGrace = std::chrono::seconds(2);

server::KubeletApiSettings api_settings(const config::Settings& settings) {
    server::KubeletApiSettings its;
    its.node_name = settings.node_name;
    its.anonymous =
        settings.anonymous_auth ? server::Anonymous::allowed : server::Anonymous::refused;
    its.debug_handlers = settings.enable_debugging_handlers ? server::DebugHandlers::enabled
                                                            : server::DebugHandlers::disabled;
    its.authorization = settings.authorization_mode == "AlwaysAllow"
                            ? server::AuthorizationMode::always_allow
                            : server::AuthorizationMode::webhook;
    its.token_reviews =
        settings.webhook_auth ? server::TokenReviews::enabled : server::TokenReviews::disabled;
    its.token_lifetime = settings.webhook_auth_cache_ttl;
    its.answer_lifetimes = {settings.authorized_cache_ttl, settings.unauthorized_cache_ttl};
    its.configz = config::render_configz(settings);
    return its;
}

// `reviews`: whether there is a cluster that could sign.
node::ServingFiles serving_files(const config::Settings& settings, const server::Reviews* reviews) {
    node::ServingFiles files{settings.tls_cert_file, settings.tls_private_key_file,
                             settings.client_ca_file};
    if (settings.server_tls_bootstrap && reviews == nullptr) {
        log::warn("serverTLSBootstrap has no effect without an API server");
    } else if (settings.server_tls_bootstrap) {
        files.source = node::ServingSource::cluster;
    }
    return files;
}

}  // namespace

Doors::Doors(Base& base, Rooms& rooms, server::Reviews* reviews, const config::Settings& settings,
             const node::NodeSettings& node)
    : base_(base),
      settings_(settings),
      node_(node),
      tls_(node, serving_files(settings, reviews), base.clock),
      images_({rooms.image_rooms(), rooms.runtime(), settings.root_dir,
               [its = &rooms](const images::StoredImage& image) {
                   return pod_that_needs(its->pods(), image);
               }}),
      image_routes_(images_),
      event_routes_(base.events),
      remote_exec_(rooms),
      node_ports_(rooms),
      streaming_(remote_exec_, node_ports_),
      api_(base.clock, rooms.view(), rooms.logs(), reviews, api_settings(settings)),
      metered_api_(base.clock, api_),
      server_(base.reactor.executor(), base.clock, metered_api_, http::ServerLimits{}),
      metrics_({base, rooms, metered_api_, server_}, settings.node_name),
      exec_(base.reactor.executor(), rooms),
      scope_(base.reactor.executor()) {
    api_.offer("images", image_routes_);
    api_.offer("events", event_routes_);
    api_.offer(metrics_);
    api_.offer(streaming_);
}

Result<void> Doors::open(const state::Paths& paths) {
    SKIFF_CHECK(server_.listen_local(paths.agent_socket()));
    scope_.spawn("reactor lag", metrics_.watch_reactor());
    SKIFF_CHECK(exec_.open(paths.exec_socket()));
    SKIFF_TRY(auto tls, tls_.refresh());
    auto port = server_.listen_tls(settings_.address, static_cast<std::uint16_t>(settings_.port),
                                   std::move(tls));
    if (!port) {
        return fail(std::move(port.error()).context(fmt::format("port {}", settings_.port)));
    }
    http::Server* server = &server_;
    std::function<void(std::shared_ptr<const http::ServerTls>)> use =
        [server](std::shared_ptr<const http::ServerTls> fresh) {
            server->replace_tls(std::move(fresh));
        };
    scope_.spawn("serving certificate", node::keep_serving(tls_, std::move(use)));
    if (settings_.healthz_port == 0) {
        return {};
    }
    auto health = server_.listen_plain(settings_.healthz_bind_address,
                                       static_cast<std::uint16_t>(settings_.healthz_port));
    if (!health) {
        return fail(std::move(health.error())
                        .context(fmt::format("healthzPort {}", settings_.healthz_port)));
    }
    return {};
}

void Doors::have_certificate_signed(kube::ApiClient& client, node::CertificateRecord& record) {
    if (settings_.server_tls_bootstrap) {
        node::ServingRequestParts parts{client, base_.clock, base_.random, record,
                                        [this] { tls_.poke(); }};
        scope_.spawn("serving request", node::keep_serving_certificate(node_, std::move(parts)));
    }
}

async::Task<void> Doors::close() {
    co_await exec_.close();
    co_await scope_.stop();
    co_await server_.stop(kServerGrace);
}

}  // namespace skiff::app
