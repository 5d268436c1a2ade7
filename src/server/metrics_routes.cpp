#include "server/metrics_routes.h"

#include "base/log.h"
#include "server/kubelet_api.h"

namespace skiff::server {

namespace {

constexpr std::string_view kCheck = "syncloop";

std::optional<MetricsPage> page_of(const RequestTarget& target) {
    if (target.segments.size() == 1) {
        return MetricsPage::node;
    }
    if (target.segments.size() == 2 && target.segments[1] == "cadvisor") {
        return MetricsPage::containers;
    }
    if (target.segments.size() == 2 && target.segments[1] == "probes") {
        return MetricsPage::probes;
    }
    return std::nullopt;
}

}  // namespace

void HealthMetrics::write(const NodeView& node, MetricsText& text) {
    bool healthy = node.sync_loop_health().has_value();
    for (const char* status : {"error", "pending", "success"}) {
        bool now = status == std::string_view(healthy ? "success" : "error");
        checks_.add({std::string(kCheck), status, "healthz"}, now ? 1 : 0);
    }
    text.begin("kubernetes_healthcheck", MetricsText::Type::gauge, "Whether the check passes now");
    text.sample({{"name", kCheck}, {"type", "healthz"}}, healthy ? 1 : 0);
    text.add(checks_);
}

async::Task<int> MetricsRoutes::write(const RequestTarget& target, MetricsText& text) {
    if (target.segments.size() == 2 && target.segments[1] == "resource") {
        auto stats = co_await node_.stats(StatsScope::cpu_and_memory);
        stats ? write_resource_metrics(*stats, text) : write_failed_resource_metrics(text);
        co_return 200;
    }
    if (target.segments.size() == 2 && target.segments[1] == "slis") {
        health_.write(node_, text);
        co_return 200;
    }
    auto page = page_of(target);
    if (!page || pages_ == nullptr) {
        co_return 404;
    }
    auto written = co_await pages_->write(*page, text);
    if (!written) {
        log::warn("metrics page not made", log::kv("error", format_as(written.error())));
        co_return 500;
    }
    co_return 200;
}

async::Task<void> MetricsRoutes::serve(http::Exchange& exchange, const RequestTarget& target) {
    http::ServerResponse response = http::plain_text(405, "405: Method Not Allowed");
    if (exchange.request().method != "GET") {
        response.headers.set("Allow", "GET");
        auto sent = co_await exchange.respond(std::move(response));
        co_return;
    }
    auto accept = exchange.request().headers.find("Accept");
    MetricsFormat format = metrics_format(accept ? *accept : std::string_view());
    MetricsText text(format);
    int status = co_await write(target, text);
    if (status == 200) {
        response = http::ServerResponse();
        response.headers.set("Content-Type", std::string(content_type_of(format)));
        response.body = std::move(text).str();
    } else if (status == 404) {
        response = http::plain_text(404, "404: Page Not Found");
    } else {
        response = http::plain_text(500, "the node cannot be looked at; its log says why");
    }
    // A peer that has gone needs no answer.
    auto sent = co_await exchange.respond(std::move(response));
}

}  // namespace skiff::server
