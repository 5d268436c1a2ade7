#include "os/mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "os/file.h"

namespace skiff::os {

namespace {

// /proc/self/mountinfo writes blank, tab, newline and backslash as three octal digits.
std::string unescape(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        bool escaped = text[i] == '\\' && i + 3 < text.size();
        if (!escaped) {
            out += text[i];
            continue;
        }
        int value = (text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0');
        out += static_cast<char>(value);
        i += 3;
    }
    return out;
}

}  // namespace

Result<void> mount_tmpfs(const std::filesystem::path& target, const TmpfsOptions& options) {
    std::string text = fmt::format("mode={:o}", options.mode);
    if (options.size) {
        text += fmt::format(",size={}", options.size->value);
    }
    unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (::mount("tmpfs", target.c_str(), "tmpfs", flags, text.c_str()) != 0) {
        return fail_errno(errno, fmt::format("mount tmpfs on {}", target.string()));
    }
    return {};
}

Result<void> mount_layers(const std::vector<std::filesystem::path>& layers,
                          const std::filesystem::path& target) {
    constexpr std::size_t kLayersMax = 128;
    if (layers.size() < 2 || layers.size() > kLayersMax) {
        return fail(Code::invalid, "{} layers cannot be mounted over each other", layers.size());
    }
    // By descriptor: the options of mount(2) are one page at most, and paths may hold colons.
    std::vector<Fd> open_layers;
    std::string options = "lowerdir=";
    for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
        SKIFF_TRY(Fd fd, open(*layer, O_PATH | O_DIRECTORY));
        options += fmt::format("{}/proc/self/fd/{}", open_layers.empty() ? "" : ":", fd.get());
        open_layers.push_back(std::move(fd));
    }
    unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (::mount("overlay", target.c_str(), "overlay", flags, options.c_str()) != 0) {
        return fail_errno(errno, fmt::format("mount layers on {}", target.string()));
    }
    return {};
}

Result<void> mount_bind(const std::filesystem::path& source, const std::filesystem::path& target,
                        BindAccess access) {
    const char* to = target.c_str();
    if (::mount(source.c_str(), to, nullptr, MS_BIND, nullptr) != 0) {
        return fail_errno(errno, fmt::format("bind {} on {}", source.string(), target.string()));
    }
    unsigned long flags = MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV;
    if (access == BindAccess::read_only) {
        flags |= MS_RDONLY;
    }
    if (::mount(nullptr, to, nullptr, MS_PRIVATE, nullptr) != 0 ||
        ::mount(nullptr, to, nullptr, flags, nullptr) != 0) {
        auto error = errno_error(errno, fmt::format("restrict the mount {}", target.string()));
        ::umount2(to, MNT_DETACH | UMOUNT_NOFOLLOW);
        return fail(std::move(error));
    }
    return {};
}

Result<bool> is_mount_point(const std::filesystem::path& path) {
    struct statx status{};
    if (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE,
                &status) != 0) {
        return fail_errno(errno, fmt::format("stat {}", path.string()));
    }
    return (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

Result<void> unmount(const std::filesystem::path& path) {
    // EINVAL: not a mount point, which is where the loop ends.
    constexpr int kStackMax = 1000;
    for (int i = 0; i < kStackMax; ++i) {
        if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0) {
            if (errno == EINVAL || errno == ENOENT) {
                return {};
            }
            return fail_errno(errno, fmt::format("unmount {}", path.string()));
        }
    }
    return fail(Code::exhausted, "more than {} mounts on {}", kStackMax, path.string());
}

Result<std::vector<MountEntry>> mount_table() {
    SKIFF_TRY(Fd fd, open("/proc/self/mountinfo", O_RDONLY));
    SKIFF_TRY(std::string text, read_all(fd.get(), 256_MiB));
    std::vector<MountEntry> table;
    for (auto line : split(text, '\n')) {
        auto words = split(line, ' ');
        // Optional fields end with "-"; the filesystem's type comes after it.
        auto dash = std::find(words.begin(), words.end(), "-");
        if (words.size() < 5 || words.end() - dash < 2) {
            continue;
        }
        table.push_back({unescape(words[4]), unescape(dash[1])});
    }
    return table;
}

Result<std::vector<std::filesystem::path>> mounts_below(const std::filesystem::path& folder) {
    SKIFF_TRY(auto table, mount_table());
    std::string prefix = folder.lexically_normal().string();
    if (prefix.size() > 1 && prefix.ends_with('/')) {
        prefix.pop_back();
    }
    std::vector<std::filesystem::path> found;
    for (auto& mount : table) {
        const std::string& point = mount.point.native();
        if (point == prefix || prefix == "/" || point.starts_with(prefix + "/")) {
            found.push_back(std::move(mount.point));
        }
    }
    // The table is in mount order, so its reverse undoes stacks and nests from the top.
    std::reverse(found.begin(), found.end());
    return found;
}

Result<void> unmount_below(const std::filesystem::path& folder) {
    SKIFF_TRY(auto points, mounts_below(folder));
    std::optional<Error> problem;
    for (const auto& point : points) {
        auto done = unmount(point);
        if (!done && !problem) {
            problem = std::move(done.error());
        }
    }
    if (problem) {
        return fail(std::move(*problem));
    }
    return {};
}

}  // namespace skiff::os
