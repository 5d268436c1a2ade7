#include "app/static_files.h"

#include <algorithm>

#include "base/log.h"
#include "kube/codec.h"
#include "os/file.h"

namespace skiff::app {

async::Task<void> StaticFiles::read_file(std::filesystem::path file) {
    std::string name = file.string();
    ManifestSource source{ManifestSource::Kind::file, name};
    StaticDocument& document =
        files_.try_emplace(name, ports_, std::move(source), file.parent_path()).first->second;
    auto content = os::read_file(file, Bytes{kube::kManifestBytesMax});
    Result<void> taken;
    if (content) {
        taken = co_await document.take(std::move(*content));
    } else {
        taken = fail(std::move(content.error()));
    }
    if (!taken) {
        log::error("static pod file", log::kv("file", name),
                   log::kv("error", format_as(taken.error())));
    }
}

bool StaticFiles::applied() const {
    return listed_ &&
           std::ranges::all_of(files_, [](const auto& entry) { return entry.second.applied(); });
}

async::Task<void> StaticFiles::scan() {
    std::vector<std::filesystem::path> present;
    std::error_code error;
    auto kind = std::filesystem::status(path_, error).type();
    if (kind == std::filesystem::file_type::none) {
        // Not being allowed to look is not an empty folder: what runs of it stays.
        log::error("static pod folder", log::kv("path", path_.string()),
                   log::kv("error", error.message()));
        listed_ = false;
        co_return;
    }
    if (kind == std::filesystem::file_type::directory) {
        auto names = os::list_folder(path_, kStaticFilesMax);
        if (!names) {
            log::error("static pod folder", log::kv("path", path_.string()),
                       log::kv("error", format_as(names.error())));
            listed_ = false;
            co_return;
        }
        for (const std::string& name : *names) {
            if (!name.starts_with('.')) {
                present.push_back(path_ / name);
            }
        }
    } else if (kind != std::filesystem::file_type::not_found) {
        present.push_back(path_);
    }
    for (const auto& file : present) {
        co_await read_file(file);
    }
    for (auto at = files_.begin(); at != files_.end();) {
        if (std::ranges::find(present, std::filesystem::path(at->first)) == present.end()) {
            at->second.end();
            at = files_.erase(at);
        } else {
            ++at;
        }
    }
    listed_ = true;
}

}  // namespace skiff::app
