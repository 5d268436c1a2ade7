#include "state/instance.h"

#include "base/log.h"
#include "base/text.h"
#include "os/file.h"
#include "os/machine.h"
#include "os/mount.h"
#include "state/checkpoint.h"
#include "state/pod_mark.h"

namespace skiff::state {

namespace {

constexpr std::string_view kKind = "instance";
constexpr unsigned kPrivate = 0700;
// A command that reads the folders (`skiff image ls`) holds them for a moment.
constexpr Duration kPatience = std::chrono::seconds(1);

Result<std::string> load_or_draw_id(const Paths& paths, Random& random) {
    auto stored = load_checkpoint(paths.instance(), kKind);
    if (stored && stored->size() == 8) {
        return std::move(*stored);
    }
    if (!stored && stored.error().code != Code::not_found) {
        if (stored.error().code != Code::corrupt) {
            return fail(std::move(stored.error()));
        }
        quarantine(paths.instance(), paths.quarantine(), stored.error().message);
    }
    std::string id = random.hex(4);
    SKIFF_CHECK(store_checkpoint(paths.instance(), kKind, id, os::Durability::power));
    return id;
}

// Everything but the lock that is held: the processes that it describes died with their boot.
Result<void> wipe_run_dir(const Paths& paths) {
    SKIFF_CHECK(os::unmount_below(paths.netns()));
    SKIFF_TRY(auto names, os::list_folder(paths.run_dir));
    for (const auto& name : names) {
        auto path = paths.run_dir / name;
        if (path != paths.run_lock()) {
            SKIFF_CHECK(os::remove_tree(path));
        }
    }
    return {};
}

Result<void> enter_boot(const Paths& paths) {
    auto stored = os::read_file(paths.boot(), 4_KiB);
    if (stored && trim(*stored) == os::boot_id()) {
        return {};
    }
    if (stored) {
        log::info("machine was rebooted, records of running things wiped");
    }
    SKIFF_CHECK(wipe_run_dir(paths));
    return os::write_file_atomic(paths.boot(), os::boot_id() + "\n", 0600, os::Durability::process);
}

Result<void> make_tree(const Paths& paths) {
    // Drivers and collectors look into these with other rights than ours.
    for (const auto& folder : {paths.plugins(), paths.plugins_registry(), paths.device_plugins(),
                               paths.pod_resources(), paths.pod_log_dir, paths.container_log_dir}) {
        SKIFF_CHECK(os::make_folders(folder, 0755));
    }
    for (const auto& folder :
         {paths.pki(), paths.pods(), paths.images(), paths.ended(), paths.layers(),
          paths.compiled(), paths.quarantine(), paths.keepers(), paths.container_records(),
          paths.grants(), paths.pod_records(), paths.termination(), paths.checked_artifacts(),
          paths.netns()}) {
        SKIFF_CHECK(os::make_folders(folder, kPrivate));
        os::remove_stale_temporaries(folder);
    }
    remove_empty_pods(paths);
    os::remove_stale_temporaries(paths.root_dir);
    os::remove_stale_temporaries(paths.run_dir);
    return {};
}

}  // namespace

// The paths that the kernel knows mounts by: an operator may have put links on the way to any of
// the folders.
static Paths resolve_links(Paths paths) {
    for (fs::path* folder :
         {&paths.root_dir, &paths.run_dir, &paths.pod_log_dir, &paths.container_log_dir}) {
        std::error_code error;
        auto real = fs::weakly_canonical(*folder, error);
        if (!error) {
            *folder = std::move(real);
        }
    }
    return paths;
}

Result<std::unique_ptr<Instance>> Instance::open(const Paths& wanted, Random& random) {
    SKIFF_CHECK(os::make_folders(wanted.root_dir, kPrivate));
    SKIFF_CHECK(os::make_folders(wanted.run_dir, kPrivate));
    Paths paths = resolve_links(wanted);
    SKIFF_TRY(auto root_lock, os::FileLock::take(paths.root_lock(), kPatience));
    SKIFF_TRY(auto run_lock, os::FileLock::take(paths.run_lock(), kPatience));
    SKIFF_CHECK(enter_boot(paths));
    SKIFF_CHECK(make_tree(paths));
    SKIFF_TRY(std::string id, load_or_draw_id(paths, random));
    return std::unique_ptr<Instance>(
        new Instance(std::move(paths), std::move(root_lock), std::move(run_lock), std::move(id)));
}

}  // namespace skiff::state
