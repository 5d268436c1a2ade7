#include "state/id_ranges.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "os/file.h"

namespace skiff::state {

namespace {

// Serialises claims of all instances; held for microseconds.
Result<os::Fd> lock_registry(const std::filesystem::path& registry) {
    SKIFF_CHECK(os::make_folders(registry, 0700));
    SKIFF_TRY(os::Fd fd, os::open(registry / "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
    while (::flock(fd.get(), LOCK_EX) != 0) {
        if (errno != EINTR) {
            return fail_errno(errno, "lock the registry of ids");
        }
    }
    return fd;
}

bool is_locked(const std::filesystem::path& path) {
    auto fd = os::open(path, O_RDONLY | O_NOFOLLOW);
    return fd && ::flock(fd->get(), LOCK_EX | LOCK_NB) != 0;
}

bool is_stale(const std::filesystem::path& owner_run_dir) {
    auto pods = os::list_folder(owner_run_dir / "pods");
    bool has_pods = pods ? !pods->empty() : pods.error().code != Code::not_found;
    return !has_pods && !is_locked(owner_run_dir / "lock");
}

}  // namespace

IdRanges::IdRanges(IdRangeSettings settings, std::filesystem::path run_dir)
    : settings_(std::move(settings)), run_dir_(std::move(run_dir)) {
    bool may_not_write = ::geteuid() != 0 && settings_.registry == IdRangeSettings{}.registry;
    if (may_not_write) {
        settings_.registry = run_dir_.parent_path() / "skiff-ids";
    }
    load_slots();
}

std::filesystem::path IdRanges::slot_file(std::uint32_t slot) const {
    return settings_.registry / fmt::format("slot-{}-{}", settings_.first, slot);
}

std::uint32_t IdRanges::slot_count() const {
    return settings_.blocks / settings_.blocks_per_slot;
}

void IdRanges::load_slots() {
    for (std::uint32_t slot = 0; slot < slot_count(); ++slot) {
        auto owner = os::read_file(slot_file(slot), 8_KiB);
        if (owner && trim(*owner) == run_dir_.string()) {
            slots_.push_back(slot);
        }
    }
}

Result<void> IdRanges::claim_slot() {
    SKIFF_TRY(os::Fd lock, lock_registry(settings_.registry));
    for (std::uint32_t slot = 0; slot < slot_count(); ++slot) {
        if (std::find(slots_.begin(), slots_.end(), slot) != slots_.end()) {
            continue;
        }
        auto owner = os::read_file(slot_file(slot), 8_KiB);
        if (owner && !is_stale(std::string(trim(*owner)))) {
            continue;
        }
        SKIFF_CHECK(os::write_file_atomic(slot_file(slot), run_dir_.string() + "\n", 0600,
                                          os::Durability::process));
        slots_.push_back(slot);
        return {};
    }
    return fail(Code::exhausted, "all {} ranges of user ids of this machine are taken",
                settings_.blocks);
}

Result<std::uint32_t> IdRanges::allocate() {
    while (true) {
        for (std::uint32_t slot : slots_) {
            for (std::uint32_t i = 0; i < settings_.blocks_per_slot; ++i) {
                std::uint32_t block = slot * settings_.blocks_per_slot + i;
                std::uint32_t first_id = settings_.first + block * kIdsPerPod;
                if (used_.insert(first_id).second) {
                    return first_id;
                }
            }
        }
        SKIFF_CHECK(claim_slot());
    }
}

bool IdRanges::adopt(std::uint32_t first_id) {
    std::uint32_t offset = first_id - settings_.first;
    std::uint32_t slot = offset / kIdsPerPod / settings_.blocks_per_slot;
    bool ours =
        offset % kIdsPerPod == 0 && std::find(slots_.begin(), slots_.end(), slot) != slots_.end();
    if (ours) {
        used_.insert(first_id);
    }
    return ours;
}

void IdRanges::release(std::uint32_t first_id) {
    used_.erase(first_id);
}

void IdRanges::release_slots() {
    for (std::uint32_t slot : slots_) {
        (void)os::remove_file(slot_file(slot));
    }
    slots_.clear();
    used_.clear();
    // The registry itself goes with the last instance.
    (void)os::remove_file(settings_.registry / "lock");
    ::rmdir(settings_.registry.c_str());
}

}  // namespace skiff::state
