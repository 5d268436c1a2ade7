/* tar: what `kubectl cp` and people use. Writes ustar, with GNU's long names where a name does not
 * fit; reads ustar, GNU long names and pax records. What is unpacked belongs to who unpacks it,
 * with the permissions of the archive, less those that the umask takes unless p is asked for. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tar.h"

bool make_folders(const char* path);

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
        name =
            scratch_format("%.*s/%s", (int)strnlen(h->prefix, sizeof h->prefix), h->prefix, name);
    }
    *m = (struct member){
        .name = t->long_parts.name ? t->long_parts.name : name,
        .link = t->long_parts.link ? t->long_parts.link
                                   : pool_copy(&scratch, h->link, strnlen(h->link, sizeof h->link)),
        .size = t->has_size ? t->long_parts.size : get_octal(h->size, sizeof h->size),
        .mtime =
            t->has_time ? t->long_parts.mtime : (long long)get_octal(h->mtime, sizeof h->mtime),
        .mode = (unsigned)get_octal(h->mode, sizeof h->mode) & 07777,
        .uid = (unsigned)get_octal(h->uid, sizeof h->uid),
        .gid = (unsigned)get_octal(h->gid, sizeof h->gid),
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

/* Its owner can go on working with it; without setuid, setgid and sticky bits. */
static void restore_mode(struct tar* t, const struct member* m, const char* name) {
    bool folder = m->type == '5';
    mode_t mode = (m->mode & (t->same_modes ? 0777 : 0755)) | (folder ? 0700 : 0);
    if (mode != (folder ? 0755 : 0644) && !mode_set(name, mode)) {
        member_failed(t, name);
    }
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
    restore_mode(t, m, name);
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
        struct stat status;
        bool there = stat(name, &status) == 0;
        if (!make_folders(name)) {
            member_failed(t, name);
        } else if (!there) {
            restore_mode(t, m, name);
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
        mode_t kind = m->type == '5' ? S_IFDIR : m->type == '2' ? S_IFLNK : S_IFREG;
        char mode[11];
        mode_text(kind | m->mode, mode);
        putf("%s %u/%u %10llu ", mode, m->uid, m->gid, m->size);
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
            t->same_modes |= letter == 'p';
            return letter != '?'; /* o: owners are never kept */
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
    static const struct long_option longs[] = {{"no-same-permissions", 0},
                                               {"no-same-owner", 0},
                                               {"same-permissions", 'p'},
                                               {"create", 'c'},
                                               {"extract", 'x'},
                                               {"list", 't'},
                                               {"file", 'f'},
                                               {"directory", 'C'},
                                               {"verbose", 'v'},
                                               {"gzip", 'z'},
                                               {"touch", 'm'},
                                               {"keep-old-files", 'k'},
                                               {"strip-components", 'S'},
                                               {"warning", 0},
                                               {"dereference", 'h'},
                                               {0}};
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
        tar_create(t);
    } else {
        read_archive(t);
    }
    file_drop(t->file);
    if (known) {
        (void)!chdir(before);
    }
    return t->status;
}
