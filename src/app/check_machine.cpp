#include "app/check_machine.h"

#include <fmt/ranges.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "base/text.h"
#include "node/status.h"
#include "os/cgroup_hierarchy.h"
#include "os/file.h"
#include "os/process.h"

namespace skiff::app {

namespace {

constexpr std::uint64_t kDescriptorsWanted = 65'536;
constexpr std::uint64_t kDescriptorsMin = 1024;
constexpr Bytes kSpaceWanted = 1_GiB;
constexpr int kEngineTimeoutMs = 10'000;
constexpr Bytes kVersionTextMax = 64_KiB;

std::filesystem::path nearest(std::filesystem::path path) {
    std::error_code error;
    while (!path.empty() && path != path.root_path() && !std::filesystem::exists(path, error)) {
        path = path.parent_path();
    }
    return path;
}

std::uint64_t percent(std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? 100 : static_cast<std::uint64_t>(100.0L * part / whole);
}

FolderFacts observe_folder(std::string field, const std::filesystem::path& path) {
    FolderFacts facts;
    facts.field = std::move(field);
    facts.path = path;
    facts.found = nearest(path);
    struct statvfs disk{};
    if (::statvfs(facts.found.c_str(), &disk) == 0) {
        facts.read_only = (disk.f_flag & ST_RDONLY) != 0;
        facts.no_exec = (disk.f_flag & ST_NOEXEC) != 0;
        facts.available = Bytes{disk.f_bavail * disk.f_frsize};
        facts.available_percent = percent(disk.f_bavail, disk.f_blocks);
        facts.inodes_available_percent = percent(disk.f_favail, disk.f_files);
    }
    struct stat status{};
    if (facts.found == path && ::stat(path.c_str(), &status) == 0) {
        facts.is_private = status.st_uid == ::geteuid() && (status.st_mode & 022) == 0;
    }
    return facts;
}

Result<std::string> ask_engine(const std::filesystem::path& program) {
    SKIFF_TRY(os::Pipe pipe, os::make_pipe());
    os::SpawnSpec spec;
    spec.program = program;
    spec.argv = {"skiff-engine", "version"};
    spec.fds = {os::PassedFd{pipe.write.get(), 1}};
    spec.on_parent_death = os::OnParentDeath::die;
    SKIFF_TRY(os::Spawned child, os::spawn(spec));
    pipe.write.reset();
    bool ended = os::wait_ended(child.pidfd.get(), kEngineTimeoutMs);
    if (!ended) {
        (void)os::send_signal(child.pidfd.get(), SIGKILL);
        (void)os::wait_ended(child.pidfd.get(), kEngineTimeoutMs);
    }
    (void)os::reap(child.pidfd.get());
    if (!ended) {
        return fail(Code::timeout, "no answer within ten seconds");
    }
    return os::read_all(pipe.read.get(), kVersionTextMax);
}

Finding judge_cgroups(const MachineCheckFacts& facts) {
    constexpr std::string_view kCheck = "machine: cgroups";
    if (facts.cgroups.empty()) {
        return {std::string(kCheck), Verdict::fail, "no hierarchy is mounted",
                "Mount cgroup2 on /sys/fs/cgroup."};
    }
    bool unified = facts.cgroups.size() == 1 && facts.cgroups.contains("unified");
    std::vector<std::string> missing;
    for (std::string name : {"cpu", "memory", "pids"}) {
        bool there = unified ? std::ranges::find(facts.controllers, name) != facts.controllers.end()
                             : facts.cgroups.contains(name);
        if (!there) {
            missing.push_back(name);
        }
    }
    if (!facts.cgroups_read_only.empty()) {
        return {std::string(kCheck), Verdict::fail,
                fmt::format("cannot be written to: {}", fmt::join(facts.cgroups_read_only, ", ")),
                "Run the node with Delegate=yes (or a writable /sys/fs/cgroup in a container)."};
    }
    if (!missing.empty()) {
        return {std::string(kCheck), Verdict::warn,
                fmt::format("no controller for: {}", fmt::join(missing, ", ")),
                "Enable these controllers (boot parameter cgroup_enable=…, or delegate them): "
                "limits of pods do not hold without."};
    }
    return fine(std::string(kCheck), unified ? "version 2" : "version 1");
}

Finding judge_descriptors(const MachineCheckFacts& facts) {
    std::string detail = fmt::format("at most {}", facts.descriptors_max);
    std::string remedy = "Raise LimitNOFILE of the service (or ulimit -n) to 1048576.";
    if (facts.descriptors_max < kDescriptorsMin) {
        return {"machine: open files", Verdict::fail, detail, remedy};
    }
    return facts.descriptors_max < kDescriptorsWanted
               ? Finding{"machine: open files", Verdict::warn, detail, remedy}
               : fine("machine: open files", detail);
}

// Whether `available_percent` of the disk is below a threshold of evictionHard that is a share.
bool is_below(const config::Settings& settings, const std::string& signal, Bytes available,
              std::uint64_t available_percent) {
    auto found = settings.eviction_hard.find(signal);
    if (found == settings.eviction_hard.end()) {
        return false;
    }
    if (found->second.ends_with('%')) {
        return node::threshold_of(found->second, 100).value_or(0) > available_percent;
    }
    return node::threshold_of(found->second, 0).value_or(0) > available.value;
}

Findings judge_folder(const FolderFacts& facts, const config::Settings& settings) {
    std::string check = fmt::format("disk: {}", facts.field);
    std::string at = facts.path.string();
    Findings all;
    if (facts.read_only) {
        all.push_back({check, Verdict::fail, fmt::format("{} is read-only", at),
                       "Mount it writable, or set another folder."});
        return all;
    }
    bool is_root_dir = facts.field == "rootDir";
    if (is_root_dir && facts.no_exec) {
        all.push_back(
            {check, Verdict::fail, fmt::format("{} is mounted noexec", at),
             fmt::format("mount -o remount,exec {}, or set rootDir to a folder elsewhere: "
                         "compiled modules are mapped from there.",
                         facts.found.string())});
    }
    if (!facts.is_private) {
        all.push_back({check, Verdict::fail, fmt::format("others may write into {}", at),
                       fmt::format("chown root: {} && chmod go-w {}", at, at)});
    }
    if (is_root_dir &&
        is_below(settings, "nodefs.available", facts.available, facts.available_percent)) {
        all.push_back({check, Verdict::fail,
                       fmt::format("{} free ({} %) is below evictionHard nodefs.available",
                                   facts.available, facts.available_percent),
                       "Make room, or lower the threshold: the node would report DiskPressure."});
    } else if (facts.available < kSpaceWanted) {
        all.push_back({check, Verdict::warn, fmt::format("{} free in {}", facts.available, at),
                       "Make room: images and logs need some."});
    }
    if (is_root_dir && is_below(settings, "nodefs.inodesFree", Bytes{UINT64_MAX},
                                facts.inodes_available_percent)) {
        all.push_back(
            {check, Verdict::fail,
             fmt::format("{} % of the inodes of {} are free", facts.inodes_available_percent, at),
             "Remove small files: the node would report DiskPressure."});
    }
    if (all.empty()) {
        all.push_back(fine(check, fmt::format("{}: {} free", at, facts.available)));
    }
    return all;
}

Finding judge_engine(const MachineCheckFacts& facts) {
    std::string program = facts.engine.string();
    if (!facts.engine_says) {
        return {"engine: skiff-engine", Verdict::fail,
                fmt::format("{}: {}", program, facts.engine_says.error().message),
                "Install skiff-engine beside skiff, or set enginePath; it must be executable."};
    }
    std::string version = line_value(*facts.engine_says, "version").value_or("unknown");
    if (version != SKIFF_VERSION) {
        return {"engine: skiff-engine", Verdict::fail,
                fmt::format("{} is version {}, skiff is " SKIFF_VERSION, program,
                            bounded_utf8(version, 40)),
                "Install skiff and skiff-engine of one version."};
    }
    return fine("engine: skiff-engine",
                fmt::format("version {}, runs {}", version,
                            line_value(*facts.engine_says, "runtimes").value_or("nothing")));
}

}  // namespace

MachineCheckFacts observe_machine_for(const config::Settings& settings) {
    MachineCheckFacts facts;
    auto mounts = os::read_kernel_file("/proc/self/mountinfo");
    auto own = os::read_kernel_file("/proc/self/cgroup");
    if (mounts && own) {
        auto found = os::cgroup::find_hierarchies(*mounts, *own, settings.cgroup_root);
        facts.cgroups.insert(found.begin(), found.end());
    }
    for (const auto& [name, folder] : facts.cgroups) {
        std::filesystem::path there = nearest(folder);
        if (::access(there.c_str(), W_OK) != 0) {
            facts.cgroups_read_only.push_back(name);
        }
        if (auto list = os::read_kernel_file(there / "cgroup.controllers")) {
            for (std::string_view controller : split(trim(*list), ' ')) {
                facts.controllers.emplace_back(controller);
            }
        }
    }
    struct rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        facts.descriptors_max = limit.rlim_max;
    }
    facts.folders = {observe_folder("rootDir", settings.root_dir),
                     observe_folder("runDir", settings.run_dir),
                     observe_folder("podLogDir", settings.pod_log_dir)};
    facts.engine = settings.engine_path;
    facts.engine_says = ask_engine(settings.engine_path);
    return facts;
}

Findings judge_machine(const MachineCheckFacts& facts, const config::Settings& settings) {
    Findings all = {judge_cgroups(facts), judge_descriptors(facts)};
    for (const FolderFacts& folder : facts.folders) {
        std::ranges::move(judge_folder(folder, settings), std::back_inserter(all));
    }
    all.push_back(judge_engine(facts));
    return all;
}

}  // namespace skiff::app
