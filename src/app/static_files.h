// The static pods of a folder, or of one file (staticPodPath, contract row 54).
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "app/static_document.h"
#include "os/file.h"

namespace skiff::app {

// Most files that are read from the folder; hidden ones are left out.
inline constexpr std::size_t kStaticFilesMax = 2000;

// A file that was written less than this before it was read may have been written again since
// without another stamp: the kernel's clock of files has steps, of 10 ms at most.
inline constexpr std::chrono::seconds kStampSettles{1};

// Reactor thread.
class StaticFiles {
public:
    // `ports` outlives it.
    StaticFiles(const StaticPorts& ports, std::filesystem::path path)
        : ports_(ports), path_(std::move(path)) {}

    // Looks at everything now: new and changed files are read and applied, pods of files that are
    // gone are removed. A file that cannot be read or parsed is one error in the log and leaves
    // what runs of it alone. Images may be paths.
    [[nodiscard]] async::Task<void> scan();
    // Whether the last scan saw the folder and every pod of every file is applied.
    [[nodiscard]] bool applied() const;

private:
    struct File {
        StaticDocument document;
        std::optional<os::FileStamp> read;  // what it was when its content was taken
    };
    [[nodiscard]] async::Task<void> read_file(std::filesystem::path path);
    // Whether another write would give a file another stamp.
    [[nodiscard]] bool settled(const os::FileStamp& stamp) const;

    const StaticPorts& ports_;
    std::filesystem::path path_;
    std::map<std::string, File> files_;
    bool listed_ = false;  // by the last scan
};

}  // namespace skiff::app
