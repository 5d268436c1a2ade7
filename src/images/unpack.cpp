#include "images/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/random.h"
#include "base/text.h"
#include "images/beneath.h"
#include "images/limits.h"
#include "images/tar_source.h"
#include "os/file.h"

namespace skiff::images {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";

struct ReaderDeleter {
    void operator()(archive* reader) const { archive_read_free(reader); }
};
using Reader = std::unique_ptr<archive, ReaderDeleter>;

std::string join(const std::vector<std::string>& parts, std::size_t count) {
    std::string out;
    for (std::size_t i = 0; i < count; ++i) {
        out += (i == 0 ? "" : "/") + parts[i];
    }
    return out;
}

// One entry's place: the open folder and the name in it.
struct Place {
    os::Fd folder;
    std::string name;
    std::string path;  // the whole, for messages and links
};

class Unpacker {
public:
    explicit Unpacker(const UnpackRequest& request) : request_(request) {}

    Result<void> run() {
        SKIFF_TRY(os::Fd file, os::open_regular(request_.file));
        SKIFF_TRY(source_, TarSource::open(std::move(file), request_.bytes_max));
        SKIFF_TRY(root_, os::open(request_.target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
        reader_.reset(archive_read_new());
        archive_read_support_format_tar(reader_.get());
        // An image may have no files at all.
        archive_read_support_format_empty(reader_.get());
        if (archive_read_open(reader_.get(), this, nullptr, &Unpacker::on_read, nullptr) !=
            ARCHIVE_OK) {
            return failure("open");
        }
        SKIFF_CHECK(take_entries());
        return check_rest();
    }

private:
    static la_ssize_t on_read(archive* reader, void* self, const void** buffer) {
        auto* unpacker = static_cast<Unpacker*>(self);
        auto bytes = unpacker->source_->next();
        if (!bytes) {
            unpacker->source_error_ = std::move(bytes.error());
            archive_set_error(reader, EIO, "%s", unpacker->source_error_->message.c_str());
            return ARCHIVE_FATAL;
        }
        *buffer = bytes->data();
        return static_cast<la_ssize_t>(bytes->size());
    }

    tl::unexpected<Error> failure(std::string_view what) {
        if (source_error_) {
            return fail(*source_error_);
        }
        const char* text = archive_error_string(reader_.get());
        return fail(Code::corrupt, "{} the tar file: {}", what,
                    bounded_utf8(text != nullptr ? text : "unknown error", 256));
    }

    Result<void> take_entries() {
        std::uint64_t entries = 0;
        while (true) {
            archive_entry* entry = nullptr;
            int code = archive_read_next_header(reader_.get(), &entry);
            if (code == ARCHIVE_EOF) {
                return {};
            }
            if (code < ARCHIVE_WARN) {
                return failure("read");
            }
            if (++entries > request_.entries_max) {
                return fail(Code::exhausted, "more than {} entries in the layer",
                            request_.entries_max);
            }
            SKIFF_CHECK(take(entry));
        }
    }

    // What follows the end mark belongs to the digest as well.
    Result<void> check_rest() {
        while (true) {
            SKIFF_TRY(auto bytes, source_->next());
            if (bytes.empty()) {
                break;
            }
        }
        if (request_.diff_id) {
            Digest real = source_->digest();
            if (real != *request_.diff_id) {
                return fail(Code::corrupt, "unpacked, the layer is {}, the config says {}", real,
                            *request_.diff_id);
            }
        }
        return {};
    }

    Result<void> take(archive_entry* entry) {
        const char* name = archive_entry_pathname(entry);
        if (name == nullptr) {
            return fail(Code::corrupt, "an entry without a name in the image");
        }
        SKIFF_TRY(auto parts, components(name));
        if (parts.empty()) {
            return {};
        }
        bool special = parts.back().starts_with(kWhiteout);
        if (special && request_.content == Content::layer) {
            return take_whiteout(parts);
        }
        auto type = archive_entry_filetype(entry);
        bool link = archive_entry_hardlink(entry) != nullptr;
        bool wanted = type == AE_IFDIR || type == AE_IFREG || link ||
                      (type == AE_IFLNK && request_.content == Content::layer);
        if (!wanted) {
            return {};
        }
        SKIFF_TRY(Place place, place_of(parts));
        if (link) {
            return take_hard_link(place, archive_entry_hardlink(entry));
        }
        if (type == AE_IFDIR) {
            return take_folder(place, entry);
        }
        if (type == AE_IFLNK) {
            return take_symbolic_link(place, entry);
        }
        return take_file(place, entry);
    }

    // Opens the folder that an entry goes into, making what is missing of it.
    Result<Place> place_of(const std::vector<std::string>& parts) {
        std::string folder = join(parts, parts.size() - 1);
        std::string whole = join(parts, parts.size());
        constexpr int kFlags = O_RDONLY | O_DIRECTORY;
        auto opened = open_in_root(root_.get(), folder, kFlags);
        if (!opened) {
            for (std::size_t depth = 1; depth < parts.size(); ++depth) {
                SKIFF_TRY(os::Fd above, open_in_root(root_.get(), join(parts, depth - 1), kFlags));
                if (::mkdirat(above.get(), parts[depth - 1].c_str(), 0755) != 0 &&
                    errno != EEXIST) {
                    return fail_errno(errno, "make folder " + join(parts, depth));
                }
            }
            opened = open_in_root(root_.get(), folder, kFlags);
        }
        if (!opened) {
            return fail(Code::corrupt, "the path {:?} in the image leads through what is no folder",
                        bounded_utf8(whole, 256));
        }
        return Place{std::move(*opened), parts.back(), std::move(whole)};
    }

    // Removes what an earlier entry of the same layer put there.
    static Result<void> clear(const Place& place) {
        if (::unlinkat(place.folder.get(), place.name.c_str(), 0) == 0 || errno == ENOENT) {
            return {};
        }
        if (::unlinkat(place.folder.get(), place.name.c_str(), AT_REMOVEDIR) == 0) {
            return {};
        }
        return fail(Code::corrupt, "{:?} is in the image twice, first as a folder with contents",
                    bounded_utf8(place.path, 256));
    }

    Result<void> set_owner(int fd, const char* name, int flags, archive_entry* entry) {
        if (::geteuid() != 0 || request_.content == Content::archive) {
            return {};
        }
        auto uid = static_cast<uid_t>(archive_entry_uid(entry));
        auto gid = static_cast<gid_t>(archive_entry_gid(entry));
        if (::fchownat(fd, name, uid, gid, flags) != 0 && errno != EPERM && errno != EINVAL) {
            return fail_errno(errno, "set the owner of a file of the image");
        }
        return {};
    }

    Result<void> take_folder(const Place& place, archive_entry* entry) {
        constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
        auto folder = os::open_at(place.folder.get(), place.name, kFlags);
        if (!folder) {
            SKIFF_CHECK(clear(place));
            if (::mkdirat(place.folder.get(), place.name.c_str(), 0755) != 0) {
                return fail_errno(errno, "make folder " + place.path);
            }
            SKIFF_TRY(folder, os::open_at(place.folder.get(), place.name, kFlags));
        }
        SKIFF_CHECK(set_owner(folder->get(), "", AT_EMPTY_PATH, entry));
        if (::fchmod(folder->get(), archive_entry_perm(entry) & 01777) != 0) {
            return fail_errno(errno, "set the mode of " + place.path);
        }
        return {};
    }

    Result<void> take_file(const Place& place, archive_entry* entry) {
        SKIFF_CHECK(clear(place));
        SKIFF_TRY(os::Fd file, os::open_at(place.folder.get(), place.name,
                                           O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
        while (true) {
            const void* bytes = nullptr;
            std::size_t size = 0;
            la_int64_t offset = 0;
            int code = archive_read_data_block(reader_.get(), &bytes, &size, &offset);
            if (code == ARCHIVE_EOF) {
                break;
            }
            if (code < ARCHIVE_WARN) {
                return failure("read");
            }
            if (::lseek(file.get(), offset, SEEK_SET) < 0) {
                return fail_errno(errno, "write " + place.path);
            }
            SKIFF_CHECK(
                os::write_all(file.get(), std::string_view(static_cast<const char*>(bytes), size)));
        }
        // Sparse files of pax archives may end in a hole; a hole is not data, so bound it as well.
        auto whole = static_cast<std::uint64_t>(archive_entry_size(entry));
        if (whole > request_.bytes_max || ::ftruncate(file.get(), static_cast<off_t>(whole)) != 0) {
            return fail(Code::exhausted, "{:?} in the image is too large",
                        bounded_utf8(place.path, 256));
        }
        SKIFF_CHECK(set_owner(file.get(), "", AT_EMPTY_PATH, entry));
        timespec times[2] = {{0, UTIME_OMIT},
                             {archive_entry_mtime(entry), archive_entry_mtime_nsec(entry)}};
        (void)::futimens(file.get(), times);
        if (::fchmod(file.get(), archive_entry_perm(entry) & 0777) != 0) {
            return fail_errno(errno, "set the mode of " + place.path);
        }
        return {};
    }

    Result<void> take_symbolic_link(const Place& place, archive_entry* entry) {
        const char* text = archive_entry_symlink(entry);
        std::string target = text != nullptr ? text : "";
        if (target.empty() || target.size() > kPathBytesMax - 512) {
            return fail(Code::corrupt, "the link {:?} in the image leads nowhere",
                        bounded_utf8(place.path, 256));
        }
        if (target.front() == '/') {
            target = relative_link(place.path, target);
        }
        SKIFF_CHECK(clear(place));
        if (::symlinkat(target.c_str(), place.folder.get(), place.name.c_str()) != 0) {
            return fail_errno(errno, "make link " + place.path);
        }
        return set_owner(place.folder.get(), place.name.c_str(), AT_SYMLINK_NOFOLLOW, entry);
    }

    Result<void> take_hard_link(const Place& place, const char* text) {
        SKIFF_TRY(auto parts, components(text));
        if (parts.empty() || join(parts, parts.size()) == place.path) {
            return fail(Code::corrupt, "the hard link {:?} in the image leads nowhere",
                        bounded_utf8(place.path, 256));
        }
        SKIFF_TRY(os::Fd folder,
                  open_in_root(root_.get(), join(parts, parts.size() - 1), O_RDONLY | O_DIRECTORY));
        SKIFF_CHECK(clear(place));
        // Without AT_SYMLINK_FOLLOW: a link to a symbolic link is that link again.
        if (::linkat(folder.get(), parts.back().c_str(), place.folder.get(), place.name.c_str(),
                     0) != 0) {
            return fail(Code::corrupt, "the hard link {:?} in the image leads to nothing before it",
                        bounded_utf8(place.path, 256));
        }
        return {};
    }

    Result<void> take_whiteout(const std::vector<std::string>& parts) {
        SKIFF_TRY(Place place, place_of(parts));
        if (place.name == kOpaque) {
            return make_opaque(place.folder.get());
        }
        std::string name = place.name.substr(kWhiteout.size());
        if (name.starts_with(kWhiteout)) {
            return {};  // aufs' own books
        }
        if (name.empty() || name == "." || name == "..") {
            return fail(Code::corrupt, "the whiteout {:?} in the image hides nothing",
                        bounded_utf8(place.path, 256));
        }
        // A file of the same layer wins over the whiteout.
        if (::mknodat(place.folder.get(), name.c_str(), S_IFCHR, makedev(0, 0)) != 0 &&
            errno != EEXIST) {
            return fail_errno(errno, "make whiteout " + place.path);
        }
        return {};
    }

    static Result<void> make_opaque(int folder) {
        // Which of the two counts depends on who will mount it; one of them must work.
        bool privileged = ::fsetxattr(folder, "trusted.overlay.opaque", "y", 1, 0) == 0;
        bool user = ::fsetxattr(folder, "user.overlay.opaque", "y", 1, 0) == 0;
        if (!privileged && !user) {
            return fail_errno(errno, "mark a folder of the image opaque");
        }
        return {};
    }

    const UnpackRequest& request_;
    std::unique_ptr<TarSource> source_;
    std::optional<Error> source_error_;
    os::Fd root_;
    Reader reader_;
};

}  // namespace

std::string relative_link(std::string_view link, std::string_view absolute_target) {
    std::string out;
    for (char c : link) {
        out += c == '/' ? "../" : "";
    }
    auto start = absolute_target.find_first_not_of('/');
    std::string_view rest =
        start == std::string_view::npos ? std::string_view() : absolute_target.substr(start);
    out += rest;
    return out.empty() ? "." : out;
}

Result<void> unpack(const UnpackRequest& request) {
    Unpacker unpacker(request);
    return unpacker.run();
}

Result<void> unpack_layer(const fs::path& blob, const Digest& diff_id, const fs::path& target) {
    struct stat found{};
    if (::lstat(target.c_str(), &found) == 0) {
        return {};
    }
    SystemRandom random;
    fs::path temporary = target.parent_path() / ("." + target.filename().string() + random.hex(4));
    SKIFF_CHECK(os::make_folders(temporary, 0755));
    UnpackRequest request{blob,    temporary,         Content::layer,
                          diff_id, kUnpackedBytesMax, kUnpackedEntriesMax};
    auto done = unpack(request);
    if (done) {
        auto folder = os::open(temporary, O_RDONLY | O_DIRECTORY);
        bool flushed = folder && ::syncfs(folder->get()) == 0;
        if (!flushed) {
            done = fail_errno(errno, "flush " + temporary.string());
        }
    }
    if (done && ::rename(temporary.c_str(), target.c_str()) != 0 && errno != ENOTEMPTY &&
        errno != EEXIST) {
        done = fail_errno(errno, "rename to " + target.string());
    }
    (void)os::remove_tree(temporary);
    SKIFF_CHECK(std::move(done));
    return os::fsync_folder(target.parent_path());
}

}  // namespace skiff::images
