// What a confined process keeps, as a value: made by PolicyBuilder, printed by dump(), applied by
// Confinement. Nothing that is not named here is kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sandbox/syscalls.h"

namespace skiff::sandbox {

enum class Access { read_only, read_write };

// Whose ids the files of a bound folder show; see wire::IdMapping.
enum class FileIds { mapped, mapped_or_plain, mapped_or_owned, plain };

// With whose ids the process opens files: with its own, of the pod's range; or with the machine's
// ids of the same numbers, and then no mount is idmapped: for files that cannot be. Everything else
// (signals, peer credentials, limits) goes by the pod's ids all the same.
enum class FilesAs { pod, machine };

// One thing mounted into the tree. Every mount is nosuid, nodev and noexec.
struct TreeEntry {
    enum class Kind { bind, bind_tree, tmpfs, file };
    Kind kind = Kind::bind;
    std::string target;
    std::string source;
    int source_fd = -1;
    Access access = Access::read_only;
    FileIds ids = FileIds::mapped;
    std::string content;
    std::uint64_t bytes_max = 0;
    std::uint32_t mode = 0755;
};

struct RootPlan {
    enum class Kind { empty, layers };
    Kind kind = Kind::empty;
    std::vector<std::string> layers;  // uppermost first
    std::string upper;
    std::string work;
    std::uint64_t writable_bytes_max = 0;
    Access access = Access::read_only;
};

// A pod's range of ids on the machine: inside id i is host id `host_base + i`.
struct IdRange {
    std::uint32_t host_base = 0;
    std::uint32_t count = 0;  // 0: no user namespace
};

struct Credentials {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups;
};

struct NetworkPlan {
    enum class Kind { isolated, host, joined };
    Kind kind = Kind::isolated;
    std::string path;
    int fd = -1;
};

// Descriptors of the namespaces of a confined process that runs; they stay the caller's.
struct JoinPlan {
    int mount = -1;
    int network = -1;
    int hostname = -1;
    int user = -1;  // -1: of a process without mapped ids
};

struct Limits {
    std::uint64_t open_files_max = 1024;
    std::uint64_t threads_max = 64;
    std::optional<std::uint64_t> address_space_bytes;
    std::optional<std::uint64_t> cpu_seconds;
};

// Each takes two lines of the user namespace's map, which is less than a page.
constexpr std::size_t kFileGroupsMax = 64;

// What happens to the process when the one that forked it ends.
enum class OnParentDeath { live_on, die };

// Whether Landlock is added where the kernel has it.
enum class Landlock { on, off };

struct Policy {
    std::vector<std::string> cgroups;
    IdRange ids;
    Credentials who;
    FilesAs files_as = FilesAs::pod;
    NetworkPlan network;
    std::string hostname;
    RootPlan root;
    std::vector<TreeEntry> tree;
    // Takes the place of the four above.
    std::optional<JoinPlan> join;
    Limits limits;
    SyscallProfile syscalls = SyscallProfile::command;
    Landlock landlock = Landlock::on;
    OnParentDeath on_parent_death = OnParentDeath::live_on;
};

// The policy as text, one fact a line, stable: the form that goldens and reviews compare.
[[nodiscard]] std::string dump(const Policy& policy);

// A host network is a power: whoever gives it says so with this word, so that reviews can find it.
struct UnrestrictedNetwork {
    explicit UnrestrictedNetwork() = default;
};
// The same for running with ids of the machine instead of a pod's own range.
struct MachineIds {
    explicit MachineIds() = default;
};

// And for opening files with them.
struct MachineFileIds {
    explicit MachineFileIds() = default;
};

// And for entering a cage that another process lives in: its files, memory filesystems and sockets
// are shared then.
struct RunningCage {
    explicit RunningCage() = default;
};

// The machine's id of the owner of what is made for the container's `id`.
[[nodiscard]] std::uint32_t file_owner(const Policy& policy, std::uint32_t id);

// Collects a policy; faults surface once, at build(). A fresh builder gives: an own empty network,
// an empty read-only root, no ids (build() then refuses), the syscalls of a command, Landlock on.
class PolicyBuilder {
public:
    // Joins the cgroup whose folder this is, in the order of the calls.
    PolicyBuilder& join_cgroup(std::string folder);
    // The process gets a user namespace with this range only.
    PolicyBuilder& map_ids(IdRange range);
    // The process keeps the machine's ids (no user namespace).
    PolicyBuilder& keep_machine_ids(MachineIds);
    PolicyBuilder& run_as(Credentials who);
    // FilesAs::machine, for the ids of run_as() only; needs map_ids(). At most kFileGroupsMax
    // groups.
    PolicyBuilder& open_files_as_machine(MachineFileIds);

    // Shares the machine's network.
    PolicyBuilder& share_host_network(UnrestrictedNetwork);
    // Joins the network namespace behind the path (or descriptor, if not negative).
    PolicyBuilder& join_network(std::string path, int fd);
    PolicyBuilder& name_host(std::string hostname);

    // A root of mount points, with that many bytes writable in memory (0: read-only).
    PolicyBuilder& use_empty_root(std::uint64_t writable_bytes_max);
    // An overlay of folders, the uppermost first; `upper` and `work` may be empty (then read-only).
    PolicyBuilder& use_layers(RootPlan plan);
    // Adds to the tree; parents before children.
    PolicyBuilder& add(TreeEntry entry);

    // Joins the namespaces of a process that was confined by a policy with the same ids, instead of
    // making a tree, a network and a host name of its own: what it opens is what that one sees.
    PolicyBuilder& join_cage(JoinPlan plan, RunningCage);

    PolicyBuilder& limit_open_files(std::uint64_t count);
    PolicyBuilder& limit_threads(std::uint64_t count);
    PolicyBuilder& limit_address_space(std::uint64_t bytes);
    PolicyBuilder& limit_cpu(std::uint64_t seconds);

    PolicyBuilder& allow_syscalls(SyscallProfile profile);
    PolicyBuilder& without_landlock();
    PolicyBuilder& die_with_parent();

    // Fails with Code::invalid when ids were neither mapped nor kept, lie outside of the range, or
    // are more than can be the machine's; and when a cage to be joined lacks a namespace, or comes
    // with a tree.
    [[nodiscard]] Result<Policy> build();

private:
    Policy policy_;
    bool ids_decided_ = false;
};

}  // namespace skiff::sandbox
