// KeeperRuntime: other limits for a container that runs.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

#include "base/log.h"
#include "kube/codec.h"
#include "os/file.h"
#include "runtime/exec.h"
#include "runtime/runtime.h"
#include "wire/paths.h"
#include "wire/runner_page.h"

namespace skiff::runtime {

namespace {

using async::Task;

// A runner alone needs about 1 MiB; the kernel's own tables come on top.
constexpr Bytes kMemoryMin = 4_MiB;

// Commands that are run later in the container have its cap, too.
void limit_commands(const state::Paths& paths, const ContainerId& id, std::optional<Bytes> memory) {
    auto stored = load_grant(paths, id);
    auto grant = stored ? wire::decode_grant(stored->grant, wire::kMessageFdsMax)
                        : Result<wire::Grant>(fail(stored.error()));
    if (!grant) {
        return;  // it takes no commands
    }
    grant->limits.memory_bytes = memory.value_or(Bytes()).value;
    auto bytes = wire::encode_grant(*grant);
    if (!bytes) {
        log::error("limit of commands not stored", log::kv("id", id),
                   log::kv("error", format_as(bytes.error())));
        return;
    }
    stored->grant = std::move(*bytes);
    store_grant(paths, id, *stored);
}

}  // namespace

os::CgroupLimits KeeperRuntime::cgroup_limits(const pods::ContainerLimits& limits) const {
    os::CgroupLimits its;
    if (limits.memory) {
        its.memory = std::max(*limits.memory, kMemoryMin);
    }
    its.cpu_limit_millis = limits.cpu_limit_millis;
    its.cpu_request_millis = limits.cpu_request_millis;
    its.pids = settings_.pids_max;
    return its;
}

// Into the page of its runner, which the engine reads at every growth.
Result<void> KeeperRuntime::limit_guest(const StoredContainer& stored,
                                        std::optional<Bytes> memory) const {
    SKIFF_TRY(wire::PageView page, read_page(paths_, stored.id));
    if ((page.features & wire::kPageObeysMemory) == 0) {
        return fail(Code::unsupported,
                    "its engine was started by an older Skiff and takes a new memory limit only "
                    "when the container restarts");
    }
    std::uint64_t now = memory ? memory->value : std::numeric_limits<std::uint64_t>::max();
    auto path = wire::runner_page_file(paths_.run_dir.string(), stored.id);
    SKIFF_TRY(os::Fd file, os::open(path, O_WRONLY | O_NOFOLLOW));
    if (::pwrite(file.get(), &now, sizeof now, wire::kMemoryNowOffset) != sizeof now) {
        return fail(Code::internal, "page of its runner not written");
    }
    return {};
}

Task<Result<void>> KeeperRuntime::resize(const ContainerId& id, pods::ContainerLimits limits,
                                         kube::ResourceRequirements resources) {
    ContainerId its = id;
    SKIFF_CO_TRY(Held container, running(its));
    StoredContainer& stored = container->stored;
    Bytes before{stored.memory_limit};
    Bytes after = limits.memory.value_or(Bytes());
    // The guest first: where only a restart helps nothing has changed.
    if (before != after) {
        SKIFF_CO_CHECK(limit_guest(stored, limits.memory));
    }
    auto resized = cgroups_->resize(stored.cgroup, cgroup_limits(limits));
    if (!resized) {
        if (before != after) {
            bool had = before.value > 0;
            (void)limit_guest(stored, had ? std::optional(before) : std::nullopt);
        }
        co_return fail(Code::unavailable, "cgroup: {}", resized.error().message);
    }
    if (before != after) {
        limit_commands(paths_, its, limits.memory);
    }
    stored.memory_limit = after.value;
    stored.resources = kube::to_json(resources);
    container->resources = std::move(resources);
    write_record(stored);
    changed(stored);
    co_return Result<void>{};
}

}  // namespace skiff::runtime
