/* touch, rm, mkdir, rmdir, cp, mv, ln, readlink, basename, dirname. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools.h"

int touch_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "camr:d:t:");
    bool create = true;
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    int result = 0;
    for (int letter; (letter = options_next(&o));) {
        struct stat status;
        long long seconds;
        if (letter == 'c') {
            create = false;
        } else if (letter == 'r' && stat(o.argument, &status) == 0) {
            times[0] = status.st_atim;
            times[1] = status.st_mtim;
        } else if (letter == 'd' && o.argument[0] == '@' &&
                   parse_number(o.argument + 1, &seconds)) {
            times[0] = times[1] = (struct timespec){.tv_sec = (time_t)seconds};
        } else if (letter != 'a' && letter != 'm') {
            if (letter == 'r') {
                complain_errno(o.argument);
            } else if (letter != '?') {
                complain("-%c %s: only -d @SECONDS is known", letter, o.argument);
            }
            return 1;
        }
    }
    if (o.operand_count == 0) {
        complain("a file is needed");
        return 1;
    }
    for (int i = 0; i < o.operand_count; i++) {
        const char* path = o.operands[i];
        if (utimensat(AT_FDCWD, path, times[1].tv_nsec == UTIME_NOW ? NULL : times, 0) == 0) {
            continue;
        }
        int fd = errno == ENOENT && create ? open(path, O_WRONLY | O_CREAT, 0666) : -1;
        if (fd < 0 && (create || errno != ENOENT)) {
            complain_errno(path);
            result = 1;
        } else if (fd >= 0) {
            if (times[1].tv_nsec != UTIME_NOW) {
                futimens(fd, times);
            }
            close(fd);
        }
    }
    return result;
}

/* ---- rm ---- */

struct removal {
    bool recursive, force, verbose;
};

static bool remove_one(const struct removal* r, const char* path, bool folder) {
    if ((folder ? rmdir(path) : unlink(path)) != 0) {
        if (!r->force || errno != ENOENT) {
            complain_errno(path);
            return false;
        }
    } else if (r->verbose) {
        putf("removed '%s'\n", path);
    }
    return true;
}

static enum walk rm_visit(struct walker* w, const char* path, const struct stat* status,
                          int depth) {
    (void)depth;
    const struct removal* r = w->context;
    if (S_ISDIR(status->st_mode) && r->recursive) {
        return kWalkInto;
    }
    if (S_ISDIR(status->st_mode)) {
        complain("%s: is a folder (-r removes it)", path);
        w->status = 1;
    } else if (!remove_one(r, path, false)) {
        w->status = 1;
    }
    return kWalkSkip;
}

static enum walk rm_leave(struct walker* w, const char* path, const struct stat* status,
                          int depth) {
    (void)depth, (void)status;
    if (!remove_one(w->context, path, true)) {
        w->status = 1;
    }
    return kWalkInto;
}

static bool is_dot_path(const char* path) {
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    const char* base = path + size;
    while (base > path && base[-1] != '/') {
        base--;
    }
    size -= (size_t)(base - path);
    return (size == 1 && base[0] == '.') || (size == 2 && memcmp(base, "..", 2) == 0) ||
           strspn(path, "/") == strlen(path);
}

int rm_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "rRfiv");
    struct removal r = {0};
    struct walker w = {.visit = rm_visit, .leave = rm_leave, .context = &r};
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?') {
            return 1;
        }
        r.recursive |= letter == 'r' || letter == 'R';
        r.force |= letter == 'f';
        r.verbose |= letter == 'v';
    }
    if (o.operand_count == 0 && !r.force) {
        complain("a file is needed");
        return 1;
    }
    for (int i = 0; i < o.operand_count; i++) {
        struct stat status;
        if (r.force && lstat(o.operands[i], &status) != 0 &&
            (errno == ENOENT || errno == ENOTDIR)) {
            continue;
        }
        if (is_dot_path(o.operands[i])) {
            complain("'%s' is not removed: ., .. and / stay", o.operands[i]);
            w.status = 1;
            continue;
        }
        walk_tree(&w, o.operands[i]);
    }
    return w.status;
}

/* ---- mkdir, rmdir ---- */

static bool make_parents(char* path) {
    for (char* slash = path + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        bool made = mkdir(path, 0777) == 0 || errno == EEXIST;
        struct stat status;
        made = made || (stat(path, &status) == 0 && S_ISDIR(status.st_mode));
        *slash = '/';
        if (!made) {
            return false;
        }
    }
    return true;
}

bool make_folders(const char* path) {
    struct stat status;
    char* copy = scratch_copy(path);
    if (!*copy || !make_parents(copy)) {
        return false;
    }
    return mkdir(path, 0777) == 0 || (stat(path, &status) == 0 && S_ISDIR(status.st_mode));
}

int mkdir_main(int argc, char** argv) {
    static const struct long_option longs[] = {{"parents", 'p'}, {"mode", 'm'}, {0}};
    struct options o = options_of(argc, argv, "pm:v");
    const char* mode_of = NULL;
    bool parents = false;
    mode_t mode = 0;
    int result = 0;
    o.longs = longs;
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?') {
            return 1;
        }
        parents = parents || letter == 'p';
        mode_of = letter == 'm' ? o.argument : mode_of;
    }
    if (mode_of && !mode_parse(mode_of, 0777, true, &mode)) {
        complain("%s: no mode: as 0755, or as u+x,go-w", mode_of);
        return 1;
    }
    if (o.operand_count == 0) {
        complain("a folder is needed");
        return 1;
    }
    for (int i = 0; i < o.operand_count; i++) {
        const char* path = o.operands[i];
        struct stat before;
        bool there = parents && mode_of && stat(path, &before) == 0;
        if (!(parents ? make_folders(path) : mkdir(path, 0777) == 0) ||
            (mode_of && !there && !mode_set(path, mode))) {
            complain_errno(path);
            result = 1;
        }
    }
    return result;
}

int rmdir_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "");
    int result = o.operand_count;
    for (int letter; (letter = options_next(&o));) {
        return 1;
    }
    for (int i = 0; i < o.operand_count; i++) {
        if (rmdir(o.operands[i]) != 0) {
            complain_errno(o.operands[i]);
            result = 1;
        }
    }
    if (o.operand_count == 0) {
        complain("a folder is needed");
        result = 1;
    }
    return result;
}

/* ---- cp, mv ---- */

struct copying {
    bool recursive, force, keep_times, verbose, links, no_clobber;
    char* from; /* the operand, and what it becomes */
    char* to;
    bool entered;
    dev_t device;
    ino_t inode; /* of the target folder: it is not copied into itself */
    bool known;
};

static bool copy_bytes(struct file* from, const char* source, int fd, const char* target) {
    char* part = scratch_get(65536);
    for (;;) {
        ssize_t got = file_read(from, part, 65536);
        if (got <= 0) {
            if (got < 0) {
                complain_errno(source);
            }
            return got == 0;
        }
        for (ssize_t done = 0; done < got;) {
            ssize_t put_now = write(fd, part + done, (size_t)(got - done));
            if (put_now < 0 && errno != EINTR) {
                complain_errno(target);
                return false;
            }
            done += put_now > 0 ? put_now : 0;
        }
    }
}

/* What was made is 0644, or 0755 for a folder: the umask lets no more through, but for -p. */
static bool copy_mode(const struct copying* c, const char* to, const struct stat* status,
                      bool existed) {
    bool folder = S_ISDIR(status->st_mode);
    /* What comes into a folder must get in. */
    mode_t mode = (status->st_mode & (c->keep_times ? 0777 : 0755)) | (folder ? 0700 : 0);
    mode_t made = folder ? 0755 : 0644;
    if ((existed && !c->keep_times) || (!existed && mode == made) || mode_set(to, mode)) {
        return true;
    }
    complain_errno(to);
    return false;
}

static bool copy_file(const struct copying* c, const char* from, const char* to,
                      const struct stat* status) {
    struct stat other;
    bool existed = stat(to, &other) == 0;
    if (existed && other.st_ino == status->st_ino && other.st_dev == status->st_dev) {
        complain("'%s' and '%s' are the same file", from, to);
        return false;
    }
    struct mark mark = scratch_mark();
    struct file* source = file_open(from, O_RDONLY);
    int fd = source ? open(to, O_WRONLY | O_CREAT | O_TRUNC, 0666) : -1;
    if (fd < 0 && source && c->force && unlink(to) == 0) {
        fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    }
    bool fine = fd >= 0;
    if (!fine) {
        complain_errno(source ? to : from);
    } else {
        fine = copy_bytes(source, from, fd, to);
        if (c->keep_times) {
            struct timespec times[2] = {status->st_atim, status->st_mtim};
            futimens(fd, times);
        }
        if (close(fd) != 0 && fine) {
            complain_errno(to);
            fine = false;
        }
    }
    file_drop(source);
    scratch_release(mark);
    return fine && copy_mode(c, to, status, existed);
}

static bool copy_link(const char* from, const char* to) {
    char target[kPathMax];
    ssize_t size = readlink(from, target, sizeof target - 1);
    if (size >= 0) {
        target[size] = '\0';
        unlink(to);
        if (symlink(target, to) == 0) {
            return true;
        }
    }
    complain_errno(size < 0 ? from : to);
    return false;
}

static enum walk cp_visit(struct walker* w, const char* path, const struct stat* status,
                          int depth) {
    struct copying* c = w->context;
    char* to = scratch_format("%s%s", c->to, path + strlen(c->from));
    struct stat other;
    bool exists = stat(to, &other) == 0;
    bool fine = true;
    if (S_ISDIR(status->st_mode)) {
        if (!c->recursive) {
            complain("%s: is a folder (-r copies it)", path);
            w->status = 1;
            return kWalkSkip;
        }
        if (c->known && status->st_ino == c->inode && status->st_dev == c->device) {
            complain("'%s' is not copied into itself", path);
            w->status = 1;
            return kWalkSkip;
        }
        fine = (exists && S_ISDIR(other.st_mode)) || mkdir(to, 0777) == 0;
        if (!fine) {
            complain_errno(to);
        } else if (!copy_mode(c, to, status, exists)) {
            fine = false;
        } else if (depth == 0 && stat(to, &other) == 0) {
            c->known = true;
            c->inode = other.st_ino;
            c->device = other.st_dev;
        }
    } else if (exists && c->no_clobber) {
        return kWalkSkip;
    } else if (S_ISLNK(status->st_mode)) {
        fine = copy_link(path, to);
    } else {
        fine = copy_file(c, path, to, status);
    }
    if (c->verbose && fine) {
        putf("'%s' -> '%s'\n", path, to);
    }
    w->status = fine ? w->status : 1;
    return fine ? kWalkInto : kWalkSkip;
}

static bool copy_tree(struct copying* c, char* from, char* to) {
    struct walker w = {.visit = cp_visit, .context = c};
    w.top_followed = !c->links;
    c->from = from;
    c->to = to;
    c->known = false;
    walk_tree(&w, from);
    return w.status == 0;
}

static bool move_one(struct copying* c, char* from, char* to) {
    struct stat a, b;
    if (lstat(from, &a) != 0) {
        complain_errno(from);
        return false;
    }
    if (c->no_clobber && lstat(to, &b) == 0) {
        return true;
    }
    if (rename(from, to) == 0) {
        return true;
    }
    if (errno != EXDEV) {
        complain("'%s' to '%s': %s", from, to, strerror(errno));
        return false;
    }
    if (!copy_tree(c, from, to)) {
        return false;
    }
    struct removal r = {.recursive = true, .force = true};
    struct walker w = {.visit = rm_visit, .leave = rm_leave, .context = &r};
    walk_tree(&w, from);
    return w.status == 0;
}

static char* without_slashes(const char* path) {
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    return pool_copy(&scratch, path, size);
}

/* For cp, mv and ln: calls act with each operand and what it becomes. */
static int for_targets(struct options* o, struct copying* c, char* folder,
                       bool (*act)(struct copying*, char*, char*)) {
    int count = o->operand_count;
    char* target = folder ? folder : count > 1 ? o->operands[--count] : NULL;
    struct stat status;
    if (!target || count == 0) {
        complain("a source and a target are needed");
        return 1;
    }
    bool into = stat(target, &status) == 0 && S_ISDIR(status.st_mode);
    if (!into && (folder || count > 1)) {
        complain("%s: is no folder", target);
        return 1;
    }
    int result = 0;
    for (int i = 0; i < count && !broken(); i++) {
        char* from = without_slashes(o->operands[i]);
        char* to = into ? join_path(target, base_of(from)) : target;
        result = act(c, from, to) ? result : 1;
    }
    return result;
}

static int copy_or_move(int argc, char** argv, const char* spec,
                        bool (*act)(struct copying*, char*, char*)) {
    static const struct long_option longs[] = {{"recursive", 'r'}, {"force", 'f'}, {0}};
    struct options o = options_of(argc, argv, spec);
    struct copying c = {0};
    char* folder = NULL;
    o.longs = longs;
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?') {
            return 1;
        }
        c.recursive |= letter == 'r' || letter == 'R' || letter == 'a';
        c.links |=
            letter == 'a' || letter == 'd' || letter == 'P' || letter == 'r' || letter == 'R';
        c.keep_times |= letter == 'p' || letter == 'a';
        c.force |= letter == 'f';
        c.verbose |= letter == 'v';
        c.no_clobber |= letter == 'n';
        folder = letter == 't' ? o.argument : folder;
    }
    if (act == move_one) {
        c.recursive = c.links = c.keep_times = c.force = true;
    }
    return for_targets(&o, &c, folder, act);
}

int cp_main(int argc, char** argv) {
    return copy_or_move(argc, argv, "rRafpdPinvt:", copy_tree);
}

int mv_main(int argc, char** argv) {
    return copy_or_move(argc, argv, "finvt:", move_one);
}

/* ---- links, names ---- */

static bool link_one(struct copying* c, char* from, char* to) {
    if (c->force) {
        unlink(to);
    }
    if ((c->links ? symlink(from, to) : link(from, to)) == 0) {
        return true;
    }
    complain("'%s' as '%s': %s", from, to, strerror(errno));
    return false;
}

int ln_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "sfn");
    struct copying c = {0};
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?') {
            return 1;
        }
        c.links |= letter == 's';
        c.force |= letter == 'f';
    }
    return for_targets(&o, &c, o.operand_count == 1 ? "." : NULL, link_one);
}

static int readlink_full(const char* path) {
    char resolved[kPathMax] = "";
    for (int i = 0; i < 40; i++) {
        ssize_t size = readlink(path, resolved, sizeof resolved - 1);
        if (size < 0) {
            break;
        }
        resolved[size] = '\0';
        const char* slash = strrchr(path, '/');
        int folder = resolved[0] == '/' || !slash ? 0 : (int)(slash - path + 1);
        path = scratch_format("%.*s%s", folder, path, resolved);
    }
    putf("%s\n", absolute_path(path)); /* links in the middle stay */
    return 0;
}

int readlink_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "fnem");
    bool full = false;
    int result = 0;
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?') {
            return 1;
        }
        full |= letter == 'f' || letter == 'e' || letter == 'm';
    }
    for (int i = 0; i < o.operand_count; i++) {
        char target[kPathMax];
        if (full) {
            readlink_full(o.operands[i]);
            continue;
        }
        ssize_t size = readlink(o.operands[i], target, sizeof target - 1);
        if (size < 0) {
            result = 1;
            continue;
        }
        put_bytes(target, (size_t)size);
        put_byte('\n');
    }
    return o.operand_count ? result : 1;
}

int basename_main(int argc, char** argv) {
    if (argc < 2 || argc > 3) {
        complain("usage: basename PATH [SUFFIX]");
        return 1;
    }
    char* path = without_slashes(argv[1]);
    char* base = (char*)base_of(path);
    size_t size = strlen(base), cut = argc > 2 ? strlen(argv[2]) : 0;
    if (cut > 0 && cut < size && strcmp(base + size - cut, argv[2]) == 0) {
        size -= cut;
    }
    put_bytes(base, size);
    put_byte('\n');
    return 0;
}

int dirname_main(int argc, char** argv) {
    if (argc < 2) {
        complain("usage: dirname PATH...");
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        char* path = without_slashes(argv[i]);
        char* slash = strrchr(path, '/');
        if (!slash) {
            path = ".";
        } else {
            *slash = '\0';
            path = *path ? without_slashes(path) : "/";
        }
        putf("%s\n", path);
    }
    return 0;
}
