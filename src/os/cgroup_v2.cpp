// Version 2: one hierarchy. A group whose children have controllers may hold no process itself, so
// the agent moves out of its own group into a leaf beside its pods.
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "os/cgroup_hierarchy.h"
#include "os/file.h"
#include "os/machine.h"

namespace skiff::os::cgroup {

namespace {

constexpr std::string_view kLeaf = "skiff-agent";
constexpr std::int64_t kPeriodMicros = 100'000;
constexpr std::int64_t kQuotaMicrosMin = 1'000;
constexpr unsigned kWeightOfOrdinary = 100;  // what the kernel gives a new group
constexpr unsigned kWeightMax = 10'000;

void enable(const std::filesystem::path& folder) {
    // One at a time: a missing controller must not keep the others out.
    for (auto controller : {"+memory", "+cpu", "+pids"}) {
        (void)write_kernel_file(folder / "cgroup.subtree_control", controller);
    }
}

bool has_controllers(const std::filesystem::path& folder) {
    auto text = read_kernel_file(folder / "cgroup.subtree_control");
    return text && text->find("memory") != std::string::npos;
}

// Moves this process, and no stranger's, into a leaf below its group. Where others share the group
// the kernel goes on refusing controllers, and warnings() says so.
void move_to_leaf(const std::filesystem::path& folder) {
    auto leaf = folder / kLeaf;
    if (!make_folders(leaf)) {
        return;
    }
    (void)write_kernel_file(leaf / "cgroup.procs", std::to_string(::getpid()));
}

std::string quota_of(std::int64_t millis) {
    return fmt::format("{}", std::max(millis * kPeriodMicros / 1000, kQuotaMicrosMin));
}

class V2 final : public Folders {
public:
    explicit V2(std::filesystem::path base) : Folders(make_base(base), Orphans::refused) {
        if (map().empty()) {
            warn("cgroups are read-only here: no limit is enforced by the kernel");
            return;
        }
        auto text = read_kernel_file(base / "cgroup.subtree_control");
        for (auto controller : {"memory", "cpu", "pids"}) {
            if (!text || text->find(controller) == std::string::npos) {
                warn(fmt::format("{} limits are not enforced: controller not delegated",
                                 controller));
            }
        }
    }

    Result<CgroupPlace> create(const std::string& name, const CgroupLimits& limits) const override {
        auto slash = name.rfind('/');
        if (slash != std::string::npos) {
            if (auto parent = folder(kUnified, name.substr(0, slash))) {
                enable(*parent);
            }
        }
        SKIFF_CHECK(make(name));
        auto group = folder(kUnified, name);
        if (!group) {
            return place(name);
        }
        auto set = [&](std::string_view file, const std::string& value) {
            write_limit_if_offered(*group / file, value);
        };
        if (limits.memory) {
            set("memory.max", fmt::format("{}", limits.memory->value));
            set("memory.swap.max", "0");
        }
        if (!write_idle(*group, limits)) {
            set("cpu.weight", fmt::format("{}", cpu_weight(limits.cpu_request_millis)));
        }
        if (limits.cpu_limit_millis) {
            set("cpu.max", fmt::format("{} {}", quota_of(*limits.cpu_limit_millis), kPeriodMicros));
        }
        if (limits.pids) {
            set("pids.max", fmt::format("{}", *limits.pids));
        }
        return place(name);
    }

    Result<void> resize(const std::string& name, const CgroupLimits& limits) const override {
        auto group = folder(kUnified, name);
        if (!group) {
            return {};
        }
        LimitWriter writer;
        auto set = [&](std::string_view file, const std::string& value) {
            auto path = *group / file;
            if (::access(path.c_str(), W_OK) == 0) {
                writer.write(path, value);
            }
        };
        set("memory.max", limits.memory ? fmt::format("{}", limits.memory->value) : "max");
        set("cpu.weight", fmt::format("{}", cpu_weight(limits.cpu_request_millis)));
        set("cpu.max", fmt::format("{} {}",
                                   limits.cpu_limit_millis ? quota_of(*limits.cpu_limit_millis)
                                                           : std::string("max"),
                                   kPeriodMicros));
        return std::move(writer).result();
    }

    CgroupPlace place(const std::string& name) const override {
        CgroupPlace place;
        place.folders = folders(name);
        if (!place.folders.empty()) {
            place.oom_counter = place.folders.front() / "memory.events";
        }
        return place;
    }

    std::optional<CgroupUsage> usage(const std::string& name) const override {
        auto group = folder(kUnified, name);
        if (!group) {
            return std::nullopt;
        }
        auto micros = read_field(*group / "cpu.stat", "usage_usec");
        auto used = read_number(*group / "memory.current");
        if (!micros || !used) {
            return std::nullopt;
        }
        auto idle = read_field(*group / "memory.stat", "inactive_file").value_or(0);
        return CgroupUsage{std::chrono::microseconds(*micros),
                           Bytes{*used > idle ? *used - idle : 0}};
    }

    std::optional<std::uint64_t> oom_kills(const std::string& name) const override {
        auto group = folder(kUnified, name);
        return group ? read_field(*group / "memory.events", "oom_kill") : std::nullopt;
    }

    Result<void> kill(const std::string& name) const override {
        auto group = folder(kUnified, name);
        if (!group) {
            return {};
        }
        auto written = write_kernel_file(*group / "cgroup.kill", "1");
        if (!written && written.error().code != Code::not_found) {
            return fail(std::move(written.error()));
        }
        return {};
    }

private:
    static HierarchyMap make_base(const std::filesystem::path& base) {
        auto parent = base.parent_path();
        enable(parent);
        if (!has_controllers(parent)) {
            move_to_leaf(parent);
            enable(parent);
        }
        if (auto made = make_folders(base); !made) {
            log::debug("cgroup hierarchy not usable", log::kv("error", format_as(made.error())));
            return {};
        }
        enable(base);
        // For each core as much as an ordinary group beside it. Not cpu_weight(): its scale has 39
        // for a core, which counts among pods but not beside groups that have the kernel's weight.
        write_limit_if_offered(
            base / "cpu.weight",
            fmt::format("{}", std::min(kWeightOfOrdinary * cpu_count(), kWeightMax)));
        return {{std::string(kUnified), base}};
    }
};

}  // namespace

std::unique_ptr<CgroupTree> make_v2(std::filesystem::path base) {
    return std::make_unique<V2>(std::move(base));
}

}  // namespace skiff::os::cgroup
