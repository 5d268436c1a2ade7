#include "server/http_meter.h"

#include <algorithm>

namespace skiff::server {

namespace {

constexpr std::string_view kMethods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"};
// Served until somebody ends it.
constexpr std::string_view kStreams[] = {"attach", "exec", "portForward", "containerLogs", "run"};
constexpr std::string_view kPaths[] = {"attach",
                                       "configz",
                                       "containerLogs",
                                       "exec",
                                       "healthz",
                                       "logs",
                                       "metrics",
                                       "metrics/slis",
                                       "pods",
                                       "portForward",
                                       "metrics/cadvisor",
                                       "metrics/resource",
                                       "metrics/probes",
                                       "runningpods",
                                       "skiff",
                                       "stats",
                                       "run"};

bool is_one_of(std::span<const std::string_view> names, std::string_view name) {
    return std::ranges::find(names, name) != names.end();
}

metrics::LabelValues labels_of(const http::ServerRequest& request) {
    std::string_view path = metered_path(request.target);
    std::string_view method =
        is_one_of(kMethods, request.method) ? request.method : metrics::kOverflow;
    bool is_stream = is_one_of(kStreams, path);
    return {is_stream ? "true" : "false", std::string(method), std::string(path), "readwrite"};
}

}  // namespace

std::string_view metered_path(std::string_view target) {
    std::string_view path = target.substr(0, target.find('?'));
    if (!path.starts_with('/')) {
        return metrics::kOverflow;
    }
    path.remove_prefix(1);
    if (path.ends_with('/')) {
        path.remove_suffix(1);
    }
    std::string_view first = path.substr(0, path.find('/'));
    std::string_view shown = first == "metrics" ? path : first;
    auto known = std::ranges::find(kPaths, shown);
    return known == std::end(kPaths) ? metrics::kOverflow : *known;
}

// Also of a request whose handler is cancelled because its peer has gone.
class HttpMeter::InFlight {
public:
    InFlight(HttpMeter& meter, metrics::LabelValues labels)
        : meter_(meter), labels_(std::move(labels)), begun_(meter.clock_.steady_now()) {
        ++meter_.in_flight_[labels_];
        meter_.requests_.add(labels_);
    }
    InFlight(const InFlight&) = delete;
    InFlight& operator=(const InFlight&) = delete;
    ~InFlight() {
        --meter_.in_flight_[labels_];
        meter_.seconds_.observe(labels_, meter_.clock_.steady_now() - begun_);
    }

private:
    HttpMeter& meter_;
    metrics::LabelValues labels_;
    SteadyTime begun_;
};

async::Task<void> HttpMeter::handle(http::Exchange& exchange) {
    InFlight counted(*this, labels_of(exchange.request()));
    co_await inner_.handle(exchange);
}

void HttpMeter::write(MetricsText& text) const {
    text.begin("kubelet_http_inflight_requests", MetricsText::Type::gauge,
               "HTTP requests in progress");
    for (const auto& [values, count] : in_flight_) {
        text.sample({{"long_running", values[0]},
                     {"method", values[1]},
                     {"path", values[2]},
                     {"server_type", values[3]}},
                    static_cast<double>(count));
    }
    text.add(requests_);
    text.add(seconds_);
}

}  // namespace skiff::server
