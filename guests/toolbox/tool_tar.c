/* tar: what `kubectl cp` and people use. Writes ustar, with GNU's long names where a name does not
 * fit; reads ustar, GNU long names and pax records. WASI tells no modes and owners: files are 0644,
 * folders 0755, of user 0, and extracting sets times only. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools.h"

enum { kBlock = 512, kLongNameMax = 65536, kPaxBytesMax = 1 << 20 };

bool make_folders(const char* path);

struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100];
    char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct header) == kBlock, "a tar header is one block");

struct member { /* being read */
    char *name, *link;
    unsigned long long size;
    long long mtime;
    char type;
};
struct tar {
    char mode; /* c, x, t */
    const char* archive;
    const char* folder;
    struct file* file;
    bool verbose, untouched_times, keep, to_stdout, follow, stripped, cut;
    int strip;
    int status;
    char** operands;
    int count;
    struct member long_parts; /* names and sizes that an earlier block announced */
    bool has_size, has_time;
};

/* ---- writing ---- */

static void put_octal(char* field, size_t size, unsigned long long value) {
    if (value >> (3 * (size - 1)) == 0) {
        char text[32];
        snprintf(text, sizeof text, "%0*llo", (int)size - 1, value);
        memcpy(field, text, size - 1);
        return;
    }
    field[0] = (char)0x80; /* GNU: binary */
    for (size_t i = size - 1; i > 0; i--) {
        field[i] = (char)(value & 255);
        value >>= 8;
    }
}

static bool write_block(struct tar* t, const void* bytes, size_t size) {
    static const char zeros[kBlock];
    bool fine = file_write(t->file, bytes, size) &&
                file_write(t->file, zeros, (kBlock - size % kBlock) % kBlock);
    if (!fine && !t->cut) {
        complain("%s: %s", t->archive, strerror(errno));
        t->cut = true;
        t->status = 2;
    }
    return fine;
}

static bool write_header(struct tar* t, const char* name, const char* link,
                         const struct stat* status, char type) {
    struct header h = {0};
    memcpy(h.name, name, strnlen(name, sizeof h.name));
    memcpy(h.link, link, strnlen(link, sizeof h.link));
    put_octal(h.mode, sizeof h.mode, type == '5' ? 0755 : type == '2' ? 0777 : 0644);
    put_octal(h.uid, sizeof h.uid, 0);
    put_octal(h.gid, sizeof h.gid, 0);
    put_octal(h.size, sizeof h.size,
              type == '0' || type == 'L' || type == 'K' ? (unsigned long long)status->st_size : 0);
    long long time = (long long)status->st_mtim.tv_sec;
    put_octal(h.mtime, sizeof h.mtime, time > 0 ? (unsigned long long)time : 0);
    h.type = type;
    memcpy(h.magic, "ustar", 6);
    memcpy(h.version, "00", 2);
    memset(h.sum, ' ', sizeof h.sum);
    unsigned sum = 0;
    for (size_t i = 0; i < kBlock; i++) {
        sum += ((unsigned char*)&h)[i];
    }
    snprintf(h.sum, sizeof h.sum, "%06o", sum);
    return write_block(t, &h, kBlock);
}

static bool write_long(struct tar* t, const char* text, char type) {
    struct stat status = {0};
    size_t size = strlen(text) + 1;
    status.st_size = (off_t)size;
    return size <= 100 ||
           (write_header(t, "././@LongLink", "", &status, type) && write_block(t, text, size));
}

static bool write_content(struct tar* t, struct file* from, const char* path, off_t size) {
    char part[8192];
    off_t left = size;
    while (left > 0) {
        size_t want = left < (off_t)sizeof part ? (size_t)left : sizeof part;
        ssize_t got = file_read(from, part, want);
        if (got <= 0) { /* it became shorter: the archive must keep its shape */
            complain("%s: %s", path, got < 0 ? strerror(errno) : "became shorter; filled with zeros");
            t->status = 1;
            memset(part, 0, sizeof part);
            got = (ssize_t)want;
        }
        if (!file_write(t->file, part, (size_t)got)) {
            return write_block(t, part, 0) && false;
        }
        left -= got;
    }
    static const char zeros[kBlock];
    return file_write(t->file, zeros, (size_t)((kBlock - size % kBlock) % kBlock));
}

static const char* stored_name(struct tar* t, const char* path) {
    const char* name = path + strspn(path, "/");
    if (name != path && !t->stripped) {
        complain("a leading / is left out of member names");
        t->stripped = true;
    }
    while (strncmp(name, "../", 3) == 0) {
        name += 3;
    }
    return strcmp(name, "..") == 0 || !*name ? "." : name;
}

static enum walk tar_visit(struct walker* w, const char* path, const struct stat* status, int depth) {
    (void)depth;
    struct tar* t = w->context;
    const char* name = stored_name(t, path);
    char link[kPathMax] = "";
    char type = S_ISDIR(status->st_mode) ? '5' : S_ISLNK(status->st_mode) ? '2' : '0';
    struct file* from = NULL;
    if (type == '2') {
        ssize_t size = readlink(path, link, sizeof link - 1);
        link[size > 0 ? size : 0] = '\0';
    } else if (type == '5') {
        name = name[strlen(name) - 1] == '/' ? name : scratch_format("%s/", name);
    } else if (!S_ISREG(status->st_mode) || !(from = file_open(path, O_RDONLY))) {
        complain("%s: %s", path, S_ISREG(status->st_mode) ? strerror(errno) : "no file: left out");
        t->status = S_ISREG(status->st_mode) ? 2 : t->status;
        return kWalkSkip;
    }
    bool fine = write_long(t, name, 'L') && write_long(t, link, 'K') &&
                write_header(t, name, link, status, type) &&
                (!from || write_content(t, from, path, status->st_size));
    file_drop(from);
    if (t->verbose && fds[2]) {
        struct file* to = t->file == fds[1] ? fds[2] : fds[1];
        file_write(to, name, strlen(name));
        file_write(to, "\n", 1);
    }
    return fine ? kWalkInto : kWalkStop;
}

static void create(struct tar* t) {
    struct walker w = {.visit = tar_visit, .context = t, .follow = t->follow};
    if (t->count == 0) {
        complain("nothing to put into the archive");
        t->status = 2;
        return;
    }
    for (int i = 0; i < t->count && !t->cut; i++) {
        if (strcmp(t->operands[i], "-C") == 0 && i + 1 < t->count) {
            if (chdir(t->operands[++i]) != 0) {
                complain_errno(t->operands[i]);
                t->status = 2;
                return;
            }
            continue;
        }
        size_t size = strlen(t->operands[i]);
        while (size > 1 && t->operands[i][size - 1] == '/') {
            size--;
        }
        walk_tree(&w, pool_copy(&scratch, t->operands[i], size));
    }
    static const char zeros[kBlock];
    for (int i = 0; i < 2 && !t->cut; i++) {
        write_block(t, zeros, kBlock);
    }
    t->status = w.status && !t->status ? 2 : t->status;
}

/* ---- reading ---- */

static bool damaged(struct tar* t, const char* text) {
    complain("%s: %s", t->archive, text);
    t->status = 2;
    t->cut = true;
    return false;
}

static size_t read_full(struct tar* t, char* to, size_t size) {
    size_t done = 0;
    for (ssize_t got; done < size && (got = file_read(t->file, to + done, size - done)) > 0;) {
        done += (size_t)got;
    }
    return done;
}

static unsigned long long get_octal(const char* field, size_t size) {
    unsigned long long value = 0;
    if (field[0] & 0x80) {
        for (size_t i = 1; i < size; i++) {
            value = (value & (UINT64_MAX >> 9)) << 8 | (unsigned char)field[i];
        }
        return value;
    }
    size_t i = 0;
    while (i < size && field[i] == ' ') {
        i++;
    }
    for (; i < size && field[i] >= '0' && field[i] <= '7'; i++) {
        value = value * 8 + (unsigned long long)(field[i] - '0');
    }
    return value;
}

static bool sum_holds(const struct header* h) {
    unsigned sum = 0;
    for (size_t i = 0; i < kBlock; i++) {
        bool inside = i >= offsetof(struct header, sum) && i < offsetof(struct header, type);
        sum += inside ? ' ' : ((const unsigned char*)h)[i];
    }
    return get_octal(h->sum, sizeof h->sum) == sum;
}

/* Content in whole blocks; to == NULL: thrown away. */
static bool copy_content(struct tar* t, unsigned long long size, int fd, struct file* to) {
    char part[8192];
    unsigned long long left = size, padded = (size + kBlock - 1) / kBlock * kBlock;
    bool fine = true;
    while (padded > 0) {
        size_t want = padded < sizeof part ? (size_t)padded : sizeof part;
        if (read_full(t, part, want) != want) {
            return damaged(t, "ends in the middle of a file");
        }
        size_t useful = left < want ? (size_t)left : want;
        left -= useful;
        padded -= want;
        for (size_t done = 0; fine && fd >= 0 && done < useful;) {
            ssize_t now = write(fd, part + done, useful - done);
            fine = now > 0;
            done += fine ? (size_t)now : 0;
        }
        if (to && useful > 0 && !file_write(to, part, useful)) {
            return damaged(t, "cannot write");
        }
    }
    return fine;
}

static char* read_text(struct tar* t, unsigned long long size, unsigned long long most) {
    if (size > most) {
        damaged(t, "a name or a record is too long");
        return NULL;
    }
    size_t padded = ((size_t)size + kBlock - 1) / kBlock * kBlock;
    char* text = scratch_get(padded + 1);
    if (read_full(t, text, padded) != padded) {
        damaged(t, "ends in the middle of a name");
        return NULL;
    }
    text[size] = '\0';
    return text;
}

/* Records `LENGTH KEY=VALUE\n`. */
static bool read_pax(struct tar* t, unsigned long long size, bool global) {
    char* text = read_text(t, size, kPaxBytesMax);
    if (!text) {
        return false;
    }
    for (char *at = text, *end = text + size; at < end && !global;) {
        char* key;
        unsigned long long length = strtoull(at, &key, 10);
        char* equals = length > 0 && *key == ' ' ? memchr(key, '=', (size_t)(end - key)) : NULL;
        if (!equals || length > (unsigned long long)(end - at) || equals >= at + length - 1 ||
            at[length - 1] != '\n') {
            return damaged(t, "a pax record is wrong");
        }
        key++;
        *equals = at[length - 1] = '\0';
        if (strcmp(key, "path") == 0) {
            t->long_parts.name = equals + 1;
        } else if (strcmp(key, "linkpath") == 0) {
            t->long_parts.link = equals + 1;
        } else if (strcmp(key, "size") == 0) {
            t->long_parts.size = strtoull(equals + 1, NULL, 10);
            t->has_size = true;
        } else if (strcmp(key, "mtime") == 0) {
            t->long_parts.mtime = strtoll(equals + 1, NULL, 10);
            t->has_time = true;
        }
        at += length;
    }
    return true;
}

static void fill_member(struct tar* t, const struct header* h, struct member* m) {
    char* name = pool_copy(&scratch, h->name, strnlen(h->name, sizeof h->name));
    if (memcmp(h->magic, "ustar", 6) == 0 && h->prefix[0]) {
        name = scratch_format("%.*s/%s", (int)strnlen(h->prefix, sizeof h->prefix), h->prefix, name);
    }
    *m = (struct member){
        .name = t->long_parts.name ? t->long_parts.name : name,
        .link = t->long_parts.link
                    ? t->long_parts.link
                    : pool_copy(&scratch, h->link, strnlen(h->link, sizeof h->link)),
        .size = t->has_size ? t->long_parts.size : get_octal(h->size, sizeof h->size),
        .mtime = t->has_time ? t->long_parts.mtime : (long long)get_octal(h->mtime, sizeof h->mtime),
        .type = h->type ? h->type : '0'};
    m->type = m->type == '7' ? '0' : m->type;
    if (m->type == '0' && m->name[0] && m->name[strlen(m->name) - 1] == '/') {
        m->type = '5';
    }
    if (m->type >= '1' && m->type <= '6' && m->type != '1') {
        m->size = 0;
    }
    t->long_parts = (struct member){0};
    t->has_size = t->has_time = false;
}

/* Where a member goes, below the present folder; NULL: nowhere. */
static const char* safe_name(struct tar* t, const char* name) {
    for (int i = 0; i < t->strip; i++) {
        const char* slash = strchr(name, '/');
        if (!slash) {
            return NULL;
        }
        name = slash + 1;
    }
    name += strspn(name, "/");
    for (const char* part = name; *part;) {
        size_t size = strcspn(part, "/");
        if (size == 2 && memcmp(part, "..", 2) == 0) {
            complain("%.200s: left out, for it names ..", name);
            t->status = 2;
            return NULL;
        }
        part += size + (part[size] == '/');
    }
    size_t size = strlen(name);
    while (size > 0 && name[size - 1] == '/') {
        size--;
    }
    return size > 0 ? pool_copy(&scratch, name, size) : NULL;
}

static void member_failed(struct tar* t, const char* name) {
    complain_errno(name);
    t->status = 2;
}

static int create_file(const char* name) {
    struct stat status;
    if (lstat(name, &status) == 0 && !S_ISDIR(status.st_mode)) {
        unlink(name); /* never through a link */
    }
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    const char* slash = strrchr(name, '/');
    if (fd < 0 && errno == ENOENT && slash &&
        make_folders(pool_copy(&scratch, name, (size_t)(slash - name)))) {
        fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    }
    return fd;
}

static bool extract_file(struct tar* t, const struct member* m, const char* name) {
    struct stat status;
    if (t->keep && lstat(name, &status) == 0) {
        return copy_content(t, m->size, -1, NULL);
    }
    int fd = create_file(name);
    if (fd < 0) {
        member_failed(t, name);
        return copy_content(t, m->size, -1, NULL);
    }
    bool fine = copy_content(t, m->size, fd, NULL);
    if (!fine && !t->cut) {
        member_failed(t, name);
    }
    if (!t->untouched_times) {
        struct timespec at = {.tv_sec = (time_t)m->mtime};
        futimens(fd, (struct timespec[2]){at, at});
    }
    if (close(fd) != 0 && fine) {
        member_failed(t, name);
    }
    return !t->cut;
}

static bool extract_link(struct tar* t, const struct member* m, const char* name) {
    const char* slash = strrchr(name, '/');
    if (slash) {
        make_folders(pool_copy(&scratch, name, (size_t)(slash - name)));
    }
    unlink(name);
    const char* target = m->type == '1' ? safe_name(t, m->link) : m->link;
    if (target && (m->type == '2' ? symlink(target, name) : link(target, name)) != 0) {
        member_failed(t, name);
    }
    return copy_content(t, m->size, -1, NULL);
}

static bool extract(struct tar* t, const struct member* m) {
    const char* name = safe_name(t, m->name);
    bool other = !strchr("0125", m->type);
    if (other) {
        complain("%.200s: a member of type %c is left out", m->name, m->type);
    }
    if (!name || other) {
        return copy_content(t, m->size, -1, NULL);
    }
    if (t->verbose) {
        putf("%s\n", m->name);
    }
    if (m->type == '5') {
        if (!make_folders(name)) {
            member_failed(t, name);
        }
        return copy_content(t, m->size, -1, NULL);
    }
    if (m->type != '0') {
        return extract_link(t, m, name);
    }
    return t->to_stdout ? copy_content(t, m->size, -1, fds[1]) : extract_file(t, m, name);
}

static bool list(struct tar* t, const struct member* m) {
    if (t->verbose) {
        putf("%c????????? ?/? %10llu ", m->type == '5' ? 'd' : m->type == '2' ? 'l' : '-', m->size);
        put_time("%Y-%m-%d %H:%M ", (time_t)m->mtime, true);
    }
    putf("%s%s%s\n", m->name, t->verbose && m->type == '2' ? " -> " : "",
         t->verbose && m->type == '2' ? m->link : "");
    return copy_content(t, m->size, -1, NULL);
}

static bool is_wanted(const struct tar* t, const char* name) {
    for (int i = 0; i < t->count; i++) {
        size_t size = strlen(t->operands[i]);
        while (size > 1 && t->operands[i][size - 1] == '/') {
            size--;
        }
        if (strncmp(name, t->operands[i], size) == 0 && (!name[size] || name[size] == '/')) {
            return true;
        }
    }
    return t->count == 0;
}

/* One block and what belongs to it; false: the end. */
static bool read_member(struct tar* t, int* empty) {
    struct header h;
    size_t got = read_full(t, (char*)&h, kBlock);
    if (got == 0 && t->status == 0 && *empty == 0) {
        return damaged(t, "ends without its two last blocks of zeros");
    }
    if (got != kBlock) {
        return got != 0 && damaged(t, "ends in the middle of a block");
    }
    static const char zeros[kBlock];
    if (memcmp(&h, zeros, kBlock) == 0) {
        return ++*empty < 2;
    }
    *empty = 0;
    if (memcmp(&h, "\x1f\x8b", 2) == 0) {
        return damaged(t, "is compressed: unpack it outside, with gunzip");
    }
    if (!sum_holds(&h)) {
        return damaged(t, "is no tar archive, or damaged: the sum of a header is wrong");
    }
    unsigned long long size = get_octal(h.size, sizeof h.size);
    if (h.type == 'x' || h.type == 'g') {
        return read_pax(t, size, h.type == 'g');
    }
    if (h.type == 'L' || h.type == 'K') {
        char* text = read_text(t, size, kLongNameMax);
        *(h.type == 'L' ? &t->long_parts.name : &t->long_parts.link) = text;
        return text != NULL;
    }
    struct member m;
    fill_member(t, &h, &m);
    if (!is_wanted(t, m.name)) {
        return copy_content(t, m.size, -1, NULL);
    }
    return (t->mode == 't' ? list(t, &m) : extract(t, &m)) && !(t->mode == 't' && broken());
}

static void read_archive(struct tar* t) {
    int empty = 0;
    struct mark mark = scratch_mark();
    while (read_member(t, &empty)) {
        if (!t->long_parts.name && !t->long_parts.link) {
            scratch_release(mark);
        }
    }
    scratch_release(mark);
}

/* ---- options ---- */

static bool tar_option(struct tar* t, int letter, char* argument) {
    switch (letter) {
        case 'c':
        case 'x':
        case 't':
            t->mode = (char)letter;
            return true;
        case 'f':
            t->archive = argument;
            return true;
        case 'C':
            t->folder = argument;
            return true;
        case 'm':
            t->untouched_times = true;
            return true;
        case 'v':
            t->verbose = true;
            return true;
        case 'k':
            t->keep = true;
            return true;
        case 'O':
            t->to_stdout = true;
            return true;
        case 'h':
            t->follow = true;
            return true;
        case 'S': {
            long long count;
            bool fine = parse_number(argument, &count) && count >= 0 && count <= 100;
            t->strip = fine ? (int)count : 0;
            return fine;
        }
        case 'z':
        case 'j':
        case 'J':
            complain("-%c: compressed archives are not known here: compress outside", letter);
            return false;
        default:
            return letter != '?'; /* p, o: modes and owners are never kept */
    }
}

static bool tar_open(struct tar* t) {
    if (strcmp(t->archive, "-") == 0) {
        t->file = file_hold(fds[t->mode == 'c' ? 1 : 0]);
    } else {
        t->file = file_open(t->archive, t->mode == 'c' ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY);
    }
    if (!t->file) {
        complain_errno(t->archive);
        return false;
    }
    if (t->mode == 'c' && file_terminal(t->file)) {
        complain("an archive is not written to a terminal: name a file with f");
        return false;
    }
    if (t->folder && chdir(t->folder) != 0) {
        complain_errno(t->folder);
        return false;
    }
    return true;
}

int tar_main(int argc, char** argv) {
    static const struct long_option longs[] = {{"no-same-permissions", 0}, {"no-same-owner", 0},
                                               {"same-permissions", 0},    {"create", 'c'},
                                               {"extract", 'x'},           {"list", 't'},
                                               {"file", 'f'},              {"directory", 'C'},
                                               {"verbose", 'v'},           {"gzip", 'z'},
                                               {"touch", 'm'},             {"keep-old-files", 'k'},
                                               {"strip-components", 'S'},  {"warning", 0},
                                               {"dereference", 'h'},       {0}};
    if (argc > 1 && argv[1][0] != '-') { /* tar cf - x, as in old times */
        argv[1] = scratch_format("-%s", argv[1]);
    }
    struct options o = options_of(argc, argv, "cxtf:C:mvkOhS:zjJpo");
    struct tar* t = scratch_get(sizeof *t);
    o.longs = longs;
    t->archive = "-";
    for (int letter; (letter = options_next(&o));) {
        /* between operands of c it changes the folder for the rest */
        if (letter == 'C' && t->mode == 'c' && o.operand_count > 0) {
            o.operands[o.operand_count++] = "-C";
            o.operands[o.operand_count++] = o.argument;
        } else if (!tar_option(t, letter, o.argument)) {
            return 2;
        }
    }
    if (!t->mode) {
        complain("usage: tar c|x|t [f ARCHIVE] [-C FOLDER] [PATH...]");
        return 2;
    }
    t->operands = o.operands;
    t->count = o.operand_count;
    char before[kPathMax];
    bool known = getcwd(before, sizeof before) != NULL;
    if (!tar_open(t)) {
        t->status = 2;
    } else if (t->mode == 'c') {
        create(t);
    } else {
        read_archive(t);
    }
    file_drop(t->file);
    if (known) {
        (void)!chdir(before);
    }
    return t->status;
}
