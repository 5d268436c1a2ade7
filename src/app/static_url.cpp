#include "app/static_url.h"

#include "base/log.h"
#include "kube/codec.h"

namespace skiff::app {

StaticUrl::StaticUrl(const StaticPorts& ports, http::Client& client, StaticUrlSettings settings)
    : client_(client),
      settings_(std::move(settings)),
      document_(ports, ManifestSource{ManifestSource::Kind::http, settings_.url}, {}) {}

async::Task<Result<void>> StaticUrl::ask() {
    http::Request request;
    request.url = settings_.url;
    request.headers = settings_.headers;
    request.timeouts.total = kStaticUrlTimeout;
    request.body_bytes_max = kube::kManifestBytesMax;
    SKIFF_CO_TRY(auto response, co_await client_.fetch(std::move(request)));
    if (response.status != 200) {
        co_return fail(Code::unavailable, "the server answers {}; allowed: 200", response.status);
    }
    co_return co_await document_.take(std::move(response.body));
}

async::Task<void> StaticUrl::poll() {
    auto asked = co_await ask();
    if (asked) {
        if (failures_ > 0) {
            log::info("static pod URL can be read again");
        }
        failures_ = 0;
    } else if (asked.error().code != Code::cancelled) {
        // Not the URL itself: it may hold a password.
        bool told = ++failures_ <= kStaticUrlFailuresTold;
        log::write(told ? log::Level::warn : log::Level::debug, "static pod URL",
                   {log::kv("error", format_as(asked.error())), log::kv("failures", failures_)});
    }
}

}  // namespace skiff::app
