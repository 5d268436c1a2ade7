// From a container's specification to what the keeper and the runner are told: the grant, the start
// message, and the descriptors that ride with it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "os/cgroup.h"
#include "os/fd.h"
#include "pods/ports.h"
#include "runtime/artifacts.h"
#include "runtime/console_files.h"
#include "runtime/record.h"
#include "state/paths.h"
#include "wire/grant.h"
#include "wire/message.h"

namespace skiff::runtime {

struct LogSettings {
    std::size_t files = 5;  // 1 to wire::kLogSlotsMax
    Bytes file_max = 10_MiB;
    Bytes per_second_max;  // who writes more waits; 0: nobody does
};

// Everything about a start that the specification does not say.
struct StartContext {
    const state::Paths& paths;
    LogSettings logs;
    const OpenArtifact& artifact;
    std::uint32_t first_id = 0;  // the pod's host ids
    os::CgroupPlace cgroup;
    std::uint64_t oom_kills_before = 0;
};

// What is sent. `fds` are in the order of the message; owned ones are closed with the plan.
struct StartPlan {
    wire::Start start;
    std::vector<int> fds;
    std::vector<os::Fd> owned;
    os::Fd console;  // the far end of the container's console, if it has one
    // For later commands in the container.
    StoredGrant grant;
};

// The keeper's word for how a container is told to end.
[[nodiscard]] wire::StopMode stop_mode_of(pods::ContainerSpec::StopMode mode);

// Pure: the grant for `spec`, with descriptors numbered from wire::kFirstFreeFd: log slots first,
// then stdin or the console. Fails with reason CreateContainerConfigError for what cannot be
// granted.
[[nodiscard]] Result<wire::Grant> grant_for(const pods::ContainerSpec& spec,
                                            const StoredContainer& stored,
                                            const StartContext& context);

// The parts of a grant that follow from the module alone, for containers and for commands in them.
// PWD from grant.cwd, for core modules without one of their own.
void add_working_dir(const wire::ModuleFacts& facts, wire::Grant& grant);
[[nodiscard]] wire::SyscallProfile syscalls_for(const pods::Artifact& artifact,
                                                wire::NetMode network);

// The page of a runner, new. For the pool's threads where it has logs. Fails with Code::exists for
// an id that has one.
[[nodiscard]] Result<os::Fd> make_runner_page(const state::Paths& paths, const std::string& id,
                                              std::span<const std::uint64_t> log_inodes,
                                              std::uint64_t log_bytes_max);

// What a container's start needs of the disk.
struct ContainerFiles {
    std::vector<os::Fd> logs;  // in the order of their slots
    os::Fd page;
    os::Fd core_dump;  // invalid: none is wanted
    ConsoleFiles console;
};
// Makes the logs and their link, the page, the termination message file and the writable layer.
// On failure what was made is removed by remove_container_files(). For the pool's threads.
[[nodiscard]] Result<ContainerFiles> make_container_files(const state::Paths& paths,
                                                          const StoredContainer& stored,
                                                          const LogSettings& settings);

// The message that starts a container, with everything that rides with it.
[[nodiscard]] Result<StartPlan> make_start_plan(const pods::ContainerSpec& spec,
                                                const StoredContainer& stored,
                                                const StartContext& context, ContainerFiles files);

// Removes all files of a container but its record. For the pool's threads. Missing ones are fine.
[[nodiscard]] Result<void> remove_container_files(const state::Paths& paths,
                                                  const StoredContainer& stored);

}  // namespace skiff::runtime
