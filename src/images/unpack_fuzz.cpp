// Unpacks hostile tar files (plain, gzip, zstd) beside a file that must stay as it is.
#include "images/unpack.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "base/fuzz.h"
#include "os/file.h"

namespace skiff::images {

namespace fs = std::filesystem;

constexpr std::uint64_t kUnpackedMax = 1U << 20;
constexpr std::uint64_t kEntriesMax = 64;
constexpr std::string_view kOutside = "not to be touched";

// A folder of its own for each run, in memory where there is such a place.
class Yard {
public:
    Yard() {
        std::error_code error;
        const fs::path shared = "/dev/shm";
        const fs::path below = fs::is_directory(shared, error) && ::access("/dev/shm", W_OK) == 0
                                   ? shared
                                   : fs::temp_directory_path();
        std::string name = (below / "skiff-fuzz-XXXXXX").string();
        SKIFF_ASSERT(::mkdtemp(name.data()) != nullptr);
        path_ = name;
        SKIFF_ASSERT(::mkdir(target().c_str(), 0755) == 0);
        write(outside(), kOutside);
    }
    ~Yard() {
        // Only root may empty folders without any right.
        std::error_code error;
        for (fs::recursive_directory_iterator at(target(), error), end; !error && at != end;
             at.increment(error)) {
            if (at->is_directory() && !at->is_symlink()) {
                fs::permissions(at->path(), fs::perms::owner_all, error);
            }
        }
        (void)os::remove_tree(path_);
    }
    Yard(const Yard&) = delete;
    Yard& operator=(const Yard&) = delete;

    [[nodiscard]] const fs::path& path() const { return path_; }
    [[nodiscard]] fs::path target() const { return path_ / "target"; }
    [[nodiscard]] fs::path outside() const { return path_ / "outside"; }
    [[nodiscard]] fs::path archive() const { return path_ / "archive"; }

    static void write(const fs::path& path, std::string_view bytes) {
        auto file = os::open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        SKIFF_ASSERT(file && os::write_all(file->get(), bytes));
    }

private:
    fs::path path_;
};

static void check_outside(const Yard& yard) {
    struct stat status{};
    SKIFF_ASSERT(::lstat(yard.outside().c_str(), &status) == 0);
    SKIFF_ASSERT(S_ISREG(status.st_mode) && (status.st_mode & 07777) == 0600);
    SKIFF_ASSERT(status.st_nlink == 1 && status.st_uid == ::geteuid());
    auto text = os::read_file(yard.outside(), Bytes{64});
    SKIFF_ASSERT(text && *text == kOutside);
    auto names = os::list_folder(yard.path());
    SKIFF_ASSERT(names && names->size() == 3);
}

// Only folders, files, links and whiteouts; no set-uid, no link that names the machine's root.
static void check_tree(const fs::path& target, Content content) {
    std::error_code error;
    for (fs::recursive_directory_iterator at(target, error), end; !error && at != end;
         at.increment(error)) {
        struct stat status{};
        SKIFF_ASSERT(::lstat(at->path().c_str(), &status) == 0);
        const bool whiteout = S_ISCHR(status.st_mode) && status.st_rdev == 0;
        const bool link = S_ISLNK(status.st_mode);
        SKIFF_ASSERT(S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) || whiteout || link);
        SKIFF_ASSERT((status.st_mode & (S_ISUID | S_ISGID)) == 0);
        SKIFF_ASSERT(content == Content::layer || !(whiteout || link));
        if (link) {
            SKIFF_ASSERT(!fs::read_symlink(at->path()).is_absolute());
        }
        if (S_ISREG(status.st_mode)) {
            SKIFF_ASSERT(static_cast<std::uint64_t>(status.st_size) <= kUnpackedMax);
        }
    }
}

// The input: a byte that chooses the content, then the archive.
SKIFF_FUZZ(images_unpack) {
    fuzz::Input input(bytes);
    const Content content = (input.byte() & 1) == 0 ? Content::layer : Content::archive;
    const Yard yard;
    Yard::write(yard.archive(), input.rest());
    UnpackRequest request;
    request.file = yard.archive();
    request.target = yard.target();
    request.content = content;
    request.bytes_max = kUnpackedMax;
    request.entries_max = kEntriesMax;
    const auto done = unpack(request);
    if (!done) {
        SKIFF_ASSERT(!done.error().message.empty());
    } else {
        check_tree(yard.target(), content);
    }
    check_outside(yard);
}

}  // namespace skiff::images
