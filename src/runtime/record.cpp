#include "runtime/record.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "os/file.h"
#include "os/machine.h"
#include "state/checkpoint.h"
#include "wire/paths.h"

namespace skiff::runtime {

namespace {

constexpr std::size_t kMessageBytesMax = 4096;  // kubelet-contract row 42

WallTime wall(std::int64_t ns) {
    return WallTime(std::chrono::nanoseconds(ns));
}

template <typename T>
std::vector<T> load_all(const state::Paths& paths, const std::filesystem::path& folder,
                        std::string_view kind) {
    std::vector<T> all;
    auto names = os::list_folder(folder);
    if (!names) {
        return all;
    }
    for (const auto& name : *names) {
        auto bytes = state::load_checkpoint(folder / name, kind);
        auto stored = bytes ? wire::decode<T>(*bytes) : Result<T>(fail(bytes.error()));
        if (stored) {
            all.push_back(std::move(*stored));
        } else if (stored.error().code == Code::corrupt) {
            state::quarantine(folder / name, paths.quarantine(), stored.error().message);
        } else {
            log::error("record not readable", log::kv("path", (folder / name).string()),
                       log::kv("error", format_as(stored.error())));
        }
    }
    return all;
}

struct Words {
    pods::ExitKind kind;
    std::string_view reason;
};

Words words_of(const wire::Exited& exited) {
    switch (exited.kind) {
        case wire::ExitKind::exited:
            return {pods::ExitKind::exited, exited.exit_code == 0 ? "Completed" : "Error"};
        case wire::ExitKind::trapped:
            return {pods::ExitKind::trapped, "Error"};
        case wire::ExitKind::out_of_memory:
            return {pods::ExitKind::out_of_memory, "OOMKilled"};
        case wire::ExitKind::host_panic:
            return {pods::ExitKind::trapped, "HostPanic"};
        case wire::ExitKind::start_failed:
            return {pods::ExitKind::start_failed, "StartError"};
        case wire::ExitKind::stopped:
            return {pods::ExitKind::stopped, "Error"};
        case wire::ExitKind::killed:
        case wire::ExitKind::signalled:
        case wire::ExitKind::violated:
            return {pods::ExitKind::killed, "Error"};
    }
    return {pods::ExitKind::lost, "ContainerStatusUnknown"};
}

}  // namespace

os::ProcessIdentity StoredContainer::identity() const {
    return os::ProcessIdentity{os::boot_id(), pid, start_time};
}

pods::ContainerRecord StoredContainer::to_record() const {
    pods::ContainerRecord record;
    record.id = ContainerId(id);
    record.pod = PodUid(pod_uid);
    record.pod_name = full_pod_name();
    record.name = name;
    record.kind = kind;
    record.attempt = attempt;
    record.round = round;
    record.spec_hash = spec_hash;
    record.image = image;
    record.image_id = image_id;
    if (ids) {
        record.ids = pods::ContainerIds{ids->uid, ids->gid, ids->groups};
    }
    record.phase = phase == Phase::starting ? pods::ContainerRecord::Phase::starting
                                            : pods::ContainerRecord::Phase::started;
    record.created = wall(created_ns);
    record.started = wall(started_ns);
    record.console = console;
    record.log_path = std::filesystem::path(log_folder) / pods::log_file_name(attempt);
    if (phase == Phase::ended) {
        pods::ContainerExit ended;
        ended.kind = exit.kind;
        ended.exit_code = exit.code;
        ended.reason = exit.reason;
        ended.message = exit.message;
        ended.finished = wall(exit.finished_ns);
        record.exit = std::move(ended);
    } else {
        record.pid = pid;
    }
    return record;
}

Result<void> store_container(const state::Paths& paths, const StoredContainer& stored) {
    return state::store_checkpoint(paths.container_record(ContainerId(stored.id)), kContainerKind,
                                   wire::encode(stored), os::Durability::process);
}

Result<void> store_ended(const state::Paths& paths, const StoredContainer& stored) {
    return state::store_checkpoint(paths.ended_record(ContainerId(stored.id)), kEndedKind,
                                   wire::encode(stored), os::Durability::power);
}

Result<void> store_pod(const state::Paths& paths, const StoredPod& stored) {
    return state::store_checkpoint(paths.pod_record(PodUid(stored.uid)), kPodKind,
                                   wire::encode(stored), os::Durability::process);
}

std::vector<StoredContainer> load_containers(const state::Paths& paths) {
    auto all = load_all<StoredContainer>(paths, paths.container_records(), kContainerKind);
    std::ranges::sort(all, {}, &StoredContainer::created_ns);
    return all;
}

std::vector<StoredContainer> load_ended(const state::Paths& paths) {
    auto all = load_all<StoredContainer>(paths, paths.ended(), kEndedKind);
    std::erase_if(all, [](const StoredContainer& one) { return one.phase != Phase::ended; });
    std::ranges::sort(all, {}, &StoredContainer::created_ns);
    return all;
}

std::vector<StoredPod> load_pods(const state::Paths& paths) {
    return load_all<StoredPod>(paths, paths.pod_records(), kPodKind);
}

Result<wire::PageView> read_page(const state::Paths& paths, const std::string& id) {
    constexpr int kTriesMax = 100;  // the runner may be in the midst of a change
    auto path = wire::runner_page_file(paths.run_dir.string(), id);
    for (int i = 0;; ++i) {
        SKIFF_TRY(std::string bytes, os::read_file(path, Bytes{wire::kRunnerPageBytes}));
        SKIFF_TRY(wire::PageView page, wire::parse_page(bytes));
        if (page.settled || i == kTriesMax) {
            return page;
        }
    }
}

StoredExit exit_of(const wire::Exited& exited, std::string_view file_message) {
    auto words = words_of(exited);
    StoredExit stored;
    stored.kind = words.kind;
    stored.code = exited.exit_code;
    stored.reason = std::string(words.reason);
    stored.message = bounded_utf8(
        file_message.empty() ? std::string_view(exited.message) : file_message, kMessageBytesMax);
    stored.finished_ns = exited.finished_ns;
    return stored;
}

}  // namespace skiff::runtime
