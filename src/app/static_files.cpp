#include "app/static_files.h"

#include <algorithm>
#include <set>

#include "base/log.h"
#include "kube/codec.h"
#include "os/file.h"

namespace skiff::app {

bool StaticFiles::settled(const os::FileStamp& stamp) const {
    std::chrono::nanoseconds written(std::max(stamp.changed_ns, stamp.modified_ns));
    return ports_.clock.wall_now().time_since_epoch() > written + kStampSettles;
}

async::Task<void> StaticFiles::read_file(std::filesystem::path path) {
    std::string name = path.string();
    ManifestSource source{ManifestSource::Kind::file, name};
    File& file = files_.try_emplace(name, File{{ports_, std::move(source), path.parent_path()}, {}})
                     .first->second;
    auto stamp = os::stamp_of(path);
    if (stamp && file.read == *stamp && file.document.applied()) {
        co_return;
    }
    file.read.reset();
    auto content = os::read_file(path, Bytes{kube::kManifestBytesMax});
    Result<void> taken;
    if (content) {
        taken = co_await file.document.take(std::move(*content));
    } else {
        taken = fail(std::move(content.error()));
    }
    if (!taken) {
        log::error("static pod file", log::kv("file", name),
                   log::kv("error", format_as(taken.error())));
    } else if (stamp && settled(*stamp)) {
        file.read = *stamp;
    }
}

bool StaticFiles::applied() const {
    return listed_ && std::ranges::all_of(files_, [](const auto& entry) {
               return entry.second.document.applied();
           });
}

async::Task<void> StaticFiles::scan() {
    std::set<std::string> present;
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
                present.insert((path_ / name).string());
            }
        }
    } else if (kind != std::filesystem::file_type::not_found) {
        present.insert(path_.string());
    }
    for (const auto& file : present) {
        co_await read_file(file);
    }
    for (auto at = files_.begin(); at != files_.end();) {
        if (!present.contains(at->first)) {
            at->second.document.end();
            at = files_.erase(at);
        } else {
            ++at;
        }
    }
    listed_ = true;
}

}  // namespace skiff::app
