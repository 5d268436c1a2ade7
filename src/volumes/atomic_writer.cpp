#include "volumes/atomic_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <set>

#include "os/fd.h"
#include "os/file.h"
#include "state/id_ranges.h"
#include "volumes/kinds.h"

namespace skiff::volumes {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kCurrent = "..data";
constexpr std::string_view kCurrentNew = "..data_tmp";
// More than one object can hold (1 MiB); guards against a file that was swapped under us.
constexpr Bytes kFileBytesMax = 8_MiB;

std::string version_name(WallTime now) {
    auto seconds = std::chrono::floor<std::chrono::seconds>(now);
    auto value = static_cast<std::time_t>(seconds.time_since_epoch().count());
    std::tm parts{};
    ::gmtime_r(&value, &parts);
    char text[32];
    auto length = std::strftime(text, sizeof(text), "..%Y_%m_%d_%H_%M_%S", &parts);
    return fmt::format("{}.{:09}", std::string_view(text, length), (now - seconds).count());
}

// The folder that `..data` points to; empty if there is none.
std::string current_version(const fs::path& folder) {
    std::error_code error;
    fs::path target = fs::read_symlink(folder / kCurrent, error);
    std::string name = error ? std::string() : target.string();
    bool sane = name.starts_with("..") && name.size() > 2 && name.find('/') == std::string::npos;
    return sane ? name : std::string();
}

std::string first_part(const std::string& path) {
    return path.substr(0, path.find('/'));
}

// Whom the files of a volume belong to on disk. The runner gives a volume that it cannot idmap to
// the pod's range, its folder last: what is written later must belong to that range, too.
struct Owners {
    std::uint32_t base = 0;
    std::optional<std::uint32_t> fs_group;

    [[nodiscard]] std::uint32_t user(const PayloadFile& file) const {
        return base + file.uid.value_or(0);
    }
    [[nodiscard]] std::uint32_t group() const { return base + fs_group.value_or(0); }
    [[nodiscard]] std::uint32_t mode(const PayloadFile& file) const {
        return fs_group ? file.mode | 0440U : file.mode;
    }
};

Result<Owners> owners_in(const fs::path& folder, std::optional<std::uint32_t> fs_group) {
    struct stat status{};
    if (::lstat(folder.c_str(), &status) != 0) {
        return fail_errno(errno, folder.string());
    }
    return Owners{status.st_uid - status.st_uid % state::kIdsPerPod, fs_group};
}

bool file_is(const fs::path& path, const PayloadFile& wanted, const Owners& owners) {
    struct stat status{};
    if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
        return false;
    }
    bool same = (status.st_mode & 07777U) == owners.mode(wanted) &&
                status.st_uid == owners.user(wanted) && status.st_gid == owners.group() &&
                static_cast<std::uint64_t>(status.st_size) == wanted.content.size();
    if (!same) {
        return false;
    }
    auto content = os::read_file(path, kFileBytesMax);
    return content && *content == wanted.content;
}

std::size_t count_files(const fs::path& version) {
    std::size_t count = 0;
    std::error_code error;
    for (fs::recursive_directory_iterator at(version, error), end; !error && at != end;
         at.increment(error)) {
        count += at->is_directory(error) ? 0 : 1;
    }
    return count;
}

bool shows(const fs::path& folder, const std::string& version, const Payload& payload,
           const Owners& owners) {
    if (version.empty() || count_files(folder / version) != payload.size()) {
        return false;
    }
    for (const auto& [path, file] : payload) {
        if (!file_is(folder / version / path, file, owners)) {
            return false;
        }
        std::string name = first_part(path);
        std::error_code error;
        auto link = fs::read_symlink(folder / name, error);
        if (error || link != fs::path(kCurrent) / name) {
            return false;
        }
    }
    return true;
}

Result<void> write_file(const fs::path& path, const PayloadFile& file, const Owners& owners) {
    SKIFF_CHECK(os::make_folders(path.parent_path(), 0755));
    SKIFF_TRY(os::Fd fd, os::open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    SKIFF_CHECK(os::write_all(fd.get(), file.content));
    if (::fchown(fd.get(), owners.user(file), owners.group()) != 0) {
        return fail_errno(errno, "chown " + path.string());
    }
    if (::fchmod(fd.get(), owners.mode(file)) != 0) {
        return fail_errno(errno, "chmod " + path.string());
    }
    return {};
}

Result<void> point(const fs::path& link, const fs::path& target) {
    SKIFF_CHECK(os::remove_tree(link));
    if (::symlink(target.c_str(), link.c_str()) != 0) {
        return fail_errno(errno, "symlink " + link.string());
    }
    return {};
}

Result<void> swap_current(const fs::path& folder, const std::string& version) {
    SKIFF_CHECK(point(folder / kCurrentNew, version));
    if (::rename((folder / kCurrentNew).c_str(), (folder / kCurrent).c_str()) != 0) {
        return fail_errno(errno, "rename " + (folder / kCurrent).string());
    }
    return {};
}

// Links for what is new; removes what belongs to neither the payload nor the layout.
Result<void> tidy_folder(const fs::path& folder, const std::string& version,
                         const std::set<std::string>& names,
                         const std::set<std::string>& mount_points) {
    for (const std::string& name : names) {
        std::error_code error;
        fs::path wanted = fs::path(kCurrent) / name;
        if (fs::read_symlink(folder / name, error) != wanted) {
            SKIFF_CHECK(point(folder / name, wanted));
        }
    }
    SKIFF_TRY(auto present, os::list_folder(folder));
    for (const std::string& name : present) {
        bool known = name == kCurrent || name == version || names.contains(name);
        if (!known && !mount_points.contains(name)) {
            SKIFF_CHECK(os::remove_tree(folder / name));
        }
    }
    return {};
}

}  // namespace

Result<Written> write_payload(const fs::path& folder, const Showing& showing, WallTime now) {
    const Payload& payload = showing.payload;
    SKIFF_TRY(Owners owners, owners_in(folder, showing.fs_group));
    std::string version = current_version(folder);
    if (shows(folder, version, payload, owners)) {
        return Written::unchanged;
    }
    std::string next = version_name(now);
    // A clock that stands still, or was set back, must not meet an old folder.
    for (int i = 1; next == version || fs::exists(folder / next); ++i) {
        next = fmt::format("{}.{}", version_name(now), i);
    }
    SKIFF_CHECK(os::make_folders(folder / next, 0755));
    std::set<std::string> names;
    for (const auto& [path, file] : payload) {
        SKIFF_CHECK(write_file(folder / next / path, file, owners));
        names.insert(first_part(path));
    }
    if (showing.fs_group) {
        SKIFF_CHECK(give_to_group(folder / next, owners.group(), 0440));
    }
    SKIFF_CHECK(swap_current(folder, next));
    SKIFF_CHECK(tidy_folder(folder, next, names, showing.mount_points));
    return Written::changed;
}

}  // namespace skiff::volumes
