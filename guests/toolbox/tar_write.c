/* Writing of tar archives: ustar, with GNU's long names where a name does not fit. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tar.h"

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
    put_octal(h.mode, sizeof h.mode, status->st_mode & 07777);
    put_octal(h.uid, sizeof h.uid, status->st_uid);
    put_octal(h.gid, sizeof h.gid, status->st_gid);
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
            complain("%s: %s", path,
                     got < 0 ? strerror(errno) : "became shorter; filled with zeros");
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

static enum walk tar_visit(struct walker* w, const char* path, const struct stat* status,
                           int depth) {
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

void tar_create(struct tar* t) {
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
