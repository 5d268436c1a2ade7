#include "app/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>

#include "base/text.h"
#include "os/file.h"
#include "os/machine.h"

namespace skiff::app {

namespace {

using Type = server::MetricsText::Type;

// Fields of /proc/self/stat, counted as proc(5) does, less the two that the name may break up.
constexpr std::size_t kUtime = 14 - 3;
constexpr std::size_t kStime = 15 - 3;
constexpr std::size_t kThreads = 20 - 3;
constexpr std::size_t kStartTime = 22 - 3;
constexpr std::size_t kVirtualBytes = 23 - 3;
constexpr std::size_t kResidentPages = 24 - 3;

std::vector<double> stat_fields() {
    std::vector<double> fields;
    auto text = os::read_kernel_file("/proc/self/stat");
    auto name_end = text ? text->rfind(')') : std::string::npos;
    if (name_end == std::string::npos) {
        return fields;
    }
    for (std::string_view field : split(trim(std::string_view(*text).substr(name_end + 1)), ' ')) {
        fields.push_back(static_cast<double>(parse_int(field).value_or(0)));
    }
    return fields;
}

double open_files() {
    std::error_code error;
    double count = -1;  // the one that reads the folder
    for (std::filesystem::directory_iterator it("/proc/self/fd", error), end; it != end;
         it.increment(error)) {
        ++count;
    }
    return count;
}

}  // namespace

void write_process_metrics(server::MetricsText& text) {
    auto fields = stat_fields();
    if (fields.size() > kResidentPages) {
        auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
        text.begin("process_cpu_seconds_total", Type::counter, "CPU time of the agent");
        text.sample({}, (fields[kUtime] + fields[kStime]) / ticks);
        if (auto machine = os::cpu_times()) {
            std::chrono::duration<double> booted = machine->booted.time_since_epoch();
            text.gauge("process_start_time_seconds", "When the agent was started",
                       booted.count() + fields[kStartTime] / ticks);
        }
        text.gauge("process_resident_memory_bytes", "Memory of the agent",
                   fields[kResidentPages] * static_cast<double>(::sysconf(_SC_PAGESIZE)));
        text.gauge("process_virtual_memory_bytes", "Address space of the agent",
                   fields[kVirtualBytes]);
        text.gauge("process_threads", "Threads of the agent", fields[kThreads]);
    }
    text.gauge("process_open_fds", "Open files of the agent", open_files());
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        text.gauge("process_max_fds", "Files that the agent may have open",
                   static_cast<double>(limit.rlim_cur));
    }
}

}  // namespace skiff::app
