// Version 1: one hierarchy per controller. Where version 2 is mounted beside it (hybrid) it is left
// alone, although it could kill a group in one step: a process joins it only under the lock over
// all forks of the machine, which waits for every CPU (7 ms of a start on two idle cores). Nor is
// the freezer used: each hierarchy costs a start, and a runner cannot fork.
#include <signal.h>
#include <unistd.h>

#include "base/log.h"
#include "os/cgroup_hierarchy.h"
#include "os/file.h"
#include "os/machine.h"

namespace skiff::os::cgroup {

namespace {

constexpr std::int64_t kPeriodMicros = 100'000;
constexpr int kKillRoundsMax = 3;
constexpr std::int64_t kQuotaMicrosMin = 1'000;  // the kernel refuses less

class V1 final : public Folders {
public:
    explicit V1(HierarchyMap bases) : Folders(usable(std::move(bases)), Orphans::beside) {
        if (!map().contains("memory")) {
            warn("memory limits are enforced by the engine only: no memory cgroup");
        }
        if (!map().contains("cpu")) {
            warn("CPU limits are not enforced: no cpu cgroup");
        } else {
            // As if it had asked for all cores; kubelet does the same. With the kernel's one share
            // each service of the machine would weigh as much as all pods together.
            write_limit_if_offered(map().at("cpu") / "cpu.shares",
                                   fmt::format("{}", cpu_shares(1000 * cpu_count())));
        }
        if (!map().contains("pids")) {
            warn("the number of threads is not limited by pod: no pids cgroup");
        }
    }

    Result<CgroupPlace> create(const std::string& name, const CgroupLimits& limits) const override {
        SKIFF_CHECK(make(name));
        set_limits(name, limits);
        return place(name);
    }

    // Each folder of a hierarchy costs the kernel some 10 KB, one of the memory's some 40.
    Result<void> create_parent(const std::string& name, const CgroupLimits& limits) const override {
        SKIFF_CHECK(make_in("cpu", name));
        if (limits.memory) {
            SKIFF_CHECK(make_in("memory", name));
        }
        if (limits.pids) {
            SKIFF_CHECK(make_in("pids", name));
        }
        set_limits(name, limits);
        return {};
    }

    Result<void> resize(const std::string& name, const CgroupLimits& limits) const override {
        LimitWriter writer;
        if (auto group = existing("memory", name)) {
            resize_memory(*group, limits.memory, writer);
        }
        if (auto group = existing("cpu", name)) {
            writer.write(*group / "cpu.shares",
                         fmt::format("{}", cpu_shares(limits.cpu_request_millis)));
            writer.write(*group / "cpu.cfs_quota_us",
                         limits.cpu_limit_millis ? quota_of(*limits.cpu_limit_millis) : "-1");
        }
        return std::move(writer).result();
    }

    CgroupPlace place(const std::string& name) const override {
        CgroupPlace place;
        place.folders = folders(name);
        if (auto group = folder("memory", name)) {
            place.oom_counter = *group / "memory.oom_control";
        }
        return place;
    }

    std::optional<CgroupUsage> usage(const std::string& name) const override {
        auto cpu_group = folder("cpuacct", name);
        auto memory_group = folder("memory", name);
        if (!cpu_group || !memory_group) {
            return std::nullopt;
        }
        auto cpu = read_number(*cpu_group / "cpuacct.usage");
        auto used = read_number(*memory_group / "memory.usage_in_bytes");
        if (!cpu || !used) {
            return std::nullopt;
        }
        auto idle = read_field(*memory_group / "memory.stat", "total_inactive_file").value_or(0);
        return CgroupUsage{std::chrono::nanoseconds(*cpu), Bytes{*used > idle ? *used - idle : 0}};
    }

    std::optional<std::uint64_t> oom_kills(const std::string& name) const override {
        auto group = folder("memory", name);
        return group ? read_field(*group / "memory.oom_control", "oom_kill") : std::nullopt;
    }

    Result<void> kill(const std::string& name) const override {
        // More than once: what is killed may have forked before.
        for (int round = 0; round < kKillRoundsMax; ++round) {
            auto pids = processes(name);
            if (pids.empty()) {
                break;
            }
            for (int pid : pids) {
                ::kill(pid, SIGKILL);
            }
        }
        return {};
    }

private:
    static std::string quota_of(std::int64_t millis) {
        return fmt::format("{}", std::max(millis * kPeriodMicros / 1000, kQuotaMicrosMin));
    }

    std::optional<std::filesystem::path> existing(std::string_view hierarchy,
                                                  const std::string& name) const {
        auto group = folder(hierarchy, name);
        std::error_code ignored;
        return group && std::filesystem::is_directory(*group, ignored) ? group : std::nullopt;
    }

    // The limit with swap is never below the one without, so their order depends on the direction.
    static void resize_memory(const std::filesystem::path& group, std::optional<Bytes> limit,
                              LimitWriter& writer) {
        auto plain = group / "memory.limit_in_bytes";
        auto with_swap = group / "memory.memsw.limit_in_bytes";
        std::string bytes = limit ? fmt::format("{}", limit->value) : std::string("-1");
        bool counts_swap = ::access(with_swap.c_str(), W_OK) == 0;
        auto now = read_number(plain);
        bool grows = !limit || (now && *now < limit->value);
        if (counts_swap && grows) {
            writer.write(with_swap, bytes);
        }
        writer.write(plain, bytes);
        if (counts_swap && !grows) {
            writer.write(with_swap, bytes);
        }
    }

    void set_limits(const std::string& name, const CgroupLimits& limits) const {
        if (auto group = folder("memory", name); group && limits.memory) {
            auto bytes = fmt::format("{}", limits.memory->value);
            write_limit(*group / "memory.limit_in_bytes", bytes);
            // Without this a guest over its limit would be swapped instead of refused.
            write_limit_if_offered(*group / "memory.memsw.limit_in_bytes", bytes);
        }
        if (auto group = folder("cpu", name)) {
            if (!write_idle(*group, limits)) {
                write_limit(*group / "cpu.shares",
                            fmt::format("{}", cpu_shares(limits.cpu_request_millis)));
            }
            if (limits.cpu_limit_millis) {
                write_limit(*group / "cpu.cfs_quota_us", quota_of(*limits.cpu_limit_millis));
            }
        }
        if (auto group = folder("pids", name); group && limits.pids) {
            write_limit(*group / "pids.max", fmt::format("{}", *limits.pids));
        }
    }

    // Makes the bases and drops the hierarchies where that fails, and those that are not needed.
    static HierarchyMap usable(HierarchyMap bases) {
        bases.erase(std::string(kUnified));
        std::erase_if(bases, [](const auto& entry) {
            auto made = make_folders(entry.second);
            if (!made) {
                log::debug("cgroup hierarchy not usable", log::kv("hierarchy", entry.first),
                           log::kv("error", format_as(made.error())));
            }
            return !made;
        });
        return bases;
    }
};

}  // namespace

std::unique_ptr<CgroupTree> make_v1(HierarchyMap bases) {
    return std::make_unique<V1>(std::move(bases));
}

}  // namespace skiff::os::cgroup
