#include "os/cgroup.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <thread>

#include "base/log.h"
#include "base/text.h"
#include "os/cgroup_hierarchy.h"
#include "os/file.h"

namespace skiff::os {

namespace cgroup {

namespace {

constexpr std::string_view kControllers[] = {"memory", "cpu", "cpuacct", "pids"};
constexpr auto kRemoveWait = std::chrono::seconds(5);
constexpr auto kRemovePoll = std::chrono::milliseconds(2);

// Between the names of parent and child; in no name of a pod.
constexpr char kBeside = ':';

bool is_there(const std::filesystem::path& path) {
    return ::access(path.c_str(), F_OK) == 0;
}

Result<void> make_folder(const std::filesystem::path& folder) {
    if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
        return fail_errno(errno, fmt::format("make cgroup {}", folder.string()));
    }
    return {};
}

// "/a/b" relative to the root that a mount shows.
std::optional<std::string> below_mount_root(std::string_view path, std::string_view mount_root) {
    if (mount_root == "/") {
        return std::string(path);
    }
    if (path == mount_root) {
        return "/";
    }
    if (path.starts_with(mount_root) && path[mount_root.size()] == '/') {
        return std::string(path.substr(mount_root.size()));
    }
    return std::nullopt;
}

// Controllers → this process's group in their hierarchy, from /proc/self/cgroup.
std::map<std::string, std::string, std::less<>> own_groups(std::string_view text) {
    std::map<std::string, std::string, std::less<>> groups;
    for (auto line : split(text, '\n')) {
        auto first = line.find(':');
        auto second = line.find(':', first == std::string_view::npos ? first : first + 1);
        if (second == std::string_view::npos) {
            continue;
        }
        auto controllers = line.substr(first + 1, second - first - 1);
        auto path = std::string(line.substr(second + 1));
        if (controllers.empty()) {
            groups.emplace(kUnified, path);
        }
        for (auto controller : split(controllers, ',')) {
            groups.emplace(controller, path);
        }
    }
    return groups;
}

void remove_folders(const std::filesystem::path& top, std::optional<Error>& problem) {
    if (auto names = list_folder(top)) {
        for (const auto& name : *names) {
            std::error_code ignored;
            if (std::filesystem::is_directory(top / name, ignored)) {
                remove_folders(top / name, problem);
            }
        }
    }
    if (::rmdir(top.c_str()) != 0 && errno != ENOENT) {
        problem = errno_error(errno, fmt::format("remove {}", top.string()));
    }
}

void collect_processes(const std::filesystem::path& top, std::set<int>& found) {
    if (auto text = read_kernel_file(top / "cgroup.procs")) {
        for (auto line : split(*text, '\n')) {
            if (auto pid = parse_int(line)) {
                found.insert(static_cast<int>(*pid));
            }
        }
    }
    if (auto names = list_folder(top)) {
        for (const auto& name : *names) {
            std::error_code ignored;
            if (std::filesystem::is_directory(top / name, ignored)) {
                collect_processes(top / name, found);
            }
        }
    }
}

}  // namespace

HierarchyMap find_hierarchies(std::string_view mountinfo, std::string_view own,
                              const std::string& root) {
    auto groups = own_groups(own);
    HierarchyMap found;
    for (auto line : split(mountinfo, '\n')) {
        auto dash = line.find(" - ");
        auto words = split(line.substr(0, dash), ' ');
        if (dash == std::string_view::npos || words.size() < 5) {
            continue;
        }
        auto tail = split(line.substr(dash + 3), ' ');
        bool unified = tail[0] == "cgroup2";
        if (tail.size() < 3 || (!unified && tail[0] != "cgroup")) {
            continue;
        }
        auto options = split(tail[2], ',');
        auto add = [&](std::string_view key) {
            auto group = groups.find(key);
            std::string wanted = root.empty() && group != groups.end() ? group->second : root;
            auto relative = below_mount_root(wanted.empty() ? "/" : wanted, words[3]);
            std::string place = relative.value_or("/");
            auto folder = std::filesystem::path(std::string(words[4]) + place).lexically_normal();
            if (!folder.has_filename()) {
                folder = folder.parent_path();
            }
            found.emplace(key, std::move(folder));
        };
        if (unified) {
            add(kUnified);
            continue;
        }
        for (auto controller : kControllers) {
            if (std::find(options.begin(), options.end(), controller) != options.end()) {
                add(controller);
            }
        }
    }
    return found;
}

Folders::Folders(HierarchyMap bases, Orphans orphans)
    : orphans_(orphans), bases_(std::move(bases)) {
    for (const auto& [key, base] : bases_) {
        if (std::find(distinct_.begin(), distinct_.end(), base) == distinct_.end()) {
            distinct_.push_back(base);
        }
    }
}

std::vector<std::string> Folders::bases() const {
    std::vector<std::string> texts;
    for (const auto& [key, base] : bases_) {
        texts.push_back(fmt::format("{}={}", key, base.string()));
    }
    return texts;
}

std::filesystem::path Folders::folder_in(const std::filesystem::path& base,
                                         const std::string& name) const {
    const auto slash = name.find('/');
    if (slash == std::string::npos || orphans_ == Orphans::refused) {
        return name.empty() ? base : base / name;
    }
    auto flat = name;
    flat[slash] = kBeside;
    const auto beside = base / flat;
    // Once made it stays where it is, also when its parent gets a folder later.
    return is_there(beside) || !is_there(base / name.substr(0, slash)) ? beside : base / name;
}

std::vector<std::filesystem::path> Folders::folders(const std::string& name) const {
    std::vector<std::filesystem::path> all;
    for (const auto& base : distinct_) {
        all.push_back(folder_in(base, name));
    }
    return all;
}

std::vector<std::filesystem::path> Folders::whole(const std::string& name) const {
    auto all = folders(name);
    if (name.empty() || name.find('/') != std::string::npos || orphans_ == Orphans::refused) {
        return all;
    }
    for (const auto& base : distinct_) {
        for (const auto& entry : list_folder(base).value_or(std::vector<std::string>{})) {
            if (entry.starts_with(name + kBeside)) {
                all.push_back(base / entry);
            }
        }
    }
    return all;
}

std::optional<std::filesystem::path> Folders::folder(std::string_view hierarchy,
                                                     const std::string& name) const {
    auto base = bases_.find(hierarchy);
    if (base == bases_.end()) {
        return std::nullopt;
    }
    return folder_in(base->second, name);
}

Result<void> Folders::make(const std::string& name) const {
    for (const auto& folder : folders(name)) {
        SKIFF_CHECK(make_folder(folder));
    }
    return {};
}

Result<void> Folders::make_in(std::string_view hierarchy, const std::string& name) const {
    auto group = folder(hierarchy, name);
    return group ? make_folder(*group) : Result<void>{};
}

std::vector<int> Folders::processes(const std::string& name) const {
    std::set<int> found;
    for (const auto& folder : whole(name)) {
        collect_processes(folder, found);
    }
    return {found.begin(), found.end()};
}

Result<void> Folders::remove(const std::string& name) const {
    auto deadline = std::chrono::steady_clock::now() + kRemoveWait;
    while (true) {
        std::optional<Error> problem;
        for (const auto& folder : whole(name)) {
            remove_folders(folder, problem);
        }
        if (!problem) {
            return {};
        }
        if (std::chrono::steady_clock::now() > deadline) {
            problem->code = Code::conflict;
            return fail(std::move(*problem));
        }
        SKIFF_CHECK(kill(name));
        // tidy: allow banned: runs on pool threads, where the kernel offers nothing to wait for
        std::this_thread::sleep_for(kRemovePoll);
    }
}

std::vector<std::string> Folders::children(const std::string& name) const {
    std::set<std::string> found;
    const std::string prefix = name.empty() ? "" : name + "/";
    for (const auto& folder : folders(name)) {
        for (const auto& entry : list_folder(folder).value_or(std::vector<std::string>{})) {
            std::error_code ignored;
            if (std::filesystem::is_directory(folder / entry, ignored)) {
                found.insert(prefix + entry.substr(0, entry.find(kBeside)));
            }
        }
    }
    for (const auto& folder : name.empty() ? std::vector<std::filesystem::path>{} : whole(name)) {
        const std::string entry = folder.filename().string();
        if (entry.starts_with(name + kBeside)) {
            found.insert(prefix + entry.substr(name.size() + 1));
        }
    }
    return {found.begin(), found.end()};
}

std::optional<std::uint64_t> read_number(const std::filesystem::path& path) {
    auto text = read_kernel_file(path);
    return text ? parse_uint(trim(*text)) : std::nullopt;
}

std::optional<std::uint64_t> read_field(const std::filesystem::path& path, std::string_view key) {
    auto text = read_kernel_file(path);
    if (!text) {
        return std::nullopt;
    }
    for (auto line : split(*text, '\n')) {
        if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == ' ') {
            return parse_uint(trim(line.substr(key.size() + 1)));
        }
    }
    return std::nullopt;
}

void write_limit(const std::filesystem::path& path, std::string_view value) {
    if (auto written = write_kernel_file(path, value); !written) {
        log::warn("cgroup limit not set", log::kv("error", format_as(written.error())));
    }
}

void write_limit_if_offered(const std::filesystem::path& path, std::string_view value) {
    if (::access(path.c_str(), W_OK) == 0) {
        write_limit(path, value);
    }
}

bool write_idle(const std::filesystem::path& group, const CgroupLimits& limits) {
    const auto file = group / "cpu.idle";
    if (limits.turn != CgroupLimits::Turn::idle || ::access(file.c_str(), W_OK) != 0) {
        return false;
    }
    write_limit(file, "1");
    return true;
}

void LimitWriter::write(const std::filesystem::path& path, std::string_view value) {
    auto written = write_kernel_file(path, value);
    if (!written && !refused_) {
        refused_ = std::move(written.error()).context(fmt::format("limit {}", value));
    }
}

Result<void> LimitWriter::result() && {
    return refused_ ? Result<void>(fail(std::move(*refused_))) : Result<void>{};
}

}  // namespace cgroup

std::unique_ptr<CgroupTree> CgroupTree::open(const CgroupSettings& settings) {
    auto mountinfo = read_kernel_file("/proc/self/mountinfo");
    auto own = read_kernel_file("/proc/self/cgroup");
    cgroup::HierarchyMap map;
    if (mountinfo && own) {
        map = cgroup::find_hierarchies(*mountinfo, *own, settings.root);
    }
    std::vector<std::string> bases;
    for (const auto& [key, parent] : map) {
        bases.push_back(fmt::format("{}={}", key, (parent / settings.instance).string()));
    }
    return reopen(bases);
}

std::unique_ptr<CgroupTree> CgroupTree::reopen(const std::vector<std::string>& bases) {
    cgroup::HierarchyMap map;
    for (const auto& text : bases) {
        auto equals = text.find('=');
        if (equals != std::string::npos) {
            map.emplace(text.substr(0, equals), text.substr(equals + 1));
        }
    }
    bool only_unified = map.size() == 1 && map.contains(cgroup::kUnified);
    if (only_unified) {
        return cgroup::make_v2(map.begin()->second);
    }
    return cgroup::make_v1(std::move(map));
}

std::uint64_t cpu_shares(std::optional<std::int64_t> request_millis) {
    constexpr std::uint64_t kLeast = 2;
    constexpr std::uint64_t kMost = 262144;
    if (!request_millis || *request_millis <= 0) {
        return kLeast;
    }
    auto shares = static_cast<std::uint64_t>(*request_millis) * 1024 / 1000;
    return std::clamp(shares, kLeast, kMost);
}

std::uint64_t cpu_weight(std::optional<std::int64_t> request_millis) {
    return 1 + (cpu_shares(request_millis) - 2) * 9999 / 262142;
}

}  // namespace skiff::os
