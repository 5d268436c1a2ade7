// Core dumps of guests that trapped (`skiff/coredump`), in the root-dir's `coredumps`. The runner
// writes one into a file that was opened for it at its start.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "os/fd.h"
#include "runtime/record.h"
#include "state/paths.h"

namespace skiff::runtime {

// How many are kept, and how much together; the oldest go first.
constexpr std::size_t kCoreDumpsMax = 32;
constexpr Bytes kCoreDumpMax = 256_MiB;  // of one; a larger one is not written
constexpr Bytes kCoreDumpsTotalMax = 1_GiB;
static_assert(kCoreDumpMax <= kCoreDumpsTotalMax);

// `<namespace>_<pod>_<container>_<attempt>_<id>.core`; blocks for the disk.
[[nodiscard]] std::filesystem::path core_dump_file(const state::Paths& paths,
                                                   const StoredContainer& stored);
[[nodiscard]] Result<os::Fd> make_core_dump_file(const state::Paths& paths,
                                                 const StoredContainer& stored);
// Of a container that ended: an empty file goes, and so do those that are too many. For the pool's
// threads; a missing file is fine.
void settle_core_dump(const state::Paths& paths, const StoredContainer& stored);

}  // namespace skiff::runtime
