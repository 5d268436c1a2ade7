/* ls and du: what is in a folder. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools.h"

enum { kHalfYearSeconds = 15778476 };

struct listing {
    bool all, almost_all, one, human, recursive, folders, time, size, reverse, slashes, inode;
    bool long_form, columns, numbers, no_owner, no_group;
    int status;
    bool titled, started;
};
struct entry {
    char* name;
    char* path;
    struct stat status;
};

static const struct listing* sorting;

static int compare_entries(const void* a, const void* b) {
    const struct entry *x = a, *y = b;
    int order = 0;
    if (sorting->time) {
        order = x->status.st_mtim.tv_sec != y->status.st_mtim.tv_sec
                    ? (x->status.st_mtim.tv_sec < y->status.st_mtim.tv_sec ? 1 : -1)
                : x->status.st_mtim.tv_nsec != y->status.st_mtim.tv_nsec
                    ? (x->status.st_mtim.tv_nsec < y->status.st_mtim.tv_nsec ? 1 : -1)
                    : 0;
    } else if (sorting->size && x->status.st_size != y->status.st_size) {
        order = x->status.st_size < y->status.st_size ? 1 : -1;
    }
    order = order ? order : strcmp(x->name, y->name);
    return sorting->reverse ? -order : order;
}

static const char* suffix_of(const struct listing* l, const struct entry* entry) {
    return l->slashes && S_ISDIR(entry->status.st_mode) ? "/" : "";
}

/* Texts of the long form, and how wide each column is. */
enum { kColLinks, kColUser, kColGroup, kColSize, kCols };
struct row {
    const char* cells[kCols];
};

static const char* id_text(const struct listing* l, long long id, const char* name) {
    return name && !l->numbers ? name : scratch_format("%lld", id);
}

static struct row row_of(const struct listing* l, const struct stat* status) {
    unsigned long long size = (unsigned long long)status->st_size;
    return (struct row){{scratch_format("%llu", (unsigned long long)status->st_nlink),
                         id_text(l, status->st_uid, user_name(status->st_uid)),
                         id_text(l, status->st_gid, group_name(status->st_gid)),
                         l->human ? human_size(size) : scratch_format("%llu", size)}};
}

static void put_long(const struct listing* l, const struct entry* entry, const int* widths) {
    const struct stat* status = &entry->status;
    struct row row = row_of(l, status);
    char mode[11];
    mode_text(status->st_mode, mode);
    time_t now = time(NULL), at = status->st_mtim.tv_sec;
    bool recent = at <= now + 60 && now - at < kHalfYearSeconds;
    putf("%s %*s ", mode, widths[kColLinks], row.cells[kColLinks]);
    /* Names to the left, numbers to the right. */
    if (!l->no_owner) {
        putf("%*s ", l->numbers ? widths[kColUser] : -widths[kColUser], row.cells[kColUser]);
    }
    if (!l->no_group) {
        putf("%*s ", l->numbers ? widths[kColGroup] : -widths[kColGroup], row.cells[kColGroup]);
    }
    putf("%*s ", widths[kColSize], row.cells[kColSize]);
    put_time(recent ? "%b %e %H:%M" : "%b %e  %Y", at, true);
    putf(" %s%s", entry->name, suffix_of(l, entry));
    if (S_ISLNK(status->st_mode)) {
        char target[kPathMax];
        ssize_t size_read = readlink(entry->path, target, sizeof target - 1);
        if (size_read >= 0) {
            target[size_read] = '\0';
            putf(" -> %s", target);
        }
    }
    put_byte('\n');
}

static void put_columns(const struct listing* l, const struct entry* entries, size_t count) {
    const char* columns = var_get("COLUMNS");
    long long width = 80;
    if (columns && (!parse_number(columns, &width) || width < 1)) {
        width = 80;
    }
    size_t widest = 0;
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(entries[i].name) + strlen(suffix_of(l, &entries[i]));
        widest = size > widest ? size : widest;
    }
    size_t across = (size_t)width / (widest + 2);
    across = across > 0 ? across : 1;
    size_t rows = (count + across - 1) / across;
    for (size_t row = 0; row < rows && !broken(); row++) {
        for (size_t i = row; i < count; i += rows) {
            const char* suffix = suffix_of(l, &entries[i]);
            size_t size = strlen(entries[i].name) + strlen(suffix);
            putf("%s%s%*s", entries[i].name, suffix,
                 i + rows < count ? (int)(widest + 2 - size) : 0, "");
        }
        put_byte('\n');
    }
}

static void put_entries(const struct listing* l, struct entry* entries, size_t count) {
    int widths[kCols] = {0};
    sorting = l;
    if (count > 0) {
        qsort(entries, count, sizeof *entries, compare_entries);
    }
    for (size_t i = 0; i < count && l->long_form; i++) {
        struct mark mark = scratch_mark();
        struct row row = row_of(l, &entries[i].status);
        for (int column = 0; column < kCols; column++) {
            int width = (int)strlen(row.cells[column]);
            widths[column] = width > widths[column] ? width : widths[column];
        }
        scratch_release(mark);
    }
    if (l->columns) {
        put_columns(l, entries, count);
        return;
    }
    for (size_t i = 0; i < count && !broken(); i++) {
        struct mark mark = scratch_mark();
        if (l->inode) {
            putf("%llu ", (unsigned long long)entries[i].status.st_ino);
        }
        if (l->long_form) {
            put_long(l, &entries[i], widths);
        } else {
            putf("%s%s\n", entries[i].name, suffix_of(l, &entries[i]));
        }
        scratch_release(mark);
    }
}

static void list_folder(struct listing* l, const char* path, int depth);

static void list_below(struct listing* l, const struct entry* entries, size_t count, int depth) {
    for (size_t i = 0; i < count && !broken(); i++) {
        bool self = strcmp(entries[i].name, ".") == 0 || strcmp(entries[i].name, "..") == 0;
        if (S_ISDIR(entries[i].status.st_mode) && !self) {
            list_folder(l, entries[i].path, depth + 1);
        }
    }
}

static void list_folder(struct listing* l, const char* path, int depth) {
    struct mark mark = scratch_mark();
    struct fields names = {0};
    if (depth > kTreeDepthMax) {
        complain("%s: folders are nested more than %d deep", path, kTreeDepthMax);
        l->status = 1;
        return;
    }
    if (l->all) {
        fields_add(&names, ".");
        fields_add(&names, "..");
    }
    if (!folder_names(path, &names)) {
        l->status = 2;
        scratch_release(mark);
        return;
    }
    if (l->titled || l->recursive) {
        putf("%s%s:\n", l->started ? "\n" : "", path);
    }
    l->started = true;
    struct entry* entries = scratch_get((names.count + 1) * sizeof *entries);
    size_t count = 0;
    unsigned long long total = 0;
    for (size_t i = 0; i < names.count; i++) {
        struct entry* entry = &entries[count];
        if (names.items[i][0] == '.' && !l->all && !l->almost_all) {
            continue;
        }
        *entry = (struct entry){.name = names.items[i], .path = join_path(path, names.items[i])};
        bool parent = strcmp(entry->name, "..") == 0; /* of the root: not to be reached */
        if (status_of(entry->path, false, &entry->status) != 0 &&
            !(parent && status_of(path, false, &entry->status) == 0)) {
            complain_errno(entry->path);
            l->status = 1;
            continue;
        }
        total += (unsigned long long)entry->status.st_blocks;
        count++;
    }
    if (l->long_form) {
        if (l->human) {
            putf("total %s\n", human_size(total * 512));
        } else {
            putf("total %llu\n", (total + 1) / 2);
        }
    }
    put_entries(l, entries, count);
    if (l->recursive) {
        list_below(l, entries, count, depth);
    }
    scratch_release(mark);
}

static void list_operands(struct listing* l, char** operands, int count) {
    struct entry* files = scratch_get(((size_t)count + 1) * sizeof *files);
    struct entry* folders = scratch_get(((size_t)count + 1) * sizeof *folders);
    size_t file_count = 0, folder_count = 0;
    for (int i = 0; i < count; i++) {
        struct entry entry = {.name = operands[i], .path = operands[i]};
        bool plain = l->folders || l->long_form;
        if ((plain ? -1 : status_of(entry.path, true, &entry.status)) != 0 &&
            status_of(entry.path, false, &entry.status) != 0) {
            complain_errno(entry.path);
            l->status = 2;
        } else if (S_ISDIR(entry.status.st_mode) && !l->folders) {
            folders[folder_count++] = entry;
        } else {
            files[file_count++] = entry;
        }
    }
    put_entries(l, files, file_count);
    l->titled = count > 1;
    l->started = file_count > 0;
    sorting = l;
    qsort(folders, folder_count, sizeof *folders, compare_entries);
    for (size_t i = 0; i < folder_count && !broken(); i++) {
        list_folder(l, folders[i].path, 0);
    }
}

int ls_main(int argc, char** argv) {
    static const struct long_option longs[] = {
        {"color", 0}, {"all", 'a'}, {"human-readable", 'h'}, {0}};
    struct options o = options_of(argc, argv, "aAl1hRdrtSFpinkCsgou");
    struct listing l = {0};
    o.longs = longs;
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?') {
            return 2;
        }
        l.all |= letter == 'a';
        l.almost_all |= letter == 'A';
        l.long_form |= letter == 'l' || letter == 'n' || letter == 'g' || letter == 'o';
        l.numbers |= letter == 'n';
        l.no_owner |= letter == 'g';
        l.no_group |= letter == 'o';
        l.one |= letter == '1';
        l.human |= letter == 'h';
        l.recursive |= letter == 'R';
        l.folders |= letter == 'd';
        l.reverse |= letter == 'r';
        l.time |= letter == 't';
        l.size |= letter == 'S';
        l.slashes |= letter == 'F' || letter == 'p';
        l.inode |= letter == 'i';
        l.columns |= letter == 'C';
    }
    l.columns = !l.long_form && !l.one && !l.inode && (l.columns || file_terminal(fds[1]));
    char* here[] = {"."};
    list_operands(&l, o.operand_count ? o.operands : here, o.operand_count ? o.operand_count : 1);
    return l.status;
}

/* ---- du ---- */

struct usage {
    bool summary, human, all, bytes;
    unsigned long long sums[kTreeDepthMax + 2]; /* of the folders around the visited file */
};

static void put_usage(const struct usage* u, unsigned long long bytes, const char* path) {
    if (u->human) {
        putf("%s\t%s\n", human_size(bytes), path);
    } else {
        putf("%llu\t%s\n", u->bytes ? bytes : (bytes + 1023) / 1024, path);
    }
}

static enum walk du_visit(struct walker* w, const char* path, const struct stat* status,
                          int depth) {
    struct usage* u = w->context;
    unsigned long long bytes = u->bytes ? (unsigned long long)status->st_size
                                        : (unsigned long long)status->st_blocks * 512;
    if (S_ISDIR(status->st_mode)) {
        u->sums[depth] = bytes;
        return kWalkInto;
    }
    if (depth > 0) {
        u->sums[depth - 1] += bytes;
    }
    if (depth == 0 || (u->all && !u->summary)) {
        put_usage(u, bytes, path);
    }
    return kWalkInto;
}

static enum walk du_leave(struct walker* w, const char* path, const struct stat* status,
                          int depth) {
    struct usage* u = w->context;
    (void)status;
    if (depth > 0) {
        u->sums[depth - 1] += u->sums[depth];
    }
    if (depth == 0 || !u->summary) {
        put_usage(u, u->sums[depth], path);
    }
    return kWalkInto;
}

int du_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "shakbmxc");
    struct usage* u = scratch_get(sizeof *u);
    struct walker w = {.visit = du_visit, .leave = du_leave, .context = u};
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?') {
            return 1;
        }
        u->summary |= letter == 's';
        u->human |= letter == 'h';
        u->all |= letter == 'a';
        u->bytes |= letter == 'b';
    }
    if (o.operand_count == 0) {
        o.operands[o.operand_count++] = ".";
    }
    for (int i = 0; i < o.operand_count; i++) {
        walk_tree(&w, o.operands[i]);
    }
    return w.status;
}
