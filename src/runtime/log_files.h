// The log files of a container: made before it starts, named while it runs, removed with it. The
// runner fills them by itself (src/wire/runner_page.h says how); read_log_tail() alone reads what
// is in them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "os/fd.h"
#include "state/paths.h"
#include "wire/runner_page.h"

namespace skiff::runtime {

struct LogFiles {
    std::vector<os::Fd> fds;  // O_WRONLY | O_APPEND, one for each slot, slot 0 is `<n>.log`
    std::vector<std::uint64_t> inodes;
};

// Makes `count` empty files for attempt `n` in `folder` (made 0755 with its parents). Files that an
// earlier life left under the same names are removed first.
[[nodiscard]] Result<LogFiles> make_log_files(const std::filesystem::path& folder, std::uint32_t n,
                                              std::size_t count);

// Gives the files the names that the page asks for: the current slot is `<n>.log`, older ones
// `<n>.log.<time of closing>`. Idempotent; the current log is never missing under its name for a
// reader. Files that are gone (a person removed them) are left out.
[[nodiscard]] Result<void> name_log_files(const std::filesystem::path& folder, std::uint32_t n,
                                          const wire::PageView& page);

// What attempt `n` printed last, of both streams and without the stamps: at most 80 lines, of these
// at most the last 2048 bytes, as valid UTF-8 (kubelet-contract row 42). Empty when there is
// nothing or it cannot be read. Reads a bounded end of the files, whatever a guest filled them
// with.
[[nodiscard]] std::string read_log_tail(const std::filesystem::path& folder, std::uint32_t n,
                                        const wire::PageView& page);

// Removes all files of attempt `n`, and the folder when that was the last one.
[[nodiscard]] Result<void> remove_log_files(const std::filesystem::path& folder, std::uint32_t n);

// Removes the log folder of a pod of which only the uid need be known, with the links into it: also
// those of containers that an earlier boot had. Nothing there is fine.
[[nodiscard]] Result<void> remove_pod_logs(const state::Paths& paths, const PodUid& uid);

}  // namespace skiff::runtime
