#include "sandbox/policy.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace skiff::sandbox {

PolicyBuilder& PolicyBuilder::join_cgroup(std::string folder) {
    policy_.cgroups.push_back(std::move(folder));
    return *this;
}

PolicyBuilder& PolicyBuilder::map_ids(IdRange range) {
    policy_.ids = range;
    ids_decided_ = range.count > 0;
    return *this;
}

PolicyBuilder& PolicyBuilder::keep_machine_ids(MachineIds) {
    policy_.ids = IdRange{};
    ids_decided_ = true;
    return *this;
}

PolicyBuilder& PolicyBuilder::run_as(Credentials who) {
    policy_.who = std::move(who);
    return *this;
}

PolicyBuilder& PolicyBuilder::open_files_as_machine(MachineFileIds) {
    policy_.files_as = FilesAs::machine;
    return *this;
}

PolicyBuilder& PolicyBuilder::share_host_network(UnrestrictedNetwork) {
    policy_.network = NetworkPlan{NetworkPlan::Kind::host, {}, -1};
    return *this;
}

PolicyBuilder& PolicyBuilder::join_network(std::string path, int fd) {
    policy_.network = NetworkPlan{NetworkPlan::Kind::joined, std::move(path), fd};
    return *this;
}

PolicyBuilder& PolicyBuilder::name_host(std::string hostname) {
    policy_.hostname = std::move(hostname);
    return *this;
}

PolicyBuilder& PolicyBuilder::use_empty_root(std::uint64_t writable_bytes_max) {
    policy_.root = RootPlan{};
    policy_.root.writable_bytes_max = writable_bytes_max;
    policy_.root.access = writable_bytes_max > 0 ? Access::read_write : Access::read_only;
    return *this;
}

PolicyBuilder& PolicyBuilder::use_layers(RootPlan plan) {
    policy_.root = std::move(plan);
    policy_.root.kind = RootPlan::Kind::layers;
    if (policy_.root.upper.empty()) {
        policy_.root.access = Access::read_only;
    }
    return *this;
}

PolicyBuilder& PolicyBuilder::add(TreeEntry entry) {
    policy_.tree.push_back(std::move(entry));
    return *this;
}

PolicyBuilder& PolicyBuilder::join_cage(JoinPlan plan, RunningCage) {
    policy_.join = plan;
    return *this;
}

PolicyBuilder& PolicyBuilder::limit_open_files(std::uint64_t count) {
    policy_.limits.open_files_max = count;
    return *this;
}

PolicyBuilder& PolicyBuilder::limit_threads(std::uint64_t count) {
    policy_.limits.threads_max = count;
    return *this;
}

PolicyBuilder& PolicyBuilder::limit_address_space(std::uint64_t bytes) {
    policy_.limits.address_space_bytes = bytes;
    return *this;
}

PolicyBuilder& PolicyBuilder::limit_cpu(std::uint64_t seconds) {
    policy_.limits.cpu_seconds = seconds;
    return *this;
}

PolicyBuilder& PolicyBuilder::allow_syscalls(SyscallProfile profile) {
    policy_.syscalls = profile;
    return *this;
}

PolicyBuilder& PolicyBuilder::without_landlock() {
    policy_.landlock = Landlock::off;
    return *this;
}

PolicyBuilder& PolicyBuilder::die_with_parent() {
    policy_.on_parent_death = OnParentDeath::die;
    return *this;
}

std::uint32_t file_owner(const Policy& policy, std::uint32_t id) {
    return policy.files_as == FilesAs::machine ? id : policy.ids.host_base + id;
}

static Result<void> check_join(const Policy& policy) {
    if (!policy.join) {
        return {};
    }
    const JoinPlan& join = *policy.join;
    if (join.mount < 0 || join.network < 0 || join.hostname < 0 ||
        (join.user < 0) != (policy.ids.count == 0)) {
        return fail(Code::invalid, "a namespace of the cage to be joined is missing");
    }
    if (!policy.tree.empty()) {
        return fail(Code::invalid, "a cage that is joined has its tree already");
    }
    return {};
}

Result<Policy> PolicyBuilder::build() {
    if (!ids_decided_) {
        return fail(Code::invalid, "a policy must map ids or keep the machine's");
    }
    const auto inside = [this](std::uint32_t id) {
        return policy_.ids.count == 0 || id < policy_.ids.count;
    };
    if (!inside(policy_.who.uid) || !inside(policy_.who.gid) ||
        !std::ranges::all_of(policy_.who.groups, inside)) {
        return fail(Code::invalid, "user or group {}:{} is outside of the {} ids", policy_.who.uid,
                    policy_.who.gid, policy_.ids.count);
    }
    if (policy_.files_as == FilesAs::machine) {
        if (policy_.ids.count == 0) {
            return fail(Code::invalid, "only a process with mapped ids has others for its files");
        }
        if (policy_.who.groups.size() > kFileGroupsMax) {
            return fail(Code::invalid, "{} groups for files with the machine's ids, at most {}",
                        policy_.who.groups.size(), kFileGroupsMax);
        }
    }
    SKIFF_CHECK(check_join(policy_));
    for (const auto& entry : policy_.tree) {
        if (entry.target.size() < 2 || entry.target.front() != '/') {
            return fail(Code::invalid, "a mount's target '{}' is not below the root", entry.target);
        }
    }
    return policy_;
}

namespace {

std::string_view name_of(TreeEntry::Kind kind) {
    switch (kind) {
        case TreeEntry::Kind::bind:
            return "bind";
        case TreeEntry::Kind::bind_tree:
            return "bind-tree";
        case TreeEntry::Kind::tmpfs:
            return "tmpfs";
        case TreeEntry::Kind::file:
            return "file";
    }
    return "?";
}

std::string_view name_of(FileIds ids) {
    switch (ids) {
        case FileIds::mapped:
            return "mapped";
        case FileIds::mapped_or_plain:
            return "mapped-or-plain";
        case FileIds::mapped_or_owned:
            return "mapped-or-owned";
        case FileIds::plain:
            return "plain";
    }
    return "?";
}

std::string_view name_of(Access access) {
    return access == Access::read_only ? "ro" : "rw";
}

void dump_tree(std::string& out, const Policy& policy) {
    const RootPlan& root = policy.root;
    if (root.kind == RootPlan::Kind::empty) {
        out += fmt::format("root empty {} writable={}\n", name_of(root.access),
                           root.writable_bytes_max);
    } else {
        out += fmt::format("root layers {} [{}] upper={}\n", name_of(root.access),
                           fmt::join(root.layers, ", "), root.upper.empty() ? "-" : root.upper);
    }
    for (const auto& entry : policy.tree) {
        out +=
            fmt::format("mount {} {} {}", entry.target, name_of(entry.kind), name_of(entry.access));
        switch (entry.kind) {
            case TreeEntry::Kind::bind:
            case TreeEntry::Kind::bind_tree:
                out += fmt::format(" from={} ids={}\n",
                                   entry.source_fd >= 0 ? "descriptor" : entry.source,
                                   name_of(entry.ids));
                break;
            case TreeEntry::Kind::tmpfs:
                out += fmt::format(" bytes={} mode={:o}\n", entry.bytes_max, entry.mode);
                break;
            case TreeEntry::Kind::file:
                out += fmt::format(" bytes={} mode={:o}\n", entry.content.size(), entry.mode);
                break;
        }
    }
}

void dump_surroundings(std::string& out, const Policy& policy) {
    switch (policy.network.kind) {
        case NetworkPlan::Kind::isolated:
            out += "network none\n";
            break;
        case NetworkPlan::Kind::host:
            out += "network host\n";
            break;
        case NetworkPlan::Kind::joined:
            out += fmt::format("network {}\n",
                               policy.network.fd >= 0 ? "descriptor" : policy.network.path);
            break;
    }
    out += fmt::format("hostname {}\n", policy.hostname.empty() ? "-" : policy.hostname);
    dump_tree(out, policy);
}

}  // namespace

std::string dump(const Policy& policy) {
    std::string out;
    for (const auto& cgroup : policy.cgroups) {
        out += fmt::format("cgroup {}\n", cgroup);
    }
    if (policy.ids.count > 0) {
        out += fmt::format("ids 0..{} are {}..{}\n", policy.ids.count - 1, policy.ids.host_base,
                           policy.ids.host_base + policy.ids.count - 1);
    } else {
        out += "ids of the machine\n";
    }
    out += fmt::format("user {} group {} groups [{}]\n", policy.who.uid, policy.who.gid,
                       fmt::join(policy.who.groups, ", "));
    if (policy.files_as == FilesAs::machine) {
        out += "files opened with the machine's ids\n";
    }
    out += "capabilities none\n";
    if (policy.join) {
        out += "files, network and host name of a cage that runs\n";
    } else {
        dump_surroundings(out, policy);
    }
    out += fmt::format("open-files {}\nthreads {}\n", policy.limits.open_files_max,
                       policy.limits.threads_max);
    if (policy.limits.address_space_bytes) {
        out += fmt::format("address-space {}\n", *policy.limits.address_space_bytes);
    }
    if (policy.limits.cpu_seconds) {
        out += fmt::format("cpu-seconds {}\n", *policy.limits.cpu_seconds);
    }
    out += fmt::format("landlock {}\n", policy.landlock == Landlock::on ? "on" : "off");
    if (policy.on_parent_death == OnParentDeath::die) {
        out += "dies with its parent\n";
    }
    out += fmt::format("syscalls {}\n", to_string(policy.syscalls));
    return out;
}

}  // namespace skiff::sandbox
