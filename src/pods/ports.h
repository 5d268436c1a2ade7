// What `pods` needs from the rest of Skiff: the ports. Other rooms implement them (never including
// one another), src/app wires them together, tests put fakes behind them.
//
// All calls are made on the reactor thread. Every Task has its own deadline inside and ends when
// its Scope is cancelled. Errors carry the CamelCase reason that belongs into a container status or
// event (Error::reason).
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/task.h"
#include "base/egress.h"
#include "base/result.h"
#include "base/time.h"
#include "base/types.h"
#include "kube/types.h"
#include "pods/ports_files.h"  // IWYU pragma: export

namespace skiff::pods {

enum class ContainerKind { init, regular, ephemeral };

// ---------------------------------------------------------------------------------------------------------------
// Events (kubelet-contract row 12): implemented by node (API server) and by the command line
// (stderr).

enum class EventType { normal, warning };

class EventSink {
public:
    virtual ~EventSink() = default;
    // Records an event about `pod`; `container` (may be empty) becomes the fieldPath
    // `spec.containers{name}` or `spec.initContainers{name}`. Never blocks and never fails: what
    // exceeds the limits is counted and dropped. Messages hold no container ids.
    virtual void emit(const kube::Pod& pod, std::string_view container, EventType type,
                      std::string_view reason, std::string_view message) = 0;
};

// ---------------------------------------------------------------------------------------------------------------
// API objects that pods refer to: implemented by node (watching client) and by app (objects of a
// file).

struct ServiceAccountToken {
    std::string token;
    WallTime expires;
};

// What a podCertificate source of a projected volume shows.
struct PodCredentials {
    std::string key_pem;
    std::string chain_pem;
};

class Objects {
public:
    virtual ~Objects() = default;
    // Each fails with not_found (the object does not exist: the caller decides whether it was
    // optional) or unavailable/denied (try again; right after binding the node authorizer may still
    // refuse, contract §9.4).
    [[nodiscard]] virtual Task<Result<std::shared_ptr<const kube::ConfigMap>>> config_map(
        const kube::Pod& pod, std::string name) = 0;
    [[nodiscard]] virtual Task<Result<std::shared_ptr<const kube::Secret>>> secret(
        const kube::Pod& pod, std::string name) = 0;
    // A token bound to `pod` for its service account (contract row 31); cached, renewed at 80 % of
    // its life.
    [[nodiscard]] virtual Task<Result<ServiceAccountToken>> service_account_token(
        const kube::Pod& pod, std::string audience, std::int64_t expiration_seconds) = 0;
    // The certificates of the ClusterTrustBundles that `source` selects, in PEM, each once, in an
    // order of no meaning (contract row 69). None selected: empty if the source is optional, else
    // not_found.
    [[nodiscard]] virtual Task<Result<std::string>> trust_anchors(
        const kube::Pod& pod, const kube::ClusterTrustBundleProjection& source) = 0;
    // The key and the certificate for `sources[source]` of the projected volume, which some signer
    // in the cluster issues; renewed when it is asked for after the time to do so. Fails with
    // denied when the signer refused, unavailable while it has not answered.
    [[nodiscard]] virtual Task<Result<PodCredentials>> pod_certificate(const kube::Pod& pod,
                                                                       std::string volume,
                                                                       std::size_t source) = 0;
    // The volume that a claim of the pod's namespace is bound to (contract row 61); once found, it
    // is the pod's until release(). Fails with unavailable while the claim is not bound, denied
    // while it is being deleted, not_found, conflict when the volume is not for this claim or this
    // node.
    [[nodiscard]] virtual Task<Result<std::shared_ptr<const kube::PersistentVolume>>> bound_volume(
        const kube::Pod& pod, std::string claim) = 0;
    // Services of all namespaces, for environment variables (row 27); nullopt until they were read
    // once.
    [[nodiscard]] virtual std::optional<std::vector<std::shared_ptr<const kube::Service>>>
    services() const = 0;
    // The handler that a RuntimeClass names; not_found if the class does not exist (row 56).
    [[nodiscard]] virtual Task<Result<std::string>> runtime_handler(std::string runtime_class) = 0;
    // The last reference to the pod's objects is gone: caches may forget them.
    virtual void release(const PodUid& pod) = 0;
    // Called on the reactor thread for each pod that asked for an object (token excepted) which has
    // changed, come or gone since; what is true now is asked for again, not told. Must not call
    // this port. One observer; an empty one is none.
    virtual void set_observer(std::function<void(const PodUid&)> observer) = 0;
};

// ---------------------------------------------------------------------------------------------------------------
// Network: implemented by network.

enum class NetworkMode {
    host,   // the node's own namespace
    empty,  // a namespace with nothing but a dead loopback
    pod,    // a namespace at PodNetwork::netns
};

struct PodNetwork {
    std::vector<std::string> pod_ips;  // status.podIPs
    std::filesystem::path netns;       // for NetworkMode::pod
    std::filesystem::path
        hosts_file;  // contents for /etc/hosts and /etc/resolv.conf of the containers
    std::filesystem::path resolv_conf;
    std::string hostname;
};

class Network {
public:
    virtual ~Network() = default;
    // Idempotent. Fails with reason FailedCreatePodSandBox. May run beside Runtime::prepare_pod().
    [[nodiscard]] virtual Task<Result<PodNetwork>> set_up(const kube::Pod& pod) = 0;
    // Which namespace a container runs in, given whether its module can open sockets. Fails with
    // reason CreateContainerError when a port of its is taken, naming port and holder.
    [[nodiscard]] virtual Task<Result<NetworkMode>> mode_for(const kube::Pod& pod,
                                                             const kube::Container& container,
                                                             bool module_can_open_sockets) = 0;
    [[nodiscard]] virtual Task<Result<void>> tear_down(const PodUid& pod) = 0;
};

// ---------------------------------------------------------------------------------------------------------------
// Runtime: implemented by runtime, which talks to the keepers.

enum class ExitKind {
    exited,         // the guest ended by itself with exit_code
    trapped,        // 134, message = trap and backtrace
    out_of_memory,  // 137, reason OOMKilled
    stopped,        // ended at our request without handling it: 143
    killed,         // SIGKILL at the end of the grace period, or from outside: 137
    start_failed,   // never ran a guest instruction: 128, reason StartError
    lost,           // gone without a trace: 137, reason ContainerStatusUnknown
};

struct ContainerExit {
    ExitKind kind = ExitKind::lost;
    int exit_code = 137;
    std::string reason;  // terminated.reason: Completed, Error, OOMKilled, StartError,
                         // ContainerStatusUnknown
    // Termination message: the file's contents, else the runtime's own words (a trap), else the end
    // of the log where the container wants that. At most 4096 bytes of UTF-8.
    std::string message;
    WallTime finished;
};

// The ids that a container's guest has, as it sees them.
struct ContainerIds {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups;  // supplemental ones, without gid
    friend bool operator==(const ContainerIds&, const ContainerIds&) = default;
};

// What clients who attach to a container find besides its log.
struct Console {
    enum class Kind {
        none,      // its log is all there is
        pipes,     // its standard input, and its output as it is written
        terminal,  // the same through one terminal, which is all three of its streams
    } kind = Kind::none;
    // What clients may send it.
    enum class Input {
        none,
        open,  // it waits for the next client when one goes
        once,  // it ends when the first client who sends goes; a terminal's stays open all the same
    } input = Input::none;
    friend bool operator==(const Console&, const Console&) = default;
};

// One container as the node has it: from the moment its start is asked for until it is removed.
struct ContainerRecord {
    enum class Phase {
        // Asked for, by this agent or by one before it, and not answered yet: a guest may run or
        // not. Nobody else may start this container until it has become `started` or is gone from
        // the list; it can be stopped. It has neither `exit`, nor a pid, nor a log to be read.
        starting,
        started,  // runs, or has ended
    };
    // earlier: it ended before the machine was booted anew, and was kept (ContainerSpec::end_kept).
    enum class Boot { present, earlier } boot = Boot::present;
    ContainerId id;
    PodUid pod;
    PodName pod_name;
    std::string name;
    ContainerKind kind = ContainerKind::regular;
    std::uint32_t attempt = 0;  // restart count at its start
    std::uint32_t round = 0;    // as given with ContainerSpec::round
    std::string spec_hash;      // of the container's spec when it was started
    std::string image;          // reference and id, for the status
    std::string image_id;
    std::optional<ContainerIds> ids;  // nullopt when an older agent started it
    // What it runs with, as its pod put it; nullopt when an older agent started it.
    std::optional<kube::ResourceRequirements> resources;
    Phase phase = Phase::started;
    WallTime created;
    WallTime started;
    std::optional<ContainerExit> exit;  // nullopt while it starts or runs
    std::int32_t pid = 0;               // on the host, 0 once ended
    std::filesystem::path log_path;     // the CRI log file (`<n>.log`) that is written now
    Console console;

    [[nodiscard]] bool runs() const { return phase == Phase::started && !exit; }
};

// The names of a run's log files in its container's folder, which runtime gives and logs reads:
// `<n>.log` is the one that is written now or was written last (ContainerRecord::log_path),
// `<n>.log.<time>` were closed before it, `.<n>.log.slot<i>` wait for their turn.
[[nodiscard]] inline std::string log_file_name(std::uint32_t attempt) {
    return fmt::format("{}.log", attempt);
}
[[nodiscard]] inline bool is_log_file_of(std::string_view name, std::uint32_t attempt) {
    std::string current = log_file_name(attempt);
    return name == current || name.starts_with(current + ".") ||
           name.starts_with("." + current + ".slot");
}

// A compiled module that containers can start from.
struct Artifact {
    std::string key;
    Bytes module_size;
    Duration compile_time{};  // zero when it was cached
    enum class Source { cached, compiled } source = Source::cached;
    bool opens_sockets = false;  // imports something that can open a socket
    // A core module that imports WASI 0.1's calls for sockets, which nobody can give it one for.
    bool wants_sockets = false;
    bool handles_stop = false;  // imports the lifecycle interface
    bool serves_http = false;   // a server, and no command
    bool is_component = false;
};

// What a guest may do with HTTP requests of its own, by Krustlet's annotations.
struct HttpUse {
    // Reach::nothing holds for `wasi_experimental_http` alone unless `given`.
    Reach reach = Reach::nothing;
    bool given = false;              // the pod has alpha.wasi.krustlet.dev/allowed-domains
    std::vector<std::string> hosts;  // with Reach::listed
    std::uint32_t requests_max = 0;  // at the same time; 0: the engine's default
};

// What a server answers at the most; zeros: the engine's defaults.
struct HttpLimits {
    std::uint32_t requests = 0;  // at the same time
    Duration time{};             // from a request to the head of its response
    Bytes body;                  // of a request
};

// How a server serves.
struct Serving {
    std::string address;  // empty: all addresses of the container's network
    std::uint16_t port = 8080;
    std::uint32_t reuse_count = 1;  // requests for one instance
    std::uint32_t reuse_concurrent = 1;
    HttpLimits limits;
    // How long it goes on after a stop; with a share N at most an Nth part of the time that the
    // stop leaves it. Also of a guest that listens by sockets of its own and does not handle
    // stopping.
    Duration drain_delay = std::chrono::seconds(5);
    std::uint32_t drain_share = 2;
};

// Whether the dump of a guest that trapped is kept on the node.
enum class CoreDump { none, kept };

enum class MountAccess { read_write, read_only };

struct ContainerMount {
    std::filesystem::path host;
    std::string container;  // absolute path inside
    MountAccess access = MountAccess::read_write;
    VolumeOrigin origin = VolumeOrigin::skiff;
    VolumeIds ids = VolumeIds::of_pod;
};

// What a container may use; absent: no limit of its own.
struct ContainerLimits {
    std::optional<Bytes> memory;
    std::optional<std::int64_t> cpu_limit_millis;
    std::optional<std::int64_t> cpu_request_millis;
    friend bool operator==(const ContainerLimits&, const ContainerLimits&) = default;
};

// Everything needed to start one container. Copied; holds no references.
struct ContainerSpec {
    PodUid pod;
    PodName pod_name;
    std::string name;
    ContainerKind kind = ContainerKind::regular;
    std::uint32_t attempt = 0;
    // How often all containers of the pod were restarted together before this start; only kept.
    std::uint32_t round = 0;
    std::string spec_hash;
    Image image;
    Artifact artifact;
    std::string function;           // empty: `_start` or `wasi:cli/run`; else the export after `#`
    std::vector<std::string> argv;  // argv[0] included
    std::vector<std::string> env;   // "NAME=value", in order, names unique
    std::string working_dir;
    std::vector<ContainerMount> mounts;
    std::string termination_message_path;  // inside the container
    // Where the message comes from when the container failed and left that file empty.
    enum class MessageFallback { none, log } message_fallback = MessageFallback::none;
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups;  // supplemental and fsGroup
    enum class Root { writable, read_only } root = Root::writable;
    NetworkMode network = NetworkMode::empty;
    PodNetwork pod_network;
    ContainerLimits limits;
    // What the limits were made of, for the record.
    kube::ResourceRequirements resources;
    std::int32_t oom_score_adj = 0;  // -1000 (never killed) to 1000 (killed first)
    enum class StopMode { kill, file, lifecycle } stop_mode = StopMode::kill;
    // Whether its end is told after power loss, too: for what may not run a second time.
    enum class EndKept { this_boot, for_ever } end_kept = EndKept::this_boot;
    std::string runtime_handler = "wasmtime";
    Egress egress;
    HttpUse http;
    Serving serving;  // of a module that serves HTTP
    CoreDump coredump = CoreDump::none;
    // `skiff run -i/-t`: descriptors of the command line that become the guest's; -1 otherwise.
    int stdin_fd = -1;
    bool tty = false;
    // For clients who attach; of no effect beside a stdin_fd.
    Console console;
};

// A pod's share of the node that exists before its first container.
struct PodSandbox {
    PodUid pod;
    PodName pod_name;
    std::optional<Bytes> memory_limit;  // sum over containers plus overhead, if all have one
    std::optional<std::int64_t> cpu_limit_millis;
    std::optional<std::int64_t> cpu_request_millis;
    std::string qos_class;  // Guaranteed, Burstable, BestEffort
    // What was allocated to the pod, to be told to the next agent of this boot (allocation()).
    std::string allocation;
};

struct ContainerUsage {
    std::chrono::nanoseconds cpu{};
    Bytes memory_working_set;
};

// What one container, running or ended, takes on the node's disk.
struct ContainerDiskUse {
    ContainerId id;
    std::string name;
    DiskUse writable;  // its writable layer; nothing when its image has no layers
    DiskUse logs;      // of all runs that have the container's name: told with the newest of them
};

// A command in a container that runs (`kubectl exec`). Copied; the descriptors stay the caller's.
struct ExecSpec {
    ContainerId container;
    std::vector<std::string> command;  // not empty
    // The file of the container's image that command[0] names. Without one, or when it is no Wasm,
    // the toolbox runs: a module of Skiff's own with small commands.
    std::optional<ModuleFile> module;
    // Needed until exec() returns. -1: there is nothing to read, output is dropped. A terminal is
    // one descriptor, given three times.
    int stdin_fd = -1;
    int stdout_fd = -1;
    int stderr_fd = -1;
    bool tty = false;
};

// A command that runs. Destroying the session kills it.
class ExecSession {
public:
    virtual ~ExecSession() = default;
    // How it ended, as soon as it has. Fails only with cancelled.
    [[nodiscard]] virtual Task<Result<ContainerExit>> wait() = 0;
};

// A client of a container's console (`kubectl attach`). Copied.
struct AttachSpec {
    ContainerId container;
    bool sends = false;  // it will write to the standard input
    // What it will read; the other stream is written without it.
    bool reads_out = true;
    bool reads_err = true;
};

enum class OutputStream { out, err };

struct TerminalSize {
    std::uint16_t columns = 0;
    std::uint16_t rows = 0;
    friend bool operator==(const TerminalSize&, const TerminalSize&) = default;
};

// One client. Destroying the session detaches it; the container goes on.
class AttachSession {
public:
    virtual ~AttachSession() = default;
    // Resolves when the container's input has taken all of it. What nobody will read any more (the
    // container or its input has ended, or has none for this client) is dropped. One task at a
    // time. Fails only with cancelled.
    [[nodiscard]] virtual Task<Result<void>> write_stdin(std::string bytes) = 0;
    // The client sends no more: ends an input that is `once`, for good, unless it is a terminal.
    // Any other input goes on without this client, whose session is over. Of no effect where there
    // is no input.
    virtual void close_stdin() = 0;
    // What was written to the stream since the client came or read last, waiting for some. Empty:
    // the session is over. A terminal has `out` alone. One task for each stream. Fails with
    // cancelled, or exhausted for a client who has not read for a minute what all others had.
    [[nodiscard]] virtual Task<Result<std::string>> read(OutputStream stream) = 0;
    // Of no effect without a terminal, and for a size of nothing.
    virtual void resize(TerminalSize size) = 0;
    // Until the session is over: the container has ended, or its client was done. What read() has
    // not given out yet can still be read. Fails as read() does.
    [[nodiscard]] virtual Task<Result<void>> wait() = 0;
};

class Runtime {
public:
    virtual ~Runtime() = default;
    // What the node has of this pod, oldest first; a snapshot of memory, never blocks. A start that
    // nobody has answered is in it as Phase::starting, also after the agent that asked was killed.
    [[nodiscard]] virtual std::vector<ContainerRecord> containers(const PodUid& pod) const = 0;
    // Every pod of which the node may have something, in this boot or from an earlier one: to find
    // orphans. A pod is in it from before its prepare_pod() makes anything until its remove_pod()
    // has removed the last; as volumes and network come after the one and go before the other, what
    // they hold on disk is covered, too. Pods of other agents on this machine are never in it.
    [[nodiscard]] virtual std::vector<PodUid> pods() const = 0;
    // Called on the reactor thread after containers(pod) changed, except that a start() which
    // begins is known to its caller. One observer.
    virtual void set_observer(std::function<void(const PodUid&)> observer) = 0;

    // Idempotent; other limits than before hold at once for what runs in the pod, too. Fails with
    // reason FailedCreatePodSandBox.
    [[nodiscard]] virtual Task<Result<void>> prepare_pod(const PodSandbox& sandbox) = 0;
    // PodSandbox::allocation as prepare_pod() or store_allocation() was given it last, by this
    // agent or one before it; nullopt for a pod that was not prepared in this boot.
    [[nodiscard]] virtual std::optional<std::string> allocation(const PodUid& pod) const = 0;
    // Before what was allocated is acted upon. Of no effect for a pod that is not prepared yet.
    virtual void store_allocation(const PodUid& pod, std::string allocation) = 0;
    // Gives a running container other limits, which hold when this returns: those of its cgroup,
    // and the cap on its guest's memory. Its record has `resources` from then on. Fails with
    // conflict when it is not running, unsupported when only a restart can change its guest's
    // memory, unavailable when the kernel refuses.
    [[nodiscard]] virtual Task<Result<void>> resize(const ContainerId& id, ContainerLimits limits,
                                                    kube::ResourceRequirements resources) = 0;
    // The artifact of a module for a handler, compiled if it is not cached. `compiling` is called
    // before a compile starts. One compile per key at a time: concurrent callers join. Fails with
    // reason CreateContainerError for a file that is no Wasm or imports what nobody offers,
    // RunContainerError for limits that were reached.
    [[nodiscard]] virtual Task<Result<Artifact>> compile(CompileRequest request,
                                                         std::function<void()> compiling) = 0;
    // Starts a container; it is in containers() as `started` when this returns. Creates its log
    // folder and link (contract row 34). Fails with reason CreateContainerError (before the guest)
    // or RunContainerError; with conflict while an earlier one of this name has not ended. After a
    // timeout or a cancellation it may go on as `starting`.
    [[nodiscard]] virtual Task<Result<ContainerId>> start(const ContainerSpec& spec) = 0;
    // Asks it to end, kills it when `grace` is over, resolves when its process is reaped. A second
    // call with a shorter grace shortens the first. One that is starting ends before its guest
    // begins, and leaves the list. An ended or unknown container is fine. Fails only with internal.
    [[nodiscard]] virtual Task<Result<void>> stop(const ContainerId& id, Duration grace) = 0;
    // Forgets an ended container; its log files go too. Fails with conflict while it runs.
    [[nodiscard]] virtual Task<Result<void>> remove(const ContainerId& id) = 0;
    // Removes the pod's records, logs, cgroups, user namespace. All its containers must have ended,
    // volumes and network be torn down; it need not have been prepared in this boot.
    [[nodiscard]] virtual Task<Result<void>> remove_pod(const PodUid& pod) = 0;
    // nullopt for an ended container or when the kernel does not tell.
    [[nodiscard]] virtual std::optional<ContainerUsage> usage(const ContainerId& id) const = 0;
    // Of each record in containers(pod), oldest first. Counted anew by each call, by a walk in a
    // pool: for loops of ten seconds and more. Fails with what the kernel says.
    [[nodiscard]] virtual Task<Result<std::vector<ContainerDiskUse>>> disk_use(
        const PodUid& pod) = 0;

    // What commands in a running container are looked up in: its layers, its environment's PATH,
    // its working folder. Fails with conflict when it is not running.
    [[nodiscard]] virtual Result<Image> image_of(const ContainerId& id) const = 0;
    // Runs a command as a second process in the container: with its files, network, ids, limits
    // and environment, in its cgroup, and with processes of its own. Returns when it runs; it ends
    // with the container at the latest, with its session, and with this agent. Fails with conflict
    // (the container is not running), unsupported (it takes no commands), exhausted (too many run),
    // or as compile() and start() do.
    [[nodiscard]] virtual Task<Result<std::unique_ptr<ExecSession>>> exec(ExecSpec spec) = 0;
    // Brings a client to a running container's console: it gets what is written from now on. A
    // guest waits for clients who do not read, and for nobody when there are none. Fails with
    // conflict (the container is not running), unsupported (it has no console), exhausted (too many
    // clients), unavailable (an agent and the keeper of the console died at the same time).
    [[nodiscard]] virtual Task<Result<std::unique_ptr<AttachSession>>> attach(AttachSpec spec) = 0;
};

// ---------------------------------------------------------------------------------------------------------------
// Status: implemented by status (API server) and by the command line.

class StatusSink {
public:
    virtual ~StatusSink() = default;
    // Hands over the pod's status as it should be known; the latest wins, the sink sends it in its
    // own time and writes it back if somebody else changed it (contract row 21).
    virtual void publish(std::shared_ptr<const kube::Pod> pod, kube::PodStatus status) = 0;
    // The pod is being deleted, its last published status is terminal and everything local is torn
    // down: deletes the API object once that status has arrived there (contract row 22).
    virtual void finish(std::shared_ptr<const kube::Pod> pod) = 0;
    // The API object is gone: forget it.
    virtual void forget(const PodUid& pod) = 0;
};

// ---------------------------------------------------------------------------------------------------------------
// Logs: consumed by server and the command line, implemented by app of pods::log_target() and
// logs::read().

// `kubectl logs` (contract row 35). Negative numbers are refused by whoever parses them.
struct LogOptions {
    bool follow = false;
    bool previous = false;                   // the run before the present one
    bool timestamps = false;                 // each line begins with its RFC 3339 time
    std::optional<WallTime> since;           // sinceTime, or now - sinceSeconds
    std::optional<std::int64_t> tail_lines;  // the last lines of what there is
    std::optional<std::int64_t> limit_bytes;
};

// Where log text goes. write() resolves when there is room for more; a failure ends the reading.
class LogSink {
public:
    virtual ~LogSink() = default;
    [[nodiscard]] virtual Task<Result<void>> write(std::string chunk) = 0;
};

class LogSource {
public:
    virtual ~LogSource() = default;
    // Sends the log of a container to `sink`. With `follow` it resolves when the container has
    // ended and all was sent. What fails before the first write has a message for the user:
    // not_found (pod or container: 404), invalid (the container is waiting to start, no previous
    // run: 400); the texts are those of contract §2.
    [[nodiscard]] virtual Task<Result<void>> read(PodName pod, std::string container,
                                                  LogOptions options, LogSink& sink) = 0;
};

}  // namespace skiff::pods
