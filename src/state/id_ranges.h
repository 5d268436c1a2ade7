// Host ids for the user namespaces of pods: each pod has 65,536 of its own.
//
// The ids of the machine that are set aside (by default 0x70000000 to 0x7fffffff, which systemd,
// useradd and container engines leave alone) are cut into blocks of 65,536. Instances on one
// machine share them by a registry folder: they claim runs of blocks ("slots") there when they need
// one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"

namespace skiff::state {

constexpr std::uint32_t kIdsPerPod = 65536;

struct IdRangeSettings {
    std::uint32_t first = 0x70000000;  // a multiple of 65,536
    std::uint32_t blocks = 4096;       // of 65,536 ids
    std::uint32_t blocks_per_slot = 128;
    // Machine-wide, dies with the boot: instances with different run-dirs meet here. An ordinary
    // user may not write there, and has no ids to share: his instances meet beside their run-dirs.
    std::filesystem::path registry = "/run/skiff-ids";
};

class IdRanges {
public:
    // `run_dir` names the instance: a claim is stale, and free for others, once the run-dir of its
    // owner has no pod record left (`pods/`) and nobody holds its lock.
    IdRanges(IdRangeSettings settings, std::filesystem::path run_dir);

    // The first host id of a block that no pod has. Claims another slot when needed. Fails with
    // exhausted when all ids of the machine are taken.
    [[nodiscard]] Result<std::uint32_t> allocate();
    // Marks a block as taken: a pod that was found at start. False if it is not ours to give.
    bool adopt(std::uint32_t first_id);
    void release(std::uint32_t first_id);
    // Gives all slots back: nothing of the instance is left.
    void release_slots();
    [[nodiscard]] std::size_t in_use() const { return used_.size(); }

private:
    [[nodiscard]] Result<void> claim_slot();
    void load_slots();
    [[nodiscard]] std::filesystem::path slot_file(std::uint32_t slot) const;
    [[nodiscard]] std::uint32_t slot_count() const;

    IdRangeSettings settings_;
    std::filesystem::path run_dir_;
    std::vector<std::uint32_t> slots_;
    std::set<std::uint32_t> used_;
};

}  // namespace skiff::state
