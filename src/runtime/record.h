// What the disk remembers of pods and containers. The run-dir, of a container: enough that an agent
// started anew after SIGKILL at any instruction adopts it, or learns how it ended. The root-dir:
// how those ended that may not run again, also after power loss.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "os/process.h"
#include "pods/ports.h"
#include "state/paths.h"
#include "wire/codec.h"
#include "wire/message.h"
#include "wire/runner_page.h"

namespace skiff::pods {
// For the codec: a new enumerator goes to the end.
constexpr ContainerKind last_of(ContainerKind) {
    return ContainerKind::ephemeral;
}
constexpr ExitKind last_of(ExitKind) {
    return ExitKind::lost;
}
constexpr Console::Kind last_of(Console::Kind) {
    return Console::Kind::terminal;
}
constexpr Console::Input last_of(Console::Input) {
    return Console::Input::once;
}
constexpr ContainerSpec::MessageFallback last_of(ContainerSpec::MessageFallback) {
    return ContainerSpec::MessageFallback::log;
}
}  // namespace skiff::pods

namespace skiff::runtime {

enum class Phase : std::uint8_t {
    starting,  // written before the keeper is asked: it may or may not exist
    running,
    ended,
};
constexpr Phase last_of(Phase) {
    return Phase::ended;
}

struct StoredExit {
    pods::ExitKind kind = pods::ExitKind::lost;
    std::int32_t code = 137;
    std::string reason;
    std::string message;
    std::int64_t finished_ns = 0;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.kind, s.code, s.reason, s.message, s.finished_ns);
    }
};

struct StoredIds {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.uid, s.gid, s.groups);
    }
};

struct StoredContainer {
    std::string id;
    std::string pod_uid;
    std::string pod_namespace;
    std::string pod_name;
    std::string name;
    pods::ContainerKind kind = pods::ContainerKind::regular;
    std::uint32_t attempt = 0;
    std::string spec_hash;
    std::string image;
    std::string image_id;
    std::int64_t created_ns = 0;
    std::int64_t started_ns = 0;
    Phase phase = Phase::starting;
    StoredExit exit;       // meaningful when ended
    std::int32_t pid = 0;  // with start_time and this boot: who it is
    std::uint64_t start_time = 0;
    std::string keeper;  // build of the keeper that was asked
    std::string cgroup;  // name in the cgroup tree
    std::string log_folder;
    std::string log_link;
    std::string layer;  // folder of the writable layer, empty if it has none
    wire::StopMode stop_mode = wire::StopMode::none;
    std::uint64_t memory_limit = 0;
    pods::ContainerSpec::MessageFallback message_fallback =
        pods::ContainerSpec::MessageFallback::none;
    std::optional<StoredIds> ids;
    bool keep_end = false;    // its end goes to the root-dir, too
    bool core_dump = false;   // a file for one was made
    std::string artifact;     // key of its code; empty in records of an older agent
    std::uint32_t round = 0;  // pods::ContainerSpec::round
    // What it runs with, as JSON of ResourceRequirements; empty in records of an older agent.
    std::string resources;
    pods::Console console;
    bool input_used = false;  // an input that is `once` has had its client
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.id, s.pod_uid, s.pod_namespace, s.pod_name, s.name, s.kind, s.attempt, s.spec_hash,
          s.image, s.image_id, s.created_ns, s.started_ns, s.phase, s.exit, s.pid, s.start_time,
          s.keeper, s.cgroup, s.log_folder, s.log_link, s.layer, s.stop_mode, s.memory_limit,
          s.message_fallback, s.ids, s.keep_end, s.core_dump, s.artifact, s.round, s.resources,
          s.console.kind, s.console.input, s.input_used);
    }

    [[nodiscard]] PodName full_pod_name() const { return PodName{pod_namespace, pod_name}; }
    [[nodiscard]] os::ProcessIdentity identity() const;
    [[nodiscard]] pods::ContainerRecord to_record() const;
};

// A pod's share of the node.
struct StoredPod {
    std::string uid;
    std::string pod_namespace;
    std::string name;
    std::uint32_t first_id = 0;  // of its 65,536 host ids
    std::string allocation;      // pods::PodSandbox::allocation; empty in records of an older agent
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.uid, s.pod_namespace, s.name, s.first_id, s.allocation);
    }
};

// What a later command in a container is given, in the run-dir for as long as the container runs:
// its environment, which may hold Secrets, is in no other file.
struct StoredGrant {
    std::string runtime_handler;
    std::string grant;  // encode_grant(): the bytes that its runner got
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.runtime_handler, s.grant);
    }
};
constexpr std::string_view kGrantKind = "grant";

constexpr std::string_view kContainerKind = "container";
constexpr std::string_view kEndedKind = "ended";
constexpr std::string_view kPodKind = "pod";

[[nodiscard]] Result<void> store_container(const state::Paths& paths,
                                           const StoredContainer& stored);
// Of one that has ended, to the root-dir. Waits for the disk.
[[nodiscard]] Result<void> store_ended(const state::Paths& paths, const StoredContainer& stored);
[[nodiscard]] Result<void> store_pod(const state::Paths& paths, const StoredPod& stored);
// All readable records, oldest first; corrupt ones are quarantined.
[[nodiscard]] std::vector<StoredContainer> load_containers(const state::Paths& paths);
[[nodiscard]] std::vector<StoredContainer> load_ended(const state::Paths& paths);
[[nodiscard]] std::vector<StoredPod> load_pods(const state::Paths& paths);

// What the runner of a container says of itself. Blocks for memory only.
[[nodiscard]] Result<wire::PageView> read_page(const state::Paths& paths, const std::string& id);

// The words of Kubernetes for what a keeper (or a runner's page) said. `file_message` is the
// content of the termination message file; where it is empty, the runtime's own message takes its
// place.
[[nodiscard]] StoredExit exit_of(const wire::Exited& exited, std::string_view file_message);

}  // namespace skiff::runtime
