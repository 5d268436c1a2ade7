// What /proc says about this machine.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "base/types.h"

namespace skiff::os {

// Random id of this boot, without the final newline; read once per process.
[[nodiscard]] const std::string& boot_id();
// CPUs that this process may run on, at least 1.
[[nodiscard]] unsigned cpu_count();
// Model and flags of the first CPU: two machines with the same text run the same native code.
[[nodiscard]] std::string cpu_features();

struct Memory {
    Bytes total;
    Bytes available;  // MemAvailable
    Bytes swap_total;
    Bytes swap_free;
};
[[nodiscard]] Result<Memory> memory();

struct CpuTimes {
    std::chrono::nanoseconds busy{};  // of all CPUs since the boot, to 10 ms
    WallTime booted;
};
[[nodiscard]] Result<CpuTimes> cpu_times();

struct Kernel {
    std::string release;   // "6.1.0-18-amd64"
    std::string machine;   // "x86_64"
    std::string os_image;  // PRETTY_NAME of /etc/os-release, "Linux" if there is none
    std::string hostname;
};
[[nodiscard]] Kernel kernel();
// systemd's machine id and the DMI product uuid, empty when unreadable.
[[nodiscard]] std::string machine_id();
[[nodiscard]] std::string system_uuid();

}  // namespace skiff::os
