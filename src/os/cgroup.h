// Control groups behind one interface: version 2, or version 1 (also hybrid, where version 2 is
// mounted beside it without controllers).
//
// A tree belongs to one instance of Skiff. It stands below a base in every hierarchy; groups have
// names relative to it ("pod<uid>", "pod<uid>/<container>"). The tree holds no state but its paths,
// so it can be opened again after a restart, and all calls may be made from any thread. Calls block
// only for the kernel, except remove(). Under contention all groups of a tree together weigh as
// much as one ordinary group beside the base does for each core of the machine.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace skiff::os {

// What a group may use; absent means no limit of its own.
struct CgroupLimits {
    std::optional<Bytes> memory;
    std::optional<std::int64_t> cpu_limit_millis;    // quota of CPU time, 1000 is one core
    std::optional<std::int64_t> cpu_request_millis;  // share under contention; absent: the least
    std::optional<std::uint32_t> pids;
    // idle: it runs where no other group wants the core, whatever its request. A process of the
    // class SCHED_IDLE gives way to those of its own group only; it is the group that others see.
    enum class Turn { by_request, idle } turn = Turn::by_request;
};

struct CgroupUsage {
    std::chrono::nanoseconds cpu{};
    Bytes working_set;  // memory in use without what the kernel would give back first
};

// Where a group lies: one folder per hierarchy, to be joined in this order.
struct CgroupPlace {
    std::vector<std::filesystem::path> folders;
    // A file with a line "oom_kill N" that counts kills in this group; empty if the kernel has
    // none.
    std::filesystem::path oom_counter;
};

struct CgroupSettings {
    // Absolute cgroup path in every hierarchy; empty: below the group that this process is in.
    std::string root;
    // Folder of this instance below it.
    std::string instance;
};

class CgroupTree {
public:
    virtual ~CgroupTree() = default;

    // Finds out what this machine has and makes the base. With no usable hierarchy at all the tree
    // is still returned: its groups have no folders and nothing is limited; warnings() says so.
    [[nodiscard]] static std::unique_ptr<CgroupTree> open(const CgroupSettings& settings);
    // A tree opened again at the bases that `bases()` returned in an earlier process of this boot.
    [[nodiscard]] static std::unique_ptr<CgroupTree> reopen(const std::vector<std::string>& bases);

    // "memory=/sys/fs/cgroup/memory/x/skiff-1" …: for reopen().
    [[nodiscard]] virtual std::vector<std::string> bases() const = 0;
    // What cannot be enforced or measured here, one clause each; empty when all is well.
    [[nodiscard]] virtual std::vector<std::string> warnings() const = 0;

    // Makes the group (its parent must exist), or sets the limits of one that exists. A limit that
    // the kernel refuses is a warning in the log; only a group that cannot be made is an error.
    [[nodiscard]] virtual Result<CgroupPlace> create(const std::string& name,
                                                     const CgroupLimits& limits) const = 0;
    // The same for a group that only holds others and that no process joins. Where a hierarchy has
    // no limit to keep for it, it may have no folder there, and its children lie beside one
    // another.
    [[nodiscard]] virtual Result<void> create_parent(const std::string& name,
                                                     const CgroupLimits& limits) const {
        SKIFF_CHECK(create(name, limits));
        return {};
    }
    // Gives a group that exists other limits; what is absent is lifted. Only memory and CPU: the
    // number of processes stays as it was. Fails with what the kernel says when it refuses one,
    // which it does for a memory limit below what is in use and for a quota beyond the parent's;
    // the others are set all the same. A hierarchy where the group has no folder is passed over.
    [[nodiscard]] virtual Result<void> resize(const std::string& name,
                                              const CgroupLimits& limits) const = 0;
    // Where the group lies or would lie.
    [[nodiscard]] virtual CgroupPlace place(const std::string& name) const = 0;
    // nullopt when there is no such group or the kernel does not tell.
    [[nodiscard]] virtual std::optional<CgroupUsage> usage(const std::string& name) const = 0;
    [[nodiscard]] virtual std::optional<std::uint64_t> oom_kills(const std::string& name) const = 0;
    // Kills every process in the group and below it; a group that is not there is fine. On return
    // all have been sent SIGKILL and none can fork on; they may still be ending.
    [[nodiscard]] virtual Result<void> kill(const std::string& name) const = 0;
    // Processes in the group and below it.
    [[nodiscard]] virtual std::vector<int> processes(const std::string& name) const = 0;
    // Kills what is left in the group, removes it and the groups below it. May wait up to 5 s for
    // processes to end, then fails with Code::conflict. Missing is fine. "" removes the base.
    [[nodiscard]] virtual Result<void> remove(const std::string& name) const = 0;
    // Names of the groups directly below `name` ("": the base), full names relative to the base.
    [[nodiscard]] virtual std::vector<std::string> children(const std::string& name) const = 0;
};

// Kubernetes' conversion: a core is 1024 shares, at least 2.
[[nodiscard]] std::uint64_t cpu_shares(std::optional<std::int64_t> request_millis);
// The same for cgroup v2's cpu.weight, 1 to 10000.
[[nodiscard]] std::uint64_t cpu_weight(std::optional<std::int64_t> request_millis);

}  // namespace skiff::os
