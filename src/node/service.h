// The service manager that started the agent: systemd's sd_notify protocol (contract row 57).
#pragma once

#include <optional>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace skiff::node {

// A watchdog that wants a sign of life this often, or more often, cannot be kept.
inline constexpr Duration kWatchdogMin = std::chrono::seconds(1);

// A value: what the environment says.
class ServiceLink {
public:
    // From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. Fails with invalid when a watchdog is
    // wanted that cannot be kept: its time is no number, or at most kWatchdogMin.
    [[nodiscard]] static Result<ServiceLink> from_environment();

    // Whether a manager listens.
    [[nodiscard]] bool present() const { return present_; }
    // Within which time the manager wants a sign of life; nullopt: it wants none.
    [[nodiscard]] std::optional<Duration> watchdog() const { return watchdog_; }
    // Tells assignments ("READY=1"), one a line. Never blocks; what cannot be told is one line in
    // the log.
    void tell(std::string_view assignments) const;
    // Tells "STATUS=…", what `systemctl status` shows, beside `assignments`. A line break ends it.
    void tell_status(std::string_view status, std::string_view assignments = {}) const;

private:
    bool present_ = false;
    std::optional<Duration> watchdog_;
};

}  // namespace skiff::node
