#include "node/service.h"

#include <systemd/sd-daemon.h>

#include <cstdlib>
#include <string>

#include "base/log.h"

namespace skiff::node {

Result<ServiceLink> ServiceLink::from_environment() {
    ServiceLink link;
    const char* socket = ::getenv("NOTIFY_SOCKET");
    link.present_ = socket != nullptr && *socket != '\0';
    std::uint64_t micros = 0;
    int wanted = ::sd_watchdog_enabled(0, &micros);
    if (wanted < 0) {
        return fail(Code::invalid, "WATCHDOG_USEC or WATCHDOG_PID is not a number");
    }
    if (wanted > 0) {
        link.watchdog_ = std::chrono::microseconds(micros);
        if (*link.watchdog_ <= kWatchdogMin) {
            return fail(Code::invalid, "the watchdog's time {} is too short; allowed: more than {}",
                        format_duration(*link.watchdog_), format_duration(kWatchdogMin));
        }
    }
    return link;
}

void ServiceLink::tell(std::string_view assignments) const {
    if (!present_) {
        return;
    }
    int told = ::sd_notify(0, std::string(assignments).c_str());
    if (told < 0) {
        log::warn("service manager not told",
                  log::kv("error", errno_error(-told, "sd_notify").message));
    }
}

void ServiceLink::tell_status(std::string_view status, std::string_view assignments) const {
    std::string text = fmt::format("STATUS={}", status.substr(0, status.find('\n')));
    if (!assignments.empty()) {
        text += "\n";
        text += assignments;
    }
    tell(text);
}

}  // namespace skiff::node
