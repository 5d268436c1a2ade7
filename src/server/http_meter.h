// Counts what comes in by HTTP, around another handler. Reactor thread.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/metrics.h"
#include "base/time.h"
#include "http/server.h"
#include "server/metrics_text.h"

namespace skiff::server {

// The label `path` of a request: the routes of the kubelet API as a kubelet names them, "other" for
// whatever a stranger asks for.
[[nodiscard]] std::string_view metered_path(std::string_view target);

class HttpMeter final : public http::Handler {
public:
    // Both outlive it.
    HttpMeter(const Clock& clock, http::Handler& inner) : clock_(clock), inner_(inner) {}
    [[nodiscard]] async::Task<void> handle(http::Exchange& exchange) override;
    void write(MetricsText& text) const;

private:
    class InFlight;

    const Clock& clock_;
    http::Handler& inner_;
    std::map<metrics::LabelValues, std::size_t> in_flight_;
    metrics::Counters requests_{{"kubelet_http_requests_total",
                                 "HTTP requests to the node",
                                 {"long_running", "method", "path", "server_type"}}};
    metrics::Histograms seconds_{{"kubelet_http_requests_duration_seconds",
                                  "Duration of HTTP requests to the node",
                                  {"long_running", "method", "path", "server_type"}},
                                 metrics::kDefaultBounds};
};

}  // namespace skiff::server
