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
        }
    }
    if (memory.total.value == 0) {
        return fail(Code::corrupt, "/proc/meminfo has no MemTotal");
    }
    return memory;
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
