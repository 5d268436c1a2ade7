#include "app/request_meter.h"

#include <string>

#include "http/url.h"
#include "node/certificates.h"
#include "os/file.h"

namespace skiff::app {

namespace {

constexpr Bytes kPemBytesMax = 1_MiB;

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

std::optional<WallTime> client_certificate_end(const kube::ClientConfig& config) {
    std::string pem = config.tls.client_certificate_pem;
    if (const std::string& file = config.tls.client_certificate_file; !file.empty()) {
        std::error_code error;
        auto real = std::filesystem::canonical(file, error);  // it may be a link to the latest
        auto text = os::read_file(error ? std::filesystem::path(file) : real, kPemBytesMax);
        pem = text ? *text : std::string();
    }
    auto facts = node::read_certificate(pem);
    return facts ? std::optional(facts->not_after) : std::nullopt;
}

}  // namespace skiff::app
