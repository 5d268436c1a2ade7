#include "app/service_watch.h"

#include <algorithm>

#include "base/log.h"

namespace skiff::app {

// How often the status is renewed, and the longest between two beats.
constexpr Duration kBeat = std::chrono::seconds(10);

void ServiceWatch::ready() {
    told_ = sources_.status();
    link_.tell_status(told_, "READY=1");
}

void ServiceWatch::stopping() {
    link_.tell_status("stopping", "STOPPING=1");
}

void ServiceWatch::beat() {
    auto health = sources_.health();
    std::string status = health ? sources_.status() : health.error().message;
    bool alive = health && link_.watchdog();
    if (!health && link_.watchdog()) {
        log::error("no sign of life for the service manager",
                   log::kv("error", health.error().message));
    }
    if (status != std::exchange(told_, status)) {
        link_.tell_status(status, alive ? "WATCHDOG=1" : "");
    } else if (alive) {
        link_.tell("WATCHDOG=1");
    }
}

async::Task<void> ServiceWatch::run() {
    if (!link_.present()) {
        co_return;
    }
    Duration period = kBeat;
    if (auto watchdog = link_.watchdog()) {
        period = std::min(period, *watchdog / 2);
    }
    while (true) {
        beat();
        auto slept = co_await async::sleep_for(period);
        if (!slept) {
            co_return;
        }
    }
}

}  // namespace skiff::app
