#include "runtime/reset.h"

#include <signal.h>

#include "base/log.h"
#include "os/file.h"
#include "os/mount.h"
#include "os/process.h"
#include "runtime/keepers.h"
#include "runtime/log_files.h"
#include "runtime/record.h"
#include "runtime/runtime.h"
#include "state/id_ranges.h"
#include "state/pod_mark.h"

namespace skiff::runtime {

namespace {

using async::Task;

constexpr auto kKeepersMax = std::chrono::seconds(10);
constexpr int kKillMs = 5000;

class Deaf final : public KeeperEvents {
public:
    void on_keeper_message(const std::string&, const wire::Message&) override {}
    void on_keeper_gone(const std::string&) override {}
    void on_console_lent(const std::string&, os::Fd) override {}
};

// Keeps the first failure and lets the rest go on.
class FirstError {
public:
    void note(Result<void> result) {
        if (!result && !error_) {
            log::error("reset step failed", log::kv("error", format_as(result.error())));
            error_ = std::move(result.error());
        }
    }
    [[nodiscard]] Result<void> result() const {
        if (error_) {
            return fail(*error_);
        }
        return {};
    }

private:
    std::optional<Error> error_;
};

// Runners of dead keepers, in case that no cgroup reaches them.
Result<void> kill_recorded(const state::Paths& paths) {
    for (const auto& stored : load_containers(paths)) {
        if (stored.pid == 0) {
            continue;
        }
        auto pidfd = os::open_process(stored.identity());
        if (!pidfd) {
            continue;
        }
        SKIFF_CHECK(os::send_signal(pidfd->get(), SIGKILL));
        if (!os::wait_ended(pidfd->get(), kKillMs)) {
            return fail(Code::internal, "process {} does not end", stored.pid);
        }
    }
    return {};
}

Result<void> remove_links(const state::Paths& paths) {
    for (const auto& all : {load_containers(paths), load_ended(paths)}) {
        for (const auto& stored : all) {
            if (!stored.log_link.empty()) {
                SKIFF_CHECK(os::remove_file(stored.log_link));
            }
        }
    }
    return {};
}

Result<void> remove_logs(const state::Paths& paths) {
    for (const auto& uid : state::marked_pods(paths)) {
        SKIFF_CHECK(remove_pod_logs(paths, uid));
    }
    return {};
}

// Everything but the lock that the caller holds.
Result<void> empty_folder(const std::filesystem::path& folder, const std::filesystem::path& lock) {
    SKIFF_TRY(auto names, os::list_folder(folder));
    for (const auto& name : names) {
        if (folder / name != lock) {
            SKIFF_CHECK(os::remove_tree(folder / name));
        }
    }
    return {};
}

}  // namespace

Task<Result<void>> reset(const state::Instance& instance, async::Executor executor,
                         ResetSettings settings) {
    const state::Paths& paths = instance.paths();
    FirstError first;
    auto cgroups = open_cgroups(instance, settings.cgroup_root);
    Deaf deaf;
    {
        Keepers keepers(KeeperSettings{}, paths, *cgroups, executor, deaf);
        auto ended =
            co_await keepers.connect_running(std::chrono::steady_clock::now() + kKeepersMax);
        first.note(std::move(ended));
        auto shut = co_await keepers.shut_down_all();
        first.note(std::move(shut));
        co_await keepers.stop();
    }
    first.note(kill_recorded(paths));
    first.note(cgroups->remove(""));
    bool all = settings.scope == ResetSettings::Scope::all;
    if (all) {
        first.note(remove_logs(paths));
    }
    first.note(remove_links(paths));
    first.note(os::unmount_below(paths.run_dir));
    first.note(os::unmount_below(paths.root_dir));
    first.note(empty_folder(paths.run_dir, paths.run_lock()));
    if (all) {
        first.note(empty_folder(paths.root_dir, paths.root_lock()));
    } else {
        first.note(os::remove_tree(paths.pods()));
    }
    state::IdRanges(settings.ids, paths.run_dir).release_slots();
    co_return first.result();
}

}  // namespace skiff::runtime
