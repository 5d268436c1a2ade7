// The static pods of a folder, or of one file (staticPodPath, contract row 54).
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "app/static_document.h"

namespace skiff::app {

// Most files that are read from the folder; hidden ones are left out.
inline constexpr std::size_t kStaticFilesMax = 2000;

// Reactor thread.
class StaticFiles {
public:
    // `ports` outlives it.
    StaticFiles(const StaticPorts& ports, std::filesystem::path path)
        : ports_(ports), path_(std::move(path)) {}

    // Reads everything now: new and changed files are applied, pods of files that are gone are
    // removed. A file that cannot be read or parsed is one error in the log and leaves what runs of
    // it alone. Images may be paths.
    [[nodiscard]] async::Task<void> scan();
    // Whether the last scan saw the folder and every pod of every file is applied.
    [[nodiscard]] bool applied() const;

private:
    [[nodiscard]] async::Task<void> read_file(std::filesystem::path file);

    const StaticPorts& ports_;
    std::filesystem::path path_;
    std::map<std::string, StaticDocument> files_;
    bool listed_ = false;  // by the last scan
};

}  // namespace skiff::app
