#include "app/request_meter.h"

#include <string>

#include "http/url.h"

namespace skiff::app {

namespace {

// "10.0.0.1:6443"
std::string host_of(const std::string& server) {
    auto url = http::parse_url(server);
    return url ? fmt::format("{}:{}", url->host, url->port) : std::string();
}

}  // namespace

void count_requests(kube::ApiClient& client, Meters& meters) {
    client.set_observer([&meters](const kube::ApiClient::Exchange& exchange) {
        std::string host = host_of(exchange.server);
        std::string code = exchange.status == 0 ? "<error>" : std::to_string(exchange.status);
        meters.requests.add({code, host, exchange.method});
        meters.request_seconds.observe({host, exchange.method}, exchange.took);
    });
}

}  // namespace skiff::app
