#include "app/static_pods.h"

namespace skiff::app {

StaticPods::StaticPods(async::Executor executor, StaticPorts ports,
                       const config::Settings& settings)
    : ports_(std::move(ports)),
      client_(std::move(executor), "skiff/" SKIFF_VERSION),
      file_period_(settings.file_check_frequency),
      url_period_(settings.http_check_frequency) {
    if (!settings.static_pod_path.empty()) {
        files_.emplace(ports_, settings.static_pod_path);
    }
    if (!settings.static_pod_url.empty()) {
        StaticUrlSettings its;
        its.url = settings.static_pod_url;
        for (const auto& [name, values] : settings.static_pod_url_header.fields) {
            for (const std::string& value : values) {
                its.headers.add(name, value);
            }
        }
        url_.emplace(ports_, client_, std::move(its));
    }
}

bool StaticPods::may_own(const PodUid& uid) const {
    constexpr std::size_t kUidDigits = 32;
    bool looks_so = uid.str().size() == kUidDigits &&
                    uid.str().find_first_not_of("0123456789abcdef") == std::string::npos;
    return looks_so && !((!files_ || files_->applied()) && (!url_ || url_->applied()));
}

async::Task<void> StaticPods::keep_files() {
    while (true) {
        auto slept = co_await async::sleep_for(file_period_);
        if (!slept) {
            co_return;
        }
        co_await files_->scan();
    }
}

async::Task<void> StaticPods::keep_url() {
    while (true) {
        co_await url_->poll();
        auto slept = co_await async::sleep_for(url_period_);
        if (!slept) {
            co_return;
        }
    }
}

async::Task<void> StaticPods::start(async::Scope& scope) {
    if (files_) {
        co_await files_->scan();
        scope.spawn("static pod files", keep_files());
    }
    if (url_) {
        scope.spawn("static pod URL", keep_url());
    }
}

}  // namespace skiff::app
