#include "os/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/random.h"

namespace skiff::os {

namespace {

constexpr Bytes kKernelFileMax = 1_MiB;
constexpr std::string_view kTemporaryMark = ".tmp-";

Result<Fd> require_regular(Fd fd, const std::filesystem::path& path) {
    struct stat status{};
    if (::fstat(fd.get(), &status) != 0) {
        return fail_errno(errno, fmt::format("stat {}", path.string()));
    }
    if (!S_ISREG(status.st_mode)) {
        return fail(Code::invalid, "{} is not a regular file", path.string());
    }
    return fd;
}

using FolderHandle = std::unique_ptr<DIR, decltype([](DIR* d) { ::closedir(d); })>;

Result<FolderHandle> open_folder_at(int parent, const std::string& name) {
    SKIFF_TRY(Fd fd, open_at(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    FolderHandle handle(::fdopendir(fd.get()));
    if (!handle) {
        return fail_errno(errno, fmt::format("read folder {}", name));
    }
    (void)fd.release();
    return handle;
}

bool is_dot(std::string_view name) {
    return name == "." || name == "..";
}

bool is_mount_root(int parent, const char* name) {
    struct statx status{};
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
    return ::statx(parent, name, flags, STATX_TYPE, &status) == 0 &&
           (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

// Removes trees depth first with an explicit stack: a guest chooses how deep its folders are.
class TreeRemover {
public:
    Result<void> remove(int parent, const std::string& name) {
        step(parent, name);
        while (!levels_.empty()) {
            Level& level = levels_.back();
            const dirent* entry = ::readdir(level.folder.get());
            if (entry == nullptr) {
                if (levels_.size() == 1 && !moved_up_.empty()) {
                    std::string moved = std::move(moved_up_.back());
                    moved_up_.pop_back();
                    step(::dirfd(level.folder.get()), moved);
                    continue;
                }
                leave();
                continue;
            }
            if (!is_dot(entry->d_name)) {
                step(::dirfd(level.folder.get()), entry->d_name);
            }
        }
        if (problem_) {
            return fail(*problem_);
        }
        return {};
    }

private:
    struct Level {
        FolderHandle folder;
        std::string name;
        int parent;
        bool keeps_something = false;
    };

    void step(int parent, const std::string& name) {
        if (is_mount_root(parent, name.c_str())) {
            note(Error{Code::conflict,
                       {},
                       fmt::format("{} is a mount point", name),
                       std::source_location::current()});
            return;
        }
        if (::unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) {
            return;
        }
        if (errno != EISDIR && errno != EPERM) {
            note(errno_error(errno, fmt::format("remove {}", name)));
            return;
        }
        if (levels_.size() >= kOpenMax && move_up(parent, name)) {
            return;
        }
        if (::geteuid() != 0) {
            allow_owner(parent, name);
        }
        auto folder = open_folder_at(parent, name);
        if (!folder) {
            if (folder.error().code != Code::not_found) {
                note(std::move(folder.error()));
            }
            return;
        }
        levels_.push_back(Level{std::move(*folder), name, parent});
    }

    // An ordinary user's folder may forbid its owner what removing takes: overlayfs makes one with
    // mode 0, images bring some that nobody may write.
    static void allow_owner(int parent, const std::string& name) {
        constexpr int kFlags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
        Fd folder(::openat(parent, name.c_str(), kFlags));
        if (folder.valid()) {
            (void)::chmod(fmt::format("/proc/self/fd/{}", folder.get()).c_str(), 0700);
        }
    }

    // A tree deeper than the descriptors we may hold is made flat: its deep folder moves to the
    // top, to be emptied from there.
    bool move_up(int parent, const std::string& name) {
        std::string moved = fmt::format(".skiff-deep-{}", moved_count_++);
        int top = ::dirfd(levels_.front().folder.get());
        if (::renameat(parent, name.c_str(), top, moved.c_str()) != 0) {
            return false;
        }
        moved_up_.push_back(std::move(moved));
        return true;
    }

    void leave() {
        std::string name = levels_.back().name;
        int parent = levels_.back().parent;
        bool keeps_something = levels_.back().keeps_something;
        levels_.pop_back();
        if (keeps_something) {
            if (!levels_.empty()) {
                levels_.back().keeps_something = true;
            }
            return;
        }
        if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
            note(errno_error(errno, fmt::format("remove folder {}", name)));
        }
    }

    void note(Error error) {
        if (!problem_) {
            problem_ = std::move(error);
        }
        if (!levels_.empty()) {
            levels_.back().keeps_something = true;
        }
    }

    static constexpr std::size_t kOpenMax = 100;
    std::vector<Level> levels_;
    std::vector<std::string> moved_up_;
    std::uint64_t moved_count_ = 0;
    std::optional<Error> problem_;
};

}  // namespace

Result<Fd> open_regular(const std::filesystem::path& path) {
    return open_regular_at(AT_FDCWD, path);
}

Result<Fd> open_regular_at(int folder, const std::filesystem::path& path) {
    auto fd = open_at(folder, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (!fd) {
        return fail(std::move(fd.error()));
    }
    return require_regular(std::move(*fd), path);
}

Result<std::string> read_file(const std::filesystem::path& path, Bytes limit) {
    SKIFF_TRY(Fd fd, open_regular(path));
    auto text = read_all(fd.get(), limit);
    if (!text) {
        return fail(std::move(text.error()).context(path.string()));
    }
    return std::move(*text);
}

Result<std::string> read_file_head(const std::filesystem::path& path, Bytes bytes_max) {
    SKIFF_TRY(Fd fd, open_regular(path));
    std::string text(bytes_max.value, '\0');
    std::size_t size = 0;
    while (size < text.size()) {
        ssize_t n = ::read(fd.get(), text.data() + size, text.size() - size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fail_errno(errno, fmt::format("read {}", path.string()));
        }
        if (n == 0) {
            break;
        }
        size += static_cast<std::size_t>(n);
    }
    text.resize(size);
    return text;
}

Result<Bytes> read_through(int fd, const std::function<void(std::string_view)>& take) {
    constexpr std::size_t kChunkBytes = 256 << 10;
    std::string buffer(kChunkBytes, '\0');
    off_t offset = 0;
    while (true) {
        ssize_t n = ::pread(fd, buffer.data(), buffer.size(), offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fail_errno(errno, "read");
        }
        if (n == 0) {
            return Bytes{static_cast<std::uint64_t>(offset)};
        }
        take(std::string_view(buffer).substr(0, static_cast<std::size_t>(n)));
        offset += n;
    }
}

Result<std::string> read_kernel_file(const std::filesystem::path& path) {
    SKIFF_TRY(Fd fd, open(path, O_RDONLY));
    auto text = read_all(fd.get(), kKernelFileMax);
    if (!text) {
        return fail(std::move(text.error()).context(path.string()));
    }
    return std::move(*text);
}

Result<void> write_kernel_file(const std::filesystem::path& path, std::string_view value) {
    SKIFF_TRY(Fd fd, open(path, O_WRONLY));
    if (::write(fd.get(), value.data(), value.size()) < 0) {
        return fail_errno(errno, fmt::format("write {} to {}", value, path.string()));
    }
    return {};
}

Result<void> write_file_atomic(const std::filesystem::path& path, std::string_view contents,
                               unsigned mode, Durability durability) {
    SystemRandom random;
    auto folder = path.parent_path();
    std::filesystem::path temporary =
        folder / fmt::format(".{}{}{}", path.filename().string(), kTemporaryMark, random.hex(6));
    SKIFF_TRY(Fd fd, open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    auto finish = [&]() -> Result<void> {
        SKIFF_CHECK(write_all(fd.get(), contents));
        if (::fchmod(fd.get(), mode) != 0) {
            return fail_errno(errno, "chmod");
        }
        // A failed fsync is never repeated: the kernel may have dropped the pages and says ok next
        // time.
        if (durability == Durability::power && ::fsync(fd.get()) != 0) {
            return fail_errno(errno, "fsync");
        }
        if (::rename(temporary.c_str(), path.c_str()) != 0) {
            return fail_errno(errno, "rename");
        }
        return {};
    };
    auto done = finish();
    if (!done) {
        ::unlink(temporary.c_str());
        return fail(std::move(done.error()).context(fmt::format("write {}", path.string())));
    }
    if (durability == Durability::power) {
        return fsync_folder(folder);
    }
    return {};
}

void remove_stale_temporaries(const std::filesystem::path& folder) {
    auto names = list_folder(folder);
    if (!names) {
        return;
    }
    for (const auto& name : *names) {
        if (name.starts_with('.') && name.find(kTemporaryMark) != std::string::npos) {
            ::unlink((folder / name).c_str());
        }
    }
}

Result<void> fsync_folder(const std::filesystem::path& folder) {
    SKIFF_TRY(Fd fd, open(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY));
    if (::fsync(fd.get()) != 0) {
        return fail_errno(errno, fmt::format("fsync {}", folder.string()));
    }
    return {};
}

Result<void> make_folders(const std::filesystem::path& path, unsigned mode) {
    if (::mkdir(path.c_str(), mode) == 0) {
        // mkdir's mode went through the umask.
        if (::chmod(path.c_str(), mode) != 0) {
            return fail_errno(errno, fmt::format("chmod {}", path.string()));
        }
        return {};
    }
    if (errno == ENOENT && path.has_parent_path() && path.parent_path() != path) {
        SKIFF_CHECK(make_folders(path.parent_path(), 0755));
        return make_folders(path, mode);
    }
    if (errno != EEXIST) {
        return fail_errno(errno, fmt::format("make folder {}", path.string()));
    }
    struct stat status{};
    if (::lstat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
        return fail(Code::exists, "{} is there and is not a folder", path.string());
    }
    return {};
}

Result<void> remove_tree(const std::filesystem::path& path) {
    auto parent_path = path.parent_path();
    auto parent = open(parent_path.empty() ? "." : parent_path, O_RDONLY | O_DIRECTORY);
    if (!parent) {
        if (parent.error().code == Code::not_found) {
            return {};
        }
        return fail(std::move(parent.error()));
    }
    TreeRemover remover;
    auto removed = remover.remove(parent->get(), path.filename().string());
    if (!removed) {
        return fail(std::move(removed.error()).context(fmt::format("remove {}", path.string())));
    }
    return {};
}

Result<void> remove_file(const std::filesystem::path& path) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
        return fail_errno(errno, fmt::format("remove {}", path.string()));
    }
    return {};
}

Result<std::vector<std::string>> list_folder(const std::filesystem::path& path,
                                             std::size_t names_max) {
    FolderHandle folder(::opendir(path.c_str()));
    if (!folder) {
        return fail_errno(errno, fmt::format("read folder {}", path.string()));
    }
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(folder.get())) {
        if (is_dot(entry->d_name)) {
            continue;
        }
        if (names.size() >= names_max) {
            return fail(Code::exhausted, "{} holds more than {} names", path.string(), names_max);
        }
        names.emplace_back(entry->d_name);
    }
    std::sort(names.begin(), names.end());
    return names;
}

Result<void> for_each_in(int folder, const std::function<Result<void>(int)>& each) {
    SKIFF_TRY(FolderHandle listing, open_folder_at(folder, "."));
    while (const dirent* entry = ::readdir(listing.get())) {
        if (is_dot(entry->d_name)) {
            continue;
        }
        auto child = open_at(::dirfd(listing.get()), entry->d_name, O_PATH | O_NOFOLLOW);
        if (!child && child.error().code == Code::not_found) {
            continue;
        }
        if (!child) {
            return fail(std::move(child.error()));
        }
        SKIFF_CHECK(each(child->get()));
    }
    return {};
}

static FileStamp stamp_of(const struct stat& found) {
    auto ns = [](const timespec& time) { return time.tv_sec * 1'000'000'000LL + time.tv_nsec; };
    return FileStamp{found.st_dev, found.st_ino, static_cast<std::uint64_t>(found.st_size),
                     ns(found.st_mtim), ns(found.st_ctim)};
}

Result<FileStamp> stamp_of(int fd) {
    struct stat found{};
    if (::fstat(fd, &found) != 0) {
        return fail_errno(errno, "stat a file");
    }
    return stamp_of(found);
}

Result<FileStamp> stamp_of(const std::filesystem::path& path) {
    struct stat found{};
    if (::stat(path.c_str(), &found) != 0) {
        return fail_errno(errno, fmt::format("stat {}", path.string()));
    }
    return stamp_of(found);
}

Result<DiskUsage> disk_usage(const std::filesystem::path& path) {
    struct statvfs status{};
    if (::statvfs(path.c_str(), &status) != 0) {
        return fail_errno(errno, fmt::format("statvfs {}", path.string()));
    }
    return DiskUsage{Bytes{status.f_blocks * status.f_frsize},
                     Bytes{status.f_bavail * status.f_frsize}, status.f_files, status.f_favail};
}

}  // namespace skiff::os
