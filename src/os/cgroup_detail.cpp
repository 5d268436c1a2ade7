#include "os/cgroup_detail.h"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <string>

#include "base/text.h"
#include "os/file.h"

namespace skiff::os {

namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

// Version 1 writes "no limit" as the largest number of whole pages.
constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 62;

std::optional<double> parse_share(std::string_view text) {
    auto dot = text.find('.');
    auto whole = parse_uint(text.substr(0, dot));
    std::string_view rest = dot == std::string_view::npos ? "0" : text.substr(dot + 1);
    auto part = parse_uint(rest);
    if (!whole || !part || rest.size() > 6) {
        return std::nullopt;
    }
    double scale = 1;
    for (std::size_t i = 0; i < rest.size(); ++i) {
        scale *= 10;
    }
    return static_cast<double>(*whole) + static_cast<double>(*part) / scale;
}

// "some avg10=0.12 avg60=… avg300=… total=…" without its first word.
std::optional<StallTimes> parse_stall_times(std::string_view text) {
    StallTimes times;
    int seen = 0;
    for (std::string_view part : split(text, ' ')) {
        auto equals = part.find('=');
        if (equals == std::string_view::npos) {
            continue;
        }
        std::string_view name = part.substr(0, equals);
        std::string_view value = part.substr(equals + 1);
        auto share = parse_share(value);
        if (!share) {
            return std::nullopt;
        }
        if (name == "avg10") {
            times.avg10 = *share;
        } else if (name == "avg60") {
            times.avg60 = *share;
        } else if (name == "avg300") {
            times.avg300 = *share;
        } else if (name == "total") {
            times.total = microseconds(parse_uint(value).value_or(0));
        } else {
            continue;
        }
        ++seen;
    }
    return seen == 4 ? std::optional(times) : std::nullopt;
}

// The files of a group, whichever of its folders they lie in.
class Files {
public:
    explicit Files(const CgroupPlace& place) : place_(place) {}

    std::optional<std::string> read(std::string_view name) const {
        for (const auto& folder : place_.folders) {
            auto path = folder / name;
            if (::access(path.c_str(), R_OK) != 0) {
                continue;
            }
            if (auto text = read_kernel_file(path)) {
                return std::move(*text);
            }
        }
        return std::nullopt;
    }
    // "max", "-1" and version 1's largest number are none.
    std::optional<std::uint64_t> number(std::string_view name) const {
        auto text = read(name);
        auto value = text ? parse_uint(trim(*text)) : std::nullopt;
        return value && *value < kNoLimit ? value : std::nullopt;
    }
    std::optional<Bytes> bytes(std::string_view name) const {
        auto value = number(name);
        return value ? std::optional(Bytes{*value}) : std::nullopt;
    }
    std::optional<Stalls> stalls(std::string_view name) const {
        auto text = read(name);
        return text ? parse_stalls(*text) : std::nullopt;
    }

private:
    const CgroupPlace& place_;
};

// A file of lines "name number".
class Fields {
public:
    explicit Fields(std::optional<std::string> text) {
        for (std::string_view line : split(text ? *text : std::string_view(), '\n')) {
            auto blank = line.find(' ');
            auto value = blank == std::string_view::npos ? std::nullopt
                                                         : parse_uint(trim(line.substr(blank + 1)));
            if (value) {
                values_.emplace(line.substr(0, blank), *value);
            }
        }
    }
    // The first of the names that is there.
    std::optional<std::uint64_t> find(std::initializer_list<std::string_view> names) const {
        for (std::string_view name : names) {
            if (auto found = values_.find(name); found != values_.end()) {
                return found->second;
            }
        }
        return std::nullopt;
    }
    std::optional<Bytes> bytes(std::initializer_list<std::string_view> names) const {
        auto value = find(names);
        return value ? std::optional(Bytes{*value}) : std::nullopt;
    }
    // In `unit`.
    template <typename Unit>
    std::optional<nanoseconds> time(std::string_view name) const {
        auto value = find({name});
        return value ? std::optional<nanoseconds>(Unit(*value)) : std::nullopt;
    }

private:
    std::map<std::string, std::uint64_t, std::less<>> values_;
};

void add_cpu(const Files& files, CgroupDetail& detail) {
    Fields stat(files.read("cpu.stat"));
    detail.periods = stat.find({"nr_periods"});
    detail.periods_throttled = stat.find({"nr_throttled"});
    detail.throttled = stat.time<microseconds>("throttled_usec");
    if (!detail.throttled) {
        detail.throttled = stat.time<nanoseconds>("throttled_time");
    }
    detail.cpu = stat.time<microseconds>("usage_usec");
    if (detail.cpu) {
        detail.cpu_user = stat.time<microseconds>("user_usec");
        detail.cpu_system = stat.time<microseconds>("system_usec");
        return;
    }
    if (auto total = files.number("cpuacct.usage")) {
        detail.cpu = nanoseconds(*total);
    }
    Fields ticks(files.read("cpuacct.stat"));
    const auto tick = nanoseconds(std::chrono::seconds(1)) / ::sysconf(_SC_CLK_TCK);
    if (auto user = ticks.find({"user"})) {
        detail.cpu_user = tick * static_cast<std::int64_t>(*user);
    }
    if (auto system = ticks.find({"system"})) {
        detail.cpu_system = tick * static_cast<std::int64_t>(*system);
    }
}

void add_cpu_limits(const Files& files, CgroupDetail& detail) {
    if (auto weight = files.number("cpu.weight")) {
        constexpr std::uint64_t kSharesSpan = 262'142;
        constexpr std::uint64_t kWeightSpan = 9'999;
        detail.cpu_shares =
            (std::max<std::uint64_t>(*weight, 1) - 1) * kSharesSpan / kWeightSpan + 2;
        auto text = files.read("cpu.max").value_or("");
        auto parts = split(trim(text), ' ');
        if (parts.size() == 2) {
            detail.cpu_quota_us = parse_int(parts[0]);
            detail.cpu_period_us = parse_int(parts[1]);
        }
        return;
    }
    detail.cpu_shares = files.number("cpu.shares");
    if (auto quota = files.number("cpu.cfs_quota_us")) {
        detail.cpu_quota_us = static_cast<std::int64_t>(*quota);
    }
    if (auto period = files.number("cpu.cfs_period_us")) {
        detail.cpu_period_us = static_cast<std::int64_t>(*period);
    }
}

void add_memory(const Files& files, CgroupDetail& detail) {
    Fields stat(files.read("memory.stat"));
    detail.anonymous = stat.bytes({"total_rss", "anon"});
    detail.file = stat.bytes({"total_cache", "file"});
    detail.file_mapped = stat.bytes({"total_mapped_file", "file_mapped"});
    detail.page_faults = stat.find({"total_pgfault", "pgfault"});
    detail.major_page_faults = stat.find({"total_pgmajfault", "pgmajfault"});
    detail.memory = files.bytes("memory.usage_in_bytes");
    if (detail.memory) {
        detail.memory_peak = files.bytes("memory.max_usage_in_bytes");
        detail.memory_limit = files.bytes("memory.limit_in_bytes");
        detail.limit_hits = files.number("memory.failcnt");
        detail.swap = stat.bytes({"total_swap"});
        detail.oom_kills = Fields(files.read("memory.oom_control")).find({"oom_kill"});
    } else {
        detail.memory = files.bytes("memory.current");
        detail.memory_peak = files.bytes("memory.peak");
        detail.memory_limit = files.bytes("memory.max");
        detail.swap = files.bytes("memory.swap.current");
        Fields events(files.read("memory.events"));
        detail.limit_hits = events.find({"max"});
        detail.oom_kills = events.find({"oom_kill"});
    }
    if (detail.memory) {
        auto idle = stat.find({"total_inactive_file", "inactive_file"}).value_or(0);
        detail.working_set = Bytes{detail.memory->value - std::min(idle, detail.memory->value)};
    }
}

}  // namespace

std::optional<Stalls> parse_stalls(std::string_view text) {
    std::optional<StallTimes> some;
    // Older kernels have no line `full` for the CPU.
    StallTimes full;
    for (std::string_view line : split(text, '\n')) {
        if (line.starts_with("some ")) {
            some = parse_stall_times(line);
        } else if (line.starts_with("full ")) {
            auto times = parse_stall_times(line);
            if (!times) {
                return std::nullopt;
            }
            full = *times;
        }
    }
    return some ? std::optional(Stalls{*some, full}) : std::nullopt;
}

std::optional<Stalls> machine_stalls(std::string_view resource) {
    auto text = read_kernel_file(fmt::format("/proc/pressure/{}", resource));
    return text ? parse_stalls(*text) : std::nullopt;
}

CgroupDetail cgroup_detail(const CgroupPlace& place) {
    Files files(place);
    CgroupDetail detail;
    add_cpu(files, detail);
    add_cpu_limits(files, detail);
    add_memory(files, detail);
    if (auto processes = files.read("cgroup.procs")) {
        detail.processes = static_cast<std::uint64_t>(std::ranges::count(*processes, '\n'));
    }
    detail.threads = files.number("pids.current");
    detail.cpu_stalls = files.stalls("cpu.pressure");
    detail.memory_stalls = files.stalls("memory.pressure");
    detail.io_stalls = files.stalls("io.pressure");
    return detail;
}

}  // namespace skiff::os
