#include "os/machine.h"

#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/text.h"
#include "os/file.h"

namespace skiff::os {

namespace {

std::string trimmed_file(const char* path) {
    auto text = read_kernel_file(path);
    return text ? std::string(trim(*text)) : std::string{};
}

}  // namespace

const std::string& boot_id() {
    static const std::string id = trimmed_file("/proc/sys/kernel/random/boot_id");
    return id;
}

unsigned cpu_count() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) {
        return static_cast<unsigned>(CPU_COUNT(&set));
    }
    long online = ::sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? static_cast<unsigned>(online) : 1;
}

std::string cpu_features() {
    auto text = read_kernel_file("/proc/cpuinfo");
    if (!text) {
        // Machines with very many CPUs have more than the limit; the first one is at the start.
        text = std::string(kernel().machine);
    }
    std::string features = kernel().machine;
    for (auto line : split(*text, '\n')) {
        if (trim(line).empty()) {
            break;  // the second CPU follows
        }
        for (auto key : {"model name", "flags", "Features", "isa", "CPU part", "CPU implementer"}) {
            if (line.starts_with(key)) {
                features += "\n";
                features += line;
            }
        }
    }
    return features;
}

Result<Memory> memory() {
    SKIFF_TRY(std::string text, read_kernel_file("/proc/meminfo"));
    Memory memory;
    for (auto line : split(text, '\n')) {
        auto colon = line.find(':');
        if (colon == std::string_view::npos) {
            continue;
        }
        auto key = line.substr(0, colon);
        auto words = split(trim(line.substr(colon + 1)), ' ');
        auto kib = parse_uint(words.front());
        if (!kib) {
            continue;
        }
        Bytes value{*kib << 10};
        if (key == "MemTotal") {
            memory.total = value;
        } else if (key == "MemAvailable") {
            memory.available = value;
        } else if (key == "SwapTotal") {
            memory.swap_total = value;
        } else if (key == "SwapFree") {
            memory.swap_free = value;
        }
    }
    if (memory.total.value == 0) {
        return fail(Code::corrupt, "/proc/meminfo has no MemTotal");
    }
    return memory;
}

Result<CpuTimes> cpu_times() {
    SKIFF_TRY(std::string text, read_kernel_file("/proc/stat"));
    // "cpu  USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL GUEST …", in ticks; guests are part of
    // USER.
    constexpr std::size_t kIdle = 4;
    constexpr std::size_t kIowait = 5;
    constexpr std::size_t kSteal = 8;
    const auto tick = std::chrono::nanoseconds(std::chrono::seconds(1)) / ::sysconf(_SC_CLK_TCK);
    CpuTimes times;
    bool found = false;
    for (std::string_view line : split(text, '\n')) {
        std::vector<std::string_view> words;
        for (std::string_view word : split(line, ' ')) {
            if (!word.empty()) {
                words.push_back(word);
            }
        }
        if (words.size() > kSteal && words[0] == "cpu") {
            found = true;
            for (std::size_t i = 1; i <= kSteal; ++i) {
                if (i != kIdle && i != kIowait) {
                    times.busy +=
                        tick * static_cast<std::int64_t>(parse_uint(words[i]).value_or(0));
                }
            }
        } else if (words.size() == 2 && words[0] == "btime") {
            times.booted = WallTime(std::chrono::seconds(parse_uint(words[1]).value_or(0)));
        }
    }
    if (!found) {
        return fail(Code::corrupt, "/proc/stat has no line of all CPUs");
    }
    return times;
}

Kernel kernel() {
    struct utsname names{};
    Kernel kernel;
    if (::uname(&names) == 0) {
        kernel.release = names.release;
        kernel.machine = names.machine;
        kernel.hostname = names.nodename;
    }
    kernel.os_image = "Linux";
    if (auto release = read_kernel_file("/etc/os-release")) {
        constexpr std::string_view kKey = "PRETTY_NAME=";
        for (auto line : split(*release, '\n')) {
            if (line.starts_with(kKey)) {
                auto value = trim(line.substr(kKey.size()));
                if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
                    value = value.substr(1, value.size() - 2);
                }
                kernel.os_image = std::string(value);
            }
        }
    }
    return kernel;
}

std::string machine_id() {
    return trimmed_file("/etc/machine-id");
}

std::string system_uuid() {
    return trimmed_file("/sys/class/dmi/id/product_uuid");
}

}  // namespace skiff::os
