#include "os/tree_usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "os/fd.h"

namespace skiff::os {

namespace {

constexpr std::uint64_t kBlockBytes = 512;  // of st_blocks, whatever the filesystem
// A path may have 4,095 bytes: what lies deeper is reached from a folder that is kept open.
constexpr std::size_t kRelativeBytesMax = 2048;
constexpr std::size_t kOpenFoldersMax = 64;

// A folder that is kept open because paths from the root to what is below it are too long.
struct Base {
    Fd fd;
    std::size_t depth = 0;
};

struct Place {
    std::shared_ptr<Base> base;
    std::string path;  // below it
};

Result<Fd> open_folder(const Place& place) {
    open_how how{};
    how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
    while (true) {
        const char* path = place.path.empty() ? "." : place.path.c_str();
        long fd = ::syscall(SYS_openat2, place.base->fd.get(), path, &how, sizeof how);
        if (fd >= 0) {
            return Fd(static_cast<int>(fd));
        }
        if (errno != EINTR && errno != EAGAIN) {
            return fail_errno(errno, place.path);
        }
    }
}

class Walk {
public:
    Walk(std::uint64_t names_max, dev_t device) : names_max_(names_max), device_(device) {}

    void count(const struct stat& status) {
        ++looked_at_;
        if (status.st_nlink > 1 && !S_ISDIR(status.st_mode) &&
            !several_names_.insert(status.st_ino).second) {
            return;
        }
        usage_.bytes.value += static_cast<std::uint64_t>(status.st_blocks) * kBlockBytes;
        ++usage_.inodes;
    }

    TreeUsage run(Fd root) {
        auto base = std::make_shared<Base>();
        base->fd = std::move(root);
        waiting_.push_back({std::move(base), {}});
        // The last found first: few folders are open at a time.
        while (!waiting_.empty() && looked_at_ < names_max_) {
            Place place = std::move(waiting_.back());
            waiting_.pop_back();
            look_into(place);
        }
        if (looked_at_ >= names_max_) {
            usage_.counted = TreeUsage::Counted::part;
        }
        return usage_;
    }

private:
    void look_into(Place& place) {
        auto opened = open_folder(place);
        if (!opened) {
            return;  // gone, no folder any more, or somebody's mount
        }
        if (place.path.size() > kRelativeBytesMax) {
            if (place.base->depth + 1 >= kOpenFoldersMax) {
                usage_.counted = TreeUsage::Counted::part;
                return;
            }
            auto kept = opened->duplicate();
            if (!kept) {
                usage_.counted = TreeUsage::Counted::part;
                return;
            }
            auto next = std::make_shared<Base>();
            next->fd = std::move(*kept);
            next->depth = place.base->depth + 1;
            place = {std::move(next), {}};
        }
        int fd = opened->release();
        DIR* folder = ::fdopendir(fd);
        if (folder == nullptr) {
            ::close(fd);
            return;
        }
        while (const dirent* entry = ::readdir(folder)) {
            std::string name = entry->d_name;
            if (name != "." && name != ".." && looked_at_ < names_max_) {
                take(place, fd, name);
            }
        }
        ::closedir(folder);
    }

    void take(const Place& place, int folder, const std::string& name) {
        struct stat status{};
        if (::fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 ||
            status.st_dev != device_) {
            return;
        }
        count(status);
        if (S_ISDIR(status.st_mode)) {
            waiting_.push_back({place.base, place.path.empty() ? name : place.path + "/" + name});
        }
    }

    std::uint64_t names_max_;
    std::uint64_t looked_at_ = 0;
    dev_t device_;
    TreeUsage usage_;
    std::set<ino_t> several_names_;
    std::vector<Place> waiting_;
};

}  // namespace

Result<TreeUsage> tree_usage(const std::filesystem::path& root, std::uint64_t names_max) {
    Fd opened(::open(root.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!opened.valid()) {
        if (errno == ENOENT) {
            return TreeUsage{};
        }
        return fail_errno(errno, root.string());
    }
    struct stat status{};
    if (::fstat(opened.get(), &status) != 0) {
        return fail_errno(errno, root.string());
    }
    Walk walk(names_max, status.st_dev);
    walk.count(status);
    return walk.run(std::move(opened));
}

}  // namespace skiff::os
