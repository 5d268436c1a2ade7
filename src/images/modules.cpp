#include "images/modules.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <deque>
#include <functional>
#include <optional>

#include "base/limits.h"
#include "base/text.h"
#include "images/beneath.h"
#include "images/limits.h"
#include "os/fd.h"

namespace skiff::images {

namespace fs = std::filesystem;

namespace {

// The merged view of layers, one path at a time.
class MergedView {
public:
    explicit MergedView(const std::vector<fs::path>& layers) {
        for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
            auto root = os::open(*layer, O_PATH | O_DIRECTORY);
            roots_.push_back(Root{*layer, root ? std::move(*root) : os::Fd()});
        }
    }

    // The host path of the regular file that `path` (absolute in the image) means.
    Result<fs::path> resolve(const std::string& path) const {
        std::deque<std::string> todo;
        for (std::string_view part : split(path, '/')) {
            todo.emplace_back(part);
        }
        std::vector<std::string> done;
        int links = 0;
        std::optional<Found> found;
        while (!todo.empty()) {
            std::string part = std::move(todo.front());
            todo.pop_front();
            if (part.empty() || part == ".") {
                continue;
            }
            if (part == "..") {
                if (!done.empty()) {
                    done.pop_back();
                }
                continue;
            }
            done.push_back(part);
            if (done.size() > kPathDepthMax) {
                return fail(Code::corrupt, "{:?} is too deep", bounded_utf8(path, 256));
            }
            found = look_up(done);
            if (!found) {
                return fail(Code::not_found, "the image has no file {:?}", bounded_utf8(path, 256));
            }
            if (!found->link.empty()) {
                if (++links > kSymlinksMax) {
                    return fail(Code::corrupt, "{:?} in the image goes in circles",
                                bounded_utf8(path, 256));
                }
                auto parts = split(found->link, '/');
                for (auto i = parts.rbegin(); i != parts.rend(); ++i) {
                    todo.emplace_front(*i);
                }
                done.pop_back();
                if (found->link.front() == '/') {
                    done.clear();
                }
            }
        }
        if (!found || done.empty() || !S_ISREG(found->mode)) {
            return fail(Code::not_found, "{:?} in the image is no file", bounded_utf8(path, 256));
        }
        return found->path;
    }

private:
    struct Root {
        fs::path path;
        os::Fd fd;
    };
    struct Found {
        fs::path path;
        mode_t mode = 0;
        std::string link;  // a symbolic link's text
    };

    // The topmost layer's entry for a path whose folders are no links in any layer above it.
    std::optional<Found> look_up(const std::vector<std::string>& parts) const {
        for (const Root& root : roots_) {
            std::string so_far;
            bool hidden_below = false;
            for (std::size_t i = 0; i < parts.size(); ++i) {
                so_far += (i == 0 ? "" : "/") + parts[i];
                auto fd = open_without_links(root.fd.get(), so_far, O_PATH | O_NOFOLLOW);
                struct stat entry{};
                if (!fd || ::fstat(fd->get(), &entry) != 0) {
                    break;
                }
                if (S_ISCHR(entry.st_mode)) {
                    return std::nullopt;  // a whiteout
                }
                bool last = i + 1 == parts.size();
                if (last) {
                    Found found{root.path / so_far, entry.st_mode, {}};
                    if (S_ISLNK(entry.st_mode)) {
                        std::error_code error;
                        found.link = fs::read_symlink(found.path, error).string();
                        if (error || found.link.empty()) {
                            return std::nullopt;
                        }
                    }
                    return found;
                }
                if (!S_ISDIR(entry.st_mode)) {
                    return std::nullopt;  // hides the folder of the layers below
                }
                hidden_below = hidden_below || is_opaque(root.path / so_far);
            }
            if (hidden_below) {
                return std::nullopt;
            }
        }
        return std::nullopt;
    }

    static bool is_opaque(const fs::path& folder) {
        char value = 0;
        return (::lgetxattr(folder.c_str(), "trusted.overlay.opaque", &value, 1) == 1 ||
                ::lgetxattr(folder.c_str(), "user.overlay.opaque", &value, 1) == 1) &&
               value == 'y';
    }

    std::vector<Root> roots_;
};

std::string join(const std::string& folder, const std::string& name) {
    return name.starts_with('/') ? name : folder + "/" + name;
}

// Calls `take` with the host path and the size of each regular file that ends in .wasm.
Result<void> walk(const fs::path& folder,
                  const std::function<Result<void>(const fs::path&, Bytes)>& take) {
    std::error_code error;
    auto at = fs::recursive_directory_iterator(folder, error);
    for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
        std::error_code gone;
        bool is_wasm =
            at->path().extension() == ".wasm" && !at->is_symlink(gone) && at->is_regular_file(gone);
        if (is_wasm) {
            SKIFF_CHECK(take(at->path(), Bytes{at->file_size(gone)}));
        }
    }
    if (error) {
        return fail_errno(error.value(), "look through " + folder.string());
    }
    return {};
}

}  // namespace

Result<FoundModule> find_module_in(const ModuleQuery& query) {
    std::vector<std::string> candidates;
    std::string working_dir = query.working_dir.empty() ? "/" : query.working_dir;
    if (query.command.find('/') == std::string::npos) {
        for (const std::string& folder : query.search_path) {
            candidates.push_back(join(folder, query.command));
        }
    }
    candidates.push_back(join(working_dir, query.command));
    MergedView view(query.layers);
    Result<fs::path> path = fail(Code::not_found, "no file");
    for (const std::string& candidate : candidates) {
        path = view.resolve(candidate);
        if (path || path.error().code != Code::not_found) {
            break;
        }
    }
    if (!path && path.error().code == Code::not_found) {
        return fail(Code::not_found, "the image has no file {:?}",
                    bounded_utf8(query.command, 256));
    }
    if (!path) {
        return fail(std::move(path.error()));
    }
    SKIFF_TRY(os::Fd file, os::open(*path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    SKIFF_TRY(os::FileStamp stamp, os::stamp_of(file.get()));
    SKIFF_CHECK(check_module_size(Bytes{stamp.size}));
    if (query.known) {
        if (auto known = query.known->find(stamp); known != query.known->end()) {
            return FoundModule{std::move(*path), known->second, Bytes{stamp.size}, stamp};
        }
    }
    SKIFF_TRY(FileDigest digest, digest_of_file(file.get()));
    return FoundModule{std::move(*path), std::move(digest.digest), digest.size, stamp};
}

Result<std::vector<WasmFile>> wasm_files_in(const std::vector<fs::path>& layers) {
    MergedView view(layers);
    std::map<std::string, Bytes> files;
    for (const fs::path& layer : layers) {
        SKIFF_CHECK(walk(layer, [&](const fs::path& path, Bytes size) -> Result<void> {
            std::string inside = "/" + path.lexically_relative(layer).string();
            auto seen = view.resolve(inside);
            if (!seen || *seen != path) {
                return {};  // hidden by an upper layer
            }
            if (files.size() >= kWasmFilesMax) {
                return fail(Code::exhausted, "the image has more than {} .wasm files",
                            kWasmFilesMax);
            }
            files[inside] = size;
            return {};
        }));
    }
    std::vector<WasmFile> list;
    for (const auto& [path, size] : files) {
        list.push_back(WasmFile{path, size});
    }
    return list;
}

Result<std::set<Digest>> find_digests_in(const fs::path& folder,
                                         const std::map<Digest, std::uint64_t>& wanted) {
    std::set<std::uint64_t> sizes;
    for (const auto& [digest, size] : wanted) {
        sizes.insert(size);
    }
    std::set<Digest> found;
    SKIFF_CHECK(walk(folder, [&](const fs::path& path, Bytes size) -> Result<void> {
        if (!sizes.contains(size.value)) {
            return {};
        }
        SKIFF_TRY(os::Fd file, os::open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
        SKIFF_TRY(FileDigest digest, digest_of_file(file.get()));
        if (wanted.contains(digest.digest)) {
            found.insert(std::move(digest.digest));
        }
        return {};
    }));
    return found;
}

}  // namespace skiff::images
