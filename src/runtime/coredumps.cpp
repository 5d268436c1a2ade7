#include "runtime/coredumps.h"

#include <fcntl.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "base/log.h"
#include "os/file.h"

namespace skiff::runtime {

namespace fs = std::filesystem;

namespace {

void remove_oldest(const fs::path& folder) {
    struct Dump {
        fs::file_time_type written;
        fs::path path;
        std::uint64_t bytes = 0;
    };
    std::vector<Dump> dumps;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
        // Empty ones belong to containers that run.
        if (entry.is_regular_file(error) && entry.file_size(error) > 0) {
            dumps.push_back({entry.last_write_time(error), entry.path(), entry.file_size(error)});
        }
    }
    std::ranges::sort(dumps, std::greater<>(), &Dump::written);
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < dumps.size(); ++i) {
        bytes += dumps[i].bytes;
        if (i >= kCoreDumpsMax || bytes > kCoreDumpsTotalMax.value) {
            (void)os::remove_file(dumps[i].path);
        }
    }
}

}  // namespace

fs::path core_dump_file(const state::Paths& paths, const StoredContainer& stored) {
    return paths.core_dumps() / fmt::format("{}_{}_{}_{}_{}.core", stored.pod_namespace,
                                            stored.pod_name, stored.name, stored.attempt,
                                            stored.id.substr(0, 12));
}

Result<os::Fd> make_core_dump_file(const state::Paths& paths, const StoredContainer& stored) {
    SKIFF_CHECK(os::make_folders(paths.core_dumps(), 0700));
    return os::open(core_dump_file(paths, stored), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
}

void settle_core_dump(const state::Paths& paths, const StoredContainer& stored) {
    const fs::path file = core_dump_file(paths, stored);
    std::error_code error;
    const auto size = fs::file_size(file, error);
    if (error) {
        return;
    }
    if (size == 0) {
        (void)os::remove_file(file);
        return;
    }
    log::info("core dump kept", log::kv("file", file.string()), log::kv("bytes", size));
    remove_oldest(paths.core_dumps());
}

}  // namespace skiff::runtime
