// What one container may have and how its cage is built: the only thing a runner is told.
//
// The agent encodes a Grant (wire::encode) into a memfd, seals it (F_SEAL_SEAL | SHRINK | GROW |
// WRITE) and passes it with Start. The keeper never reads it: it may hold Secrets (environment),
// and what the keeper reads, the next fork inherits. The runner checks the seals, decodes and
// forgets it.
//
// Numbers called `..._fd` are indexes into the descriptors of the Start message, -1 means none.
// Paths called "host" are resolved in the keeper's mount namespace, before the runner leaves it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/egress.h"
#include "base/result.h"
#include "wire/codec.h"

namespace skiff::wire {

constexpr std::size_t kGrantBytesMax = 4U << 20;
constexpr std::size_t kGrantMountsMax = 256;
constexpr std::size_t kLogSlotsMax = 16;

// What a mount's source is.
enum class MountKind : std::uint8_t {
    bind,       // a folder or file of the host: `source` or `source_fd`
    bind_tree,  // the same with everything mounted below it
    tmpfs,      // fresh memory of at most `bytes_max`, owned by the container's user
    file,       // a small file with the bytes of `content` (/etc/hosts and friends)
};
constexpr MountKind last_of(MountKind) {
    return MountKind::file;
}

enum class Access : std::uint8_t { read_only, read_write };
constexpr Access last_of(Access) {
    return Access::read_write;
}

// Whose ids the files of a bind show.
enum class IdMapping : std::uint8_t {
    // An idmapped mount: uid x on disk is uid x of the container. The start fails (stage "mounts")
    // where kernel or filesystem cannot.
    mapped,
    // Mapped where possible, else as `plain`: the agent accepts that the guest is "nobody" there.
    mapped_or_plain,
    // The host's ids: files of the host's root belong to nobody in the container.
    plain,
    // For volumes of Skiff's own making: mapped where possible, else every file is given (chown) to
    // the pod's range before the guest runs. A folder whose own owner lies in a pod's range is one
    // that was given away so; the agent writes later files of it with owners of that range, too.
    mapped_or_owned,
};
constexpr IdMapping last_of(IdMapping) {
    return IdMapping::mapped_or_owned;
}

// One entry of the container's tree. Entries are mounted in the order given, so parents come first;
// missing mount points are made (a folder for a folder, an empty file for a file). Every mount is
// nosuid, nodev and noexec.
struct Mount {
    MountKind kind = MountKind::bind;
    std::string target;  // absolute path in the container, never followed outside of its root
    std::string source;  // absolute host path; empty when source_fd is given
    // An O_PATH descriptor, for what must not be resolved twice (subPath).
    std::int32_t source_fd = -1;
    Access access = Access::read_only;
    IdMapping id_mapping = IdMapping::mapped;
    std::string content;          // MountKind::file
    std::uint64_t bytes_max = 0;  // MountKind::tmpfs; 0: half of the memory limit, else 64 MiB
    std::uint32_t mode = 0755;    // of a tmpfs or file
    friend bool operator==(const Mount&, const Mount&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.kind, s.target, s.source, s.source_fd, s.access, s.id_mapping, s.content, s.bytes_max,
          s.mode);
    }
};

enum class RootKind : std::uint8_t {
    none,    // the guest has no files at all (no mounts either)
    empty,   // an empty tree of mount points; see Root::writable_bytes_max
    layers,  // an overlay of unpacked image layers
};
constexpr RootKind last_of(RootKind) {
    return RootKind::layers;
}

struct Root {
    RootKind kind = RootKind::empty;
    // RootKind::layers: host folders, the uppermost layer first, at most 126.
    std::vector<std::string> layers;
    // Host folders for the writable layer, on one filesystem, made by the agent, owned by root;
    // empty: the layers are read-only. `work` must be an empty folder beside `upper`.
    std::string upper;
    std::string work;
    // RootKind::empty: bytes that the guest may write outside of its volumes, in memory that counts
    // for its limit. 0: the root is read-only.
    std::uint64_t writable_bytes_max = 0;
    // readOnlyRootFilesystem.
    Access access = Access::read_write;
    friend bool operator==(const Root&, const Root&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.kind, s.layers, s.upper, s.work, s.writable_bytes_max, s.access);
    }
};

// With whose ids the guest opens files.
enum class FilesAs : std::uint8_t {
    pod,  // its own, of the pod's range; volumes are mapped to them
    // The machine's ids of the same numbers, without any capability, because a volume of the pod is
    // on a filesystem that cannot map ids; then no mount is mapped. In all else (signals, peer
    // credentials) the guest is of the pod's range all the same. At most 64 groups.
    machine,
};
constexpr FilesAs last_of(FilesAs) {
    return FilesAs::machine;
}

// Who the guest is. Ids are those inside of the user namespace.
struct Identity {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups;  // supplemental groups and fsGroup
    // The pod's range on the machine: inside id i is host id host_base + i. id_count 0: no user
    // namespace, the ids above are the machine's own (only where idmapped mounts do not work).
    std::uint32_t host_base = 0;
    std::uint32_t id_count = 65536;
    FilesAs files_as = FilesAs::pod;
    friend bool operator==(const Identity&, const Identity&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.uid, s.gid, s.groups, s.host_base, s.id_count, s.files_as);
    }
};

enum class NetMode : std::uint8_t {
    empty,  // no interface at all, not even a usable loopback; the guest can open no socket
    host,   // the machine's network, as with hostNetwork: true
    path,   // the network namespace at Network::path (a bound nsfs file) or Network::fd
};
constexpr NetMode last_of(NetMode) {
    return NetMode::path;
}

struct Network {
    NetMode mode = NetMode::empty;
    std::string path;
    std::int32_t fd = -1;
    friend bool operator==(const Network&, const Network&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.mode, s.path, s.fd);
    }
};

// How the guest hears that it should end.
enum class StopMode : std::uint8_t {
    none,  // it does not: it is killed at once and reported with 143
    // `skiff/stop: file`: the agent mounts a folder of its own read-only at /run/skiff and makes
    // the file `terminating` appear in it before it sends Stop.
    file,
    lifecycle,  // it imports skiff:pod/lifecycle (or skiff.terminating)
};
constexpr StopMode last_of(StopMode) {
    return StopMode::lifecycle;
}

// Which system calls the runner keeps.
enum class SyscallProfile : std::uint8_t {
    command,          // a guest that can open no socket
    command_network,  // a guest that may
};
constexpr SyscallProfile last_of(SyscallProfile) {
    return SyscallProfile::command_network;
}

enum class Toggle : std::uint8_t { on, off };
constexpr Toggle last_of(Toggle) {
    return Toggle::off;
}

struct ResourceLimits {
    // limits.memory: the cap on linear memories, tables and GC heaps; 0: none. (The cgroup's limit
    // is the agent's business.)
    std::uint64_t memory_bytes = 0;
    std::uint64_t open_files_max = 1024;  // RLIMIT_NOFILE
    std::uint64_t threads_max = 64;       // RLIMIT_NPROC, per user of the pod's range
    std::uint64_t stack_bytes = 0;        // of the guest; 0: the engine's default
    friend bool operator==(const ResourceLimits&, const ResourceLimits&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.memory_bytes, s.open_files_max, s.threads_max, s.stack_bytes);
    }
};

// Who executes the guest, and what its engine is made for: see the engine's header.
enum class Engine : std::uint8_t { wasmtime, pulley, wasmi };
constexpr Engine last_of(Engine) {
    return Engine::wasmi;
}
// As RuntimeClasses name them, in the enumeration's order.
constexpr std::array<std::string_view, 3> kEngineNames = {"wasmtime", "pulley", "wasmi"};
[[nodiscard]] std::optional<Engine> find_engine(std::string_view name);

enum class Purpose : std::uint8_t { command, concurrent, server };
constexpr Purpose last_of(Purpose) {
    return Purpose::server;
}

// What a guest may do in its network.
struct NetworkUse {
    Reach egress = Reach::everything;
    std::vector<EgressRule> rules;
    Toggle listen = Toggle::on;
    // Hosts of outgoing HTTP: Krustlet's allowed-domains. `http_given`: the pod has the annotation,
    // so they narrow all HTTP; else they hold for `wasi_experimental_http` alone.
    Reach http = Reach::nothing;
    bool http_given = false;
    std::vector<std::string> http_hosts;
    std::uint32_t http_requests_max = 0;  // at the same time; 0: the engine's default
    std::string ca_file;  // in the container: trusted instead of the machine's, if it is there
    friend bool operator==(const NetworkUse&, const NetworkUse&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.egress, s.rules, s.listen, s.http, s.http_given, s.http_hosts, s.http_requests_max,
          s.ca_file);
    }
};

// Purpose::server only. The runner binds the socket in its network before it gives up its powers.
struct HttpServer {
    std::string address;  // of the machine, for NetMode::host; empty: all addresses
    std::uint16_t port = 8080;
    std::uint32_t reuse_count = 1;
    std::uint32_t reuse_concurrent = 1;
    std::uint32_t requests_max = 0;  // this and the next: 0: the engine's default
    std::uint64_t request_ms_max = 0;
    std::uint64_t body_bytes_max = 0;  // 0: no limit
    // How long it goes on accepting after a stop; with a share N at most an Nth part of the time
    // that it is given then.
    std::uint64_t drain_ms = 5000;
    std::uint32_t drain_share = 0;
    friend bool operator==(const HttpServer&, const HttpServer&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.address, s.port, s.reuse_count, s.reuse_concurrent, s.requests_max, s.request_ms_max,
          s.body_bytes_max, s.drain_ms, s.drain_share);
    }
};

// The runner's own log, see runner_page.h for how the agent follows and names its files.
struct LogGrant {
    std::vector<std::int32_t> slot_fds;  // O_WRONLY | O_APPEND, regular files; empty: no log
    std::uint64_t slot_bytes_max = 10U << 20;
    std::uint64_t bytes_per_second_max = 0;  // who writes more waits; 0: nobody does
    // Where the guest's output goes besides the log, unchanged: a terminal or pipe of `skiff run`,
    // or what clients attach to.
    std::int32_t stdout_fd = -1;
    std::int32_t stderr_fd = -1;
    // Whether somebody listens to these two: the writing end of a FIFO, not blocking as they are.
    // While nobody reads the FIFO nothing is written, and who blocks goes on. -1: they are written
    // until that fails.
    std::int32_t audience_fd = -1;
    friend bool operator==(const LogGrant&, const LogGrant&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.slot_fds, s.slot_bytes_max, s.bytes_per_second_max, s.stdout_fd, s.stderr_fd,
          s.audience_fd);
    }
};

// Namespaces of a container that runs, for a second runner beside its own. Opened by the agent from
// /proc/PID/ns, which proved whose they are: the runner can look at nobody's.
struct Join {
    std::int32_t mount_fd = -1;  // -1: nothing is joined
    std::int32_t network_fd = -1;
    std::int32_t hostname_fd = -1;
    std::int32_t user_fd = -1;  // with Identity::id_count above 0
    friend bool operator==(const Join&, const Join&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.mount_fd, s.network_fd, s.hostname_fd, s.user_fd);
    }
};

struct Grant {
    std::string container_id;
    // For people in `ps`: "namespace/pod/container", cut to what a process name can hold.
    std::string label;

    std::vector<std::string> args;  // args[0] is the module's name
    std::vector<std::string> env;   // NAME=value
    std::string cwd;                // initial-cwd of components; core modules get PWD by `env`
    std::string entry;              // `x.wasm#func`: the function to call; empty: the default
    std::int32_t stdin_fd = -1;
    Toggle tty = Toggle::off;  // the guest is told that its streams are a terminal
    StopMode stop = StopMode::none;
    ResourceLimits limits;

    Root root;
    std::vector<Mount> mounts;
    Identity identity;
    Network network;
    std::string hostname;
    // Folders of cgroups to join, in order: one of v2, or one for each v1 controller.
    std::vector<std::string> cgroups;

    SyscallProfile syscalls = SyscallProfile::command;
    Toggle landlock = Toggle::on;
    LogGrant log;
    // Who dies first when the machine's memory ends: the runner's own, whatever the keeper's is
    // (-1000 to 1000, as /proc/PID/oom_score_adj).
    std::int32_t oom_score_adj = 0;

    Engine engine = Engine::wasmtime;
    Purpose purpose = Purpose::command;
    NetworkUse network_use;
    HttpServer server;
    std::int32_t coredump_fd = -1;  // a file for the core dump of a trap
    std::uint64_t coredump_bytes_max = 0;
    // With it root, mounts, network and host name are those of the container that runs: none of
    // these fields is looked at but `root.kind`.
    Join join;

    friend bool operator==(const Grant&, const Grant&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.container_id, s.label, s.args, s.env, s.cwd, s.entry, s.stdin_fd, s.tty, s.stop,
          s.limits, s.root, s.mounts, s.identity, s.network, s.hostname, s.cgroups, s.syscalls,
          s.landlock, s.log, s.oom_score_adj, s.engine, s.purpose, s.network_use, s.server,
          s.coredump_fd, s.coredump_bytes_max, s.join);
    }
};

// The bytes for the memfd, with a header that names version and length. Fails with Code::exhausted
// when the grant is larger than kGrantBytesMax.
[[nodiscard]] Result<std::string> encode_grant(const Grant& grant);
// Decodes and checks what does not depend on the machine: absolute paths without "..", counts, ids
// within the range, descriptor indexes below `fd_count`. Fails with Code::corrupt or Code::invalid.
[[nodiscard]] Result<Grant> decode_grant(std::string_view bytes, std::size_t fd_count);

}  // namespace skiff::wire
