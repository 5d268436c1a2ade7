#include "sandbox/tree.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.h"
#include "sandbox/owners.h"

namespace skiff::sandbox {

namespace {

constexpr std::uint64_t kGuestFlags = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
constexpr std::uint64_t kTmpfsBytesDefault = 64U << 20;

Result<os::Fd> own(long fd, std::string_view what) {
    if (fd < 0) {
        return fail_errno(errno, what);
    }
    return os::Fd(static_cast<int>(fd));
}

// Resolves `path` below `root` as the container would see it: links cannot lead outside.
Result<os::Fd> open_inside(int root, const std::string& path, std::uint64_t flags) {
    open_how how{};
    how.flags = flags | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    return own(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how), path);
}

Result<void> set_attributes(int mount, std::uint64_t set, unsigned flags) {
    mount_attr attributes{};
    attributes.attr_set = set;
    attributes.propagation = MS_PRIVATE;
    if (::mount_setattr(mount, "", AT_EMPTY_PATH | flags, &attributes, sizeof attributes) < 0) {
        return fail_errno(errno, "set a mount's flags");
    }
    return {};
}

Result<void> map_ids(int mount, int user_namespace, unsigned flags) {
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_IDMAP;
    attributes.userns_fd = static_cast<std::uint64_t>(user_namespace);
    if (::mount_setattr(mount, "", AT_EMPTY_PATH | flags, &attributes, sizeof attributes) < 0) {
        return fail_errno(errno, "map the ids of a mount");
    }
    return {};
}

struct TmpfsPlan {
    std::uint64_t bytes_max;
    std::uint32_t mode;
    std::uint32_t uid;
    std::uint32_t gid;
};

Result<os::Fd> make_tmpfs(const TmpfsPlan& plan) {
    SKIFF_TRY(auto context, own(::fsopen("tmpfs", FSOPEN_CLOEXEC), "open a tmpfs"));
    const auto set = [&](const char* key, const std::string& value) {
        return ::fsconfig(context.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0);
    };
    if (set("source", "skiff") < 0 || set("size", std::to_string(plan.bytes_max)) < 0 ||
        set("mode", fmt::format("{:o}", plan.mode)) < 0 ||
        set("uid", std::to_string(plan.uid)) < 0 || set("gid", std::to_string(plan.gid)) < 0 ||
        ::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0) {
        return fail_errno(errno, "make a tmpfs");
    }
    return own(::fsmount(context.get(), FSMOUNT_CLOEXEC, kGuestFlags), "mount a tmpfs");
}

Result<void> move_onto(int mount, int target, std::string_view what) {
    if (::move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) <
        0) {
        return fail_errno(errno, fmt::format("mount {}", what));
    }
    return {};
}

// The ids with which files of the container's root user are made, for as long as this lives. It
// keeps CAP_SYS_ADMIN but not the right to write everywhere, as setfsuid(2) has it.
class AsOwner {
public:
    explicit AsOwner(std::uint32_t id) {
        ::setfsgid(id);
        ::setfsuid(id);
    }
    ~AsOwner() {
        ::setfsuid(::geteuid());
        ::setfsgid(::getegid());
    }
    AsOwner(const AsOwner&) = delete;
    AsOwner& operator=(const AsOwner&) = delete;
};

int make_node(int parent, const std::string& name, Tree::NodeKind kind) {
    if (kind == Tree::NodeKind::folder) {
        return ::mkdirat(parent, name.c_str(), 0755);
    }
    const int fd =
        ::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd >= 0) {
        ::close(fd);
    }
    return fd < 0 ? -1 : 0;
}

// Makes one mount point: as the container's root, for the kernel refuses to store an id that an
// idmapped volume does not know; where that user may not write, as the machine's.
Result<void> make_mount_point(int parent, const std::string& name, Tree::NodeKind kind,
                              std::uint32_t owner) {
    {
        const AsOwner as_owner(owner);
        if (make_node(parent, name, kind) == 0) {
            return {};
        }
    }
    if (errno == EEXIST) {
        return fail(Code::invalid, "'{}' is a link that leads nowhere", name);
    }
    if (make_node(parent, name, kind) < 0) {
        return fail_errno(errno, fmt::format("make the mount point '{}'", name));
    }
    return {};
}

}  // namespace

Result<os::Fd> Tree::clone_of(const TreeEntry& entry) {
    const unsigned recursive = entry.kind == TreeEntry::Kind::bind_tree ? AT_RECURSIVE : 0;
    const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive;
    const bool by_fd = entry.source_fd >= 0;
    return own(::open_tree(by_fd ? entry.source_fd : AT_FDCWD, entry.source.c_str(),
                           flags | (by_fd ? static_cast<unsigned>(AT_EMPTY_PATH) : 0U)),
               by_fd ? "open a volume" : entry.source);
}

Result<Tree::Shown> Tree::show_ids(const TreeEntry& entry, int mount) {
    if (entry.ids == FileIds::plain || policy_.files_as == FilesAs::machine ||
        !user_namespace_.valid()) {
        return Shown::plain;
    }
    const unsigned recursive = entry.kind == TreeEntry::Kind::bind_tree ? AT_RECURSIVE : 0;
    auto mapped = map_ids(mount, user_namespace_.get(), recursive);
    if (mapped) {
        return Shown::mapped;
    }
    if (entry.ids == FileIds::mapped) {
        return fail(std::move(mapped.error()));
    }
    return Shown::plain;
}

// A volume of the agent's that cannot be idmapped belongs to the pod's own ids on disk, and so to
// the range of a former boot or to the machine's ids where that has changed.
Result<void> Tree::own_files(const TreeEntry& entry, std::uint32_t owner, Shown shown) {
    const bool by_pod = shown == Shown::plain && policy_.files_as == FilesAs::pod;
    const std::uint32_t count = policy_.ids.count;
    if (count == 0 || policy_.ids.host_base % count != 0) {
        return {};
    }
    const OwnerMove move{range_of(owner, count), by_pod ? policy_.ids.host_base : 0, count};
    if (move.from == move.to) {
        return {};
    }
    // A copy of its own, which shows the ids as they are on disk and may be written.
    SKIFF_TRY(const auto mount, clone_of(entry));
    return move_owners(mount.get(), move);
}

// A volume of the agent's stays writable until all mounts have their places: one may be nested in
// another, a ConfigMap's too. In what is not the agent's no mount point is made against its wish.
bool Tree::is_closed_last(const TreeEntry& entry) {
    return entry.kind == TreeEntry::Kind::bind && entry.access == Access::read_only &&
           entry.ids == FileIds::mapped_or_owned;
}

Result<Tree::Source> Tree::open_bind(const TreeEntry& entry) {
    SKIFF_TRY(auto mount, clone_of(entry));
    struct stat facts{};
    if (::fstat(mount.get(), &facts) < 0) {
        return fail_errno(errno, "stat a mount's source");
    }
    SKIFF_TRY(const Shown shown, show_ids(entry, mount.get()));
    if (entry.ids == FileIds::mapped_or_owned) {
        SKIFF_CHECK(own_files(entry, facts.st_uid, shown));
    }
    const unsigned recursive = entry.kind == TreeEntry::Kind::bind_tree ? AT_RECURSIVE : 0;
    const bool now = entry.access == Access::read_only && !is_closed_last(entry);
    const std::uint64_t read_only = now ? MOUNT_ATTR_RDONLY : 0;
    SKIFF_CHECK(set_attributes(mount.get(), kGuestFlags | read_only, recursive));
    return Source{std::move(mount), S_ISDIR(facts.st_mode) ? NodeKind::folder : NodeKind::file};
}

Result<Tree::Source> Tree::open_tmpfs(const TreeEntry& entry) {
    SKIFF_TRY(auto mount, make_tmpfs({entry.bytes_max > 0 ? entry.bytes_max : kTmpfsBytesDefault,
                                      entry.mode, file_owner(policy_, policy_.who.uid),
                                      file_owner(policy_, policy_.who.gid)}));
    if (entry.access == Access::read_only) {
        SKIFF_CHECK(set_attributes(mount.get(), MOUNT_ATTR_RDONLY, 0));
    }
    return Source{std::move(mount), NodeKind::folder};
}

Result<Tree::Source> Tree::open_entry(const TreeEntry& entry) {
    switch (entry.kind) {
        case TreeEntry::Kind::bind:
        case TreeEntry::Kind::bind_tree:
            return open_bind(entry);
        case TreeEntry::Kind::tmpfs:
            return open_tmpfs(entry);
        case TreeEntry::Kind::file:
            break;
    }
    return Source{os::Fd(), NodeKind::file};
}

Result<void> Tree::open() {
    for (const TreeEntry& entry : policy_.tree) {
        auto source = open_entry(entry);
        if (!source) {
            return fail(std::move(source.error()).context(fmt::format("mount {}", entry.target)));
        }
        sources_.push_back(std::move(*source));
    }
    if (policy_.root.kind != RootPlan::Kind::layers) {
        return {};
    }
    for (const std::string& layer : policy_.root.layers) {
        TreeEntry entry;
        entry.source = layer;
        entry.ids = FileIds::mapped_or_plain;
        auto source = open_bind(entry);
        if (!source) {
            return fail(std::move(source.error()).context("image layer"));
        }
        layers_.push_back(std::move(source->mount));
    }
    return {};
}

Result<void> Tree::make_base() {
    const bool layered = policy_.root.kind == RootPlan::Kind::layers;
    // Mount points and small files need a little; the rest is what the guest may write.
    constexpr std::uint64_t kOwnBytes = 1U << 20;
    const bool writable = !layered && policy_.root.access == Access::read_write;
    SKIFF_TRY(base_,
              make_tmpfs({kOwnBytes + policy_.root.writable_bytes_max, layered ? 0700U : 0755U,
                          file_owner(policy_, writable ? policy_.who.uid : 0),
                          file_owner(policy_, writable ? policy_.who.gid : 0)}));
    return {};
}

Result<void> Tree::attach_overlay() {
    const auto folder = [this](const std::string& name, unsigned mode) -> Result<os::Fd> {
        if (::mkdirat(base_.get(), name.c_str(), mode) < 0) {
            return fail_errno(errno, "make the overlay's stage");
        }
        return os::open_at(base_.get(), name, O_PATH | O_DIRECTORY);
    };
    // Names relative to the working folder: the option string of mount(2) is one page at most.
    if (::fchdir(base_.get()) < 0) {
        return fail_errno(errno, "enter the stage");
    }
    std::string options = "lowerdir=";
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        const std::string name = fmt::format("l{}", i);
        SKIFF_TRY(auto target, folder(name, 0700));
        SKIFF_CHECK(move_onto(layers_[i].get(), target.get(), "an image layer"));
        options += (i > 0 ? ":" : "") + name;
    }
    // Without a writable layer of the agent's the mount points go into memory.
    const bool given = !policy_.root.upper.empty();
    const std::uint32_t owner = file_owner(policy_, 0);
    if (!given) {
        SKIFF_TRY(auto upper, folder("upper", 0755));
        SKIFF_TRY(auto work, folder("work", 0700));
    }
    const std::string upper = given ? policy_.root.upper : "upper";
    if (::fchownat(AT_FDCWD, upper.c_str(), owner, owner, AT_SYMLINK_NOFOLLOW) < 0) {
        return fail_errno(errno, "give the writable layer to the container");
    }
    options += fmt::format(",upperdir={},workdir={}", upper, given ? policy_.root.work : "work");
    SKIFF_TRY(auto target, folder("root", 0755));
    if (::mount("overlay", "root", "overlay", MS_NOSUID | MS_NODEV | MS_NOEXEC, options.c_str()) <
        0) {
        return fail_errno(errno, "mount the image's layers");
    }
    SKIFF_TRY(root_, os::open_at(base_.get(), "root", O_PATH | O_DIRECTORY));
    return {};
}

Result<os::Fd> Tree::target_of(const TreeEntry& entry, NodeKind kind) {
    if (auto there = open_inside(root_.get(), entry.target, O_PATH); there) {
        return there;
    } else if (there.error().code != Code::not_found) {
        return fail(std::move(there.error()));
    }
    const auto parts = split(entry.target, '/');
    SKIFF_TRY(auto parent, open_inside(root_.get(), "/", O_PATH | O_DIRECTORY));
    std::string prefix;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        if (parts[i].empty() || parts[i] == ".") {
            continue;
        }
        prefix += "/" + std::string(parts[i]);
        const bool last = i + 1 == parts.size();
        auto next = open_inside(root_.get(), prefix, O_PATH);
        if (!next && next.error().code == Code::not_found) {
            SKIFF_CHECK(make_mount_point(parent.get(), std::string(parts[i]),
                                         last ? kind : NodeKind::folder, file_owner(policy_, 0)));
            next = open_inside(root_.get(), prefix, O_PATH);
        }
        if (!next) {
            return fail(std::move(next.error()));
        }
        parent = std::move(*next);
    }
    return parent;
}

Result<void> Tree::attach_file(const TreeEntry& entry) {
    SKIFF_TRY(auto target, target_of(entry, NodeKind::file));
    const std::string name = fmt::format(".skiff-{}", files_made_++);
    SKIFF_TRY(auto file,
              os::open_at(base_.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644));
    SKIFF_CHECK(os::write_all(file.get(), entry.content));
    const std::uint32_t owner = file_owner(policy_, 0);
    if (::fchmod(file.get(), entry.mode & 0777) < 0 || ::fchown(file.get(), owner, owner) < 0) {
        return fail_errno(errno, "give a file to the container");
    }
    file.reset();
    SKIFF_TRY(auto mount,
              own(::open_tree(base_.get(), name.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC),
                  "open a file of the agent's"));
    const std::uint64_t read_only = entry.access == Access::read_only ? MOUNT_ATTR_RDONLY : 0;
    SKIFF_CHECK(set_attributes(mount.get(), kGuestFlags | read_only, 0));
    SKIFF_CHECK(move_onto(mount.get(), target.get(), entry.target));
    // The mount holds the file; its name in the stage is of no use to anybody.
    if (::unlinkat(base_.get(), name.c_str(), 0) < 0) {
        return fail_errno(errno, "forget a file's name");
    }
    return {};
}

Result<void> Tree::attach(std::size_t index) {
    const TreeEntry& entry = policy_.tree[index];
    if (entry.kind == TreeEntry::Kind::file) {
        return attach_file(entry);
    }
    SKIFF_TRY(auto target, target_of(entry, sources_[index].kind));
    return move_onto(sources_[index].mount.get(), target.get(), entry.target);
}

Result<void> Tree::assemble(const std::string& stage) {
    SKIFF_CHECK(make_base());
    SKIFF_TRY(auto place, os::open(stage, O_PATH | O_DIRECTORY | O_NOFOLLOW));
    SKIFF_CHECK(move_onto(base_.get(), place.get(), "the root"));
    if (policy_.root.kind == RootPlan::Kind::layers) {
        SKIFF_CHECK(attach_overlay());
    } else {
        SKIFF_TRY(root_, base_.duplicate());
    }
    for (std::size_t i = 0; i < policy_.tree.size(); ++i) {
        auto attached = attach(i);
        if (!attached) {
            return fail(std::move(attached.error())
                            .context(fmt::format("mount {}", policy_.tree[i].target)));
        }
    }
    for (std::size_t i = 0; i < policy_.tree.size(); ++i) {
        if (is_closed_last(policy_.tree[i])) {
            SKIFF_CHECK(set_attributes(sources_[i].mount.get(), MOUNT_ATTR_RDONLY, 0));
        }
    }
    if (policy_.root.access == Access::read_only) {
        SKIFF_CHECK(set_attributes(root_.get(), MOUNT_ATTR_RDONLY, 0));
    }
    sources_.clear();
    layers_.clear();
    return {};
}

Result<void> Tree::enter() {
    // The old root ends up below the new one and is detached at once: there is no moment in which
    // a path could lead back.
    if (::fchdir(root_.get()) < 0 || ::syscall(SYS_pivot_root, ".", ".") < 0 ||
        ::umount2(".", MNT_DETACH) < 0 || ::chdir("/") < 0) {
        return fail_errno(errno, "enter the root");
    }
    root_.reset();
    base_.reset();
    return {};
}

}  // namespace skiff::sandbox
