#include "sandbox/owners.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "os/fd.h"
#include "os/file.h"

namespace skiff::sandbox {

namespace {

class Mover {
public:
    explicit Mover(const OwnerMove& move) : move_(move) {}

    Result<void> tree(int fd, std::size_t depth) {
        struct stat facts{};
        if (::fstat(fd, &facts) < 0) {
            return fail_errno(errno, "stat a volume's file");
        }
        if (S_ISDIR(facts.st_mode)) {
            SKIFF_CHECK(contents(fd, depth));
        }
        if (++files_ > kOwnedFilesMax) {
            return fail(Code::exhausted, "a volume of more than {} files cannot change owners",
                        kOwnedFilesMax);
        }
        const std::uint32_t uid = moved(facts.st_uid);
        const std::uint32_t gid = moved(facts.st_gid);
        if ((uid != facts.st_uid || gid != facts.st_gid) &&
            ::fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0) {
            return fail_errno(errno, "give a volume's file to the pod");
        }
        return {};
    }

private:
    std::uint32_t moved(std::uint32_t id) const {
        const bool inside = id >= move_.from && id - move_.from < move_.count;
        return inside ? id - move_.from + move_.to : id;
    }

    Result<void> contents(int fd, std::size_t depth) {
        if (depth >= kOwnedDepthMax) {
            return fail(Code::exhausted, "a volume nested deeper than {} cannot change owners",
                        kOwnedDepthMax);
        }
        return os::for_each_in(fd, [&](int child) { return tree(child, depth + 1); });
    }

    OwnerMove move_;
    std::size_t files_ = 0;
};

}  // namespace

Result<void> move_owners(int root, const OwnerMove& move) {
    return Mover(move).tree(root, 0);
}

}  // namespace skiff::sandbox
