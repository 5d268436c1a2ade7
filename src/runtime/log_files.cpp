#include "runtime/log_files.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <map>
#include <optional>

#include "base/text.h"
#include "os/file.h"
#include "pods/ports.h"

namespace skiff::runtime {

namespace {

namespace fs = std::filesystem;

std::string hidden_name(std::uint32_t n, std::size_t slot) {
    return fmt::format(".{}.log.slot{}", n, slot);
}

std::string closed_name(std::uint32_t n, std::int64_t closed_ns) {
    std::time_t seconds = closed_ns / 1'000'000'000;
    struct tm parts{};
    ::gmtime_r(&seconds, &parts);
    char text[32];
    std::size_t size = std::strftime(text, sizeof text, "%Y%m%d-%H%M%S", &parts);
    return fmt::format("{}.{}", pods::log_file_name(n), std::string_view(text, size));
}

int rename_flags(const fs::path& from, const fs::path& to, unsigned flags) {
    return static_cast<int>(
        ::syscall(SYS_renameat2, AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags));
}

// Moves a closed file to its name; several may have been closed within the same second.
Result<void> move_aside(const fs::path& from, const fs::path& wanted) {
    constexpr int kSameSecondMax = 1000;
    for (int i = 0; i < kSameSecondMax; ++i) {
        fs::path to = i == 0 ? wanted : fs::path(fmt::format("{}-{}", wanted.string(), i));
        if (from == to || rename_flags(from, to, RENAME_NOREPLACE) == 0) {
            return {};
        }
        if (errno != EEXIST) {
            return fail_errno(errno, fmt::format("rename {}", from.string()));
        }
    }
    return fail(Code::exhausted, "too many logs named {}", wanted.string());
}

// Inode → name, of the files of one attempt.
Result<std::map<std::uint64_t, std::string>> files_of(const fs::path& folder, std::uint32_t n) {
    SKIFF_TRY(auto names, os::list_folder(folder));
    std::map<std::uint64_t, std::string> files;
    for (auto& name : names) {
        struct stat status{};
        if (pods::is_log_file_of(name, n) && ::lstat((folder / name).c_str(), &status) == 0 &&
            S_ISREG(status.st_mode)) {
            files.emplace(status.st_ino, std::move(name));
        }
    }
    return files;
}

Result<void> name_current(const fs::path& folder, std::uint32_t n,
                          std::map<std::uint64_t, std::string>& files, std::uint64_t inode) {
    auto current = files.find(inode);
    std::string wanted = pods::log_file_name(n);
    if (current == files.end() || current->second == wanted) {
        return {};
    }
    // Exchanged, so that somebody who opens `<n>.log` always finds a log.
    if (rename_flags(folder / current->second, folder / wanted, RENAME_EXCHANGE) == 0) {
        for (auto& [other, name] : files) {
            if (name == wanted) {
                name = current->second;
            }
        }
        current->second = wanted;
        return {};
    }
    if (errno != ENOENT) {
        return fail_errno(errno, fmt::format("rename {}", current->second));
    }
    SKIFF_CHECK(move_aside(folder / current->second, folder / wanted));
    current->second = wanted;
    return {};
}

// The kubelet's MaxContainerTerminationMessageLogLines and …LogLength.
constexpr std::size_t kTailLinesMax = 80;
constexpr std::size_t kTailBytesMax = 2048;
constexpr std::size_t kStampBytesMax = 64;  // "2026-11-23T22:14:05.123456789Z stdout F "
// So much of the files holds what is wanted, whatever the lines' lengths.
constexpr std::size_t kTailWindow = 16'384;
static_assert(kTailWindow >= 2 * kTailBytesMax + (kTailLinesMax + 1) * (kStampBytesMax + 1));

// The last `bytes_max` bytes of a log; empty when it cannot be read.
std::string read_end(const fs::path& path, std::size_t bytes_max) {
    auto fd = os::open_regular(path);
    struct stat status{};
    if (!fd || ::fstat(fd->get(), &status) != 0) {
        return {};
    }
    auto size = static_cast<std::size_t>(status.st_size);
    std::string text(std::min(size, bytes_max), '\0');
    auto offset = static_cast<off_t>(size - text.size());
    ssize_t got = ::pread(fd->get(), text.data(), text.size(), offset);
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return text;
}

// The content of a CRI line with the newline that it stands for; a partial line stands for none.
// What has no stamp is the end of a line that began before the window.
std::string content_of(std::string_view line) {
    std::size_t at = 0;
    std::string_view tag;
    for (int field = 0; field < 3; ++field) {
        std::size_t space = line.find(' ', at);
        if (space == std::string_view::npos || space > kStampBytesMax) {
            return std::string(line) + "\n";
        }
        tag = line.substr(at, space - at);
        at = space + 1;
    }
    bool is_stamp = tag == "F" || tag == "P";
    return std::string(is_stamp ? line.substr(at) : line) + (tag == "P" ? "" : "\n");
}

// `end`: the last bytes of a log.
std::string last_text(std::string_view end) {
    std::string text;
    if (end.ends_with('\n')) {
        end.remove_suffix(1);
    }
    for (std::size_t lines = 0; !end.empty() && lines < kTailLinesMax; ++lines) {
        std::size_t newline = end.rfind('\n');
        text.insert(0,
                    content_of(newline == std::string_view::npos ? end : end.substr(newline + 1)));
        end = end.substr(0, newline == std::string_view::npos ? 0 : newline);
    }
    std::string_view kept = text;
    if (kept.size() > kTailBytesMax) {
        kept.remove_prefix(kept.size() - kTailBytesMax);
        while (!kept.empty() && (static_cast<unsigned char>(kept.front()) & 0xc0) == 0x80) {
            kept.remove_prefix(1);  // in the midst of a character
        }
    }
    return bounded_utf8(kept, kTailBytesMax);
}

// Of a folder "<ns>_<name>_<uid>"; neither namespace nor name holds an underscore.
std::optional<PodName> pod_of_folder(std::string_view folder, const PodUid& uid) {
    std::string end = "_" + uid.str();
    if (uid.empty() || !folder.ends_with(end)) {
        return std::nullopt;
    }
    folder.remove_suffix(end.size());
    auto between = folder.find('_');
    if (between == std::string_view::npos || folder.find('_', between + 1) != folder.npos) {
        return std::nullopt;
    }
    return PodName{std::string(folder.substr(0, between)), std::string(folder.substr(between + 1))};
}

// Names in a folder that others share, or that may not be there.
Result<std::vector<std::string>> names_in(const fs::path& folder) {
    auto names = os::list_folder(folder);
    if (!names && names.error().code == Code::not_found) {
        return std::vector<std::string>{};
    }
    return names;
}

Result<void> remove_links_into(const fs::path& links, const PodName& pod, const fs::path& folder) {
    std::string begin = pod.name + "_" + pod.ns + "_";
    SKIFF_TRY(auto names, names_in(links));
    for (const auto& name : names) {
        if (!name.starts_with(begin)) {
            continue;
        }
        std::error_code error;
        fs::path target = fs::read_symlink(links / name, error);
        // <folder>/<container>/<n>.log: a pod of the same name has another uid, so another folder.
        if (!error && target.parent_path().parent_path() == folder) {
            SKIFF_CHECK(os::remove_file(links / name));
        }
    }
    return {};
}

bool is_named(const std::string& name, const std::string& wanted) {
    return name == wanted || name.starts_with(wanted + "-");
}

}  // namespace

Result<LogFiles> make_log_files(const fs::path& folder, std::uint32_t n, std::size_t count) {
    SKIFF_CHECK(os::make_folders(folder, 0755));
    LogFiles files;
    constexpr int kFlags = O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW;
    bool cleared = false;
    for (std::size_t slot = 0; slot < count; ++slot) {
        auto path = folder / (slot == 0 ? pods::log_file_name(n) : hidden_name(n, slot));
        auto fd = os::open(path, kFlags, 0640);
        if (!fd && fd.error().code == Code::exists && !cleared) {
            // Left by an attempt whose record is gone: its number is free, so is its log.
            cleared = true;
            SKIFF_CHECK(remove_log_files(folder, n));
            SKIFF_CHECK(os::make_folders(folder, 0755));
            files = LogFiles{};
            slot = static_cast<std::size_t>(-1);
            continue;
        }
        if (!fd) {
            return fail(std::move(fd.error()));
        }
        struct stat status{};
        if (::fstat(fd->get(), &status) != 0) {
            return fail_errno(errno, fmt::format("stat {}", path.string()));
        }
        files.inodes.push_back(status.st_ino);
        files.fds.push_back(std::move(*fd));
    }
    return files;
}

Result<void> name_log_files(const fs::path& folder, std::uint32_t n, const wire::PageView& page) {
    if (page.current >= page.slots.size()) {
        return {};
    }
    SKIFF_TRY(auto files, files_of(folder, n));
    SKIFF_CHECK(name_current(folder, n, files, page.slots[page.current].inode));
    for (std::size_t i = 0; i < page.slots.size(); ++i) {
        const auto& slot = page.slots[i];
        auto file = files.find(slot.inode);
        if (i == page.current || slot.turn == 0 || file == files.end()) {
            continue;
        }
        std::string wanted = closed_name(n, slot.closed_ns);
        if (!is_named(file->second, wanted)) {
            SKIFF_CHECK(move_aside(folder / file->second, folder / wanted));
        }
    }
    return {};
}

std::string read_log_tail(const fs::path& folder, std::uint32_t n, const wire::PageView& page) {
    auto files = files_of(folder, n);
    if (!files) {
        return {};
    }
    std::string end;
    auto slots = wire::slots_in_order(page);
    for (auto slot = slots.rbegin(); slot != slots.rend() && end.size() < kTailWindow; ++slot) {
        auto file = files->find(page.slots[*slot].inode);
        if (file != files->end()) {
            end.insert(0, read_end(folder / file->second, kTailWindow - end.size()));
        }
    }
    return last_text(end);
}

Result<void> remove_log_files(const fs::path& folder, std::uint32_t n) {
    auto names = os::list_folder(folder);
    if (!names) {
        if (names.error().code == Code::not_found) {
            return {};
        }
        return fail(std::move(names.error()));
    }
    for (const auto& name : *names) {
        if (pods::is_log_file_of(name, n)) {
            SKIFF_CHECK(os::remove_file(folder / name));
        }
    }
    ::rmdir(folder.c_str());  // fails, as it should, while other attempts have logs here
    return {};
}

Result<void> remove_pod_logs(const state::Paths& paths, const PodUid& uid) {
    SKIFF_TRY(auto names, names_in(paths.pod_log_dir));
    for (const auto& name : names) {
        if (auto pod = pod_of_folder(name, uid)) {
            fs::path folder = paths.pod_log_dir / name;
            SKIFF_CHECK(remove_links_into(paths.container_log_dir, *pod, folder));
            SKIFF_CHECK(os::remove_tree(folder));
        }
    }
    return {};
}

}  // namespace skiff::runtime
