#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "os/fd.h"
#include "os/file.h"
#include "volumes/kinds.h"

namespace skiff::volumes {

namespace {

constexpr std::uint32_t kFolderMask = 02110;  // setgid, and search for owner and group
constexpr std::size_t kDepthMax = 200;        // one descriptor for each level

// By descriptors alone: guests may swap names for links while this goes on.
class Giver {
public:
    Giver(std::uint32_t fs_group, std::uint32_t mask, dev_t device)
        : fs_group_(fs_group), mask_(mask), device_(device) {}

    Result<void> tree(int fd, std::size_t depth) {
        struct stat status{};
        if (::fstat(fd, &status) != 0) {
            return fail_errno(errno, "stat a volume's file");
        }
        // What is mounted inside is not the volume's.
        if (S_ISLNK(status.st_mode) || status.st_dev != device_) {
            return {};
        }
        if (::fchownat(fd, "", static_cast<uid_t>(-1), fs_group_, AT_EMPTY_PATH) != 0) {
            return fail_errno(errno, "give a volume's file to its group");
        }
        std::uint32_t mode = (status.st_mode & 07777U) | mask_;
        if (S_ISDIR(status.st_mode)) {
            mode |= kFolderMask;
        }
        if (::chmod(fmt::format("/proc/self/fd/{}", fd).c_str(), mode) != 0) {
            return fail_errno(errno, "set the mode of a volume's file");
        }
        return S_ISDIR(status.st_mode) ? contents(fd, depth) : Result<void>{};
    }

private:
    Result<void> contents(int fd, std::size_t depth) {
        if (depth >= kDepthMax) {
            return fail(Code::exhausted,
                        "a volume nested deeper than {} cannot be given to fsGroup", kDepthMax);
        }
        return os::for_each_in(fd, [&](int child) { return tree(child, depth + 1); });
    }

    std::uint32_t fs_group_;
    std::uint32_t mask_;
    dev_t device_;
};

}  // namespace

Result<void> give_to_group(const std::filesystem::path& folder, std::uint32_t fs_group,
                           std::uint32_t mask) {
    SKIFF_TRY(os::Fd root, os::open(folder, O_PATH));
    struct stat status{};
    if (::fstat(root.get(), &status) != 0) {
        return fail_errno(errno, folder.string());
    }
    auto given = Giver(fs_group, mask, status.st_dev).tree(root.get(), 0);
    if (!given) {
        return fail(std::move(given.error()).context(folder.string()));
    }
    return {};
}

}  // namespace skiff::volumes
