/* Open files. WASI can neither duplicate a descriptor nor make a pipe, so the shell's descriptors
 * are pointers to counted files, and a pipe is a list of blocks in memory. All output of all
 * commands goes through here; it is written out after each command, before a wait and when a buffer
 * is full. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "toolbox.h"

enum { kBlockBytes = 16384, kBufferBytes = 8192 };
enum file_kind { kFileFd, kFilePipe, kFileNull };

struct block {
    struct block* next;
    size_t used, at;
    char bytes[kBlockBytes];
};

struct file {
    int refs;
    enum file_kind kind;
    int fd;
    bool terminal, failed;
    char *in, *out; /* kFileFd; made at first use */
    size_t in_at, in_end, out_end;
    struct block *first, *last; /* kFilePipe */
    size_t held;
    bool unlimited;
};

struct file* fds[kFds];
bool output_failed;

static struct file* file_new(enum file_kind kind) {
    struct file* file = keep(sizeof *file);
    *file = (struct file){.refs = 1, .kind = kind, .fd = -1};
    return file;
}

struct file* file_of(int fd) {
    struct file* file = file_new(kFileFd);
    file->fd = fd;
    file->terminal = isatty(fd) == 1;
    return file;
}

struct file* file_pipe(void) {
    return file_new(kFilePipe);
}

struct file* file_null(void) {
    return file_new(kFileNull);
}

struct file* file_text(const char* text, size_t size) {
    struct file* file = file_new(kFilePipe);
    file->unlimited = true;
    file_write(file, text, size);
    return file;
}

void io_start(void) {
    for (int fd = 0; fd < 3; fd++) {
        fds[fd] = file_of(fd);
    }
}

struct file* file_hold(struct file* file) {
    if (file) {
        file->refs++;
    }
    return file;
}

void file_drop(struct file* file) {
    if (!file || --file->refs > 0) {
        return;
    }
    file_flush(file);
    if (file->kind == kFileFd && file->fd > 2) {
        close(file->fd);
    }
    while (file->first) {
        struct block* next = file->first->next;
        free(file->first);
        file->first = next;
    }
    free(file->in);
    free(file->out);
    free(file);
}

/* A container rarely has a /dev: its few files that scripts name are known here. */
static struct file* device_open(const char* path) {
    if (strcmp(path, "/dev/null") == 0) {
        return file_null();
    }
    static const char* const names[] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};
    for (int fd = 0; fd < 3; fd++) {
        if (strcmp(path, names[fd]) == 0 && fds[fd]) {
            return file_hold(fds[fd]);
        }
    }
    return NULL;
}

struct file* file_open(const char* path, int flags) {
    struct file* device = device_open(path);
    if (device) {
        return device;
    }
    if (path[0] == '\0') {
        errno = ENOENT;
        return NULL;
    }
    int fd = open(path, flags, 0666);
    if (fd < 0) {
        return NULL;
    }
    struct stat status;
    if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
        close(fd);
        errno = EISDIR;
        return NULL;
    }
    return file_of(fd);
}

static ssize_t pipe_read(struct file* file, char* to, size_t size) {
    struct block* block = file->first;
    if (!block) {
        return 0;
    }
    size_t part = block->used - block->at;
    part = part < size ? part : size;
    memcpy(to, block->bytes + block->at, part);
    block->at += part;
    file->held -= part;
    if (block->at == block->used) {
        file->first = block->next;
        file->last = file->first ? file->last : NULL;
        free(block);
    }
    return (ssize_t)part;
}

static bool fill(struct file* file) {
    if (!file->in) {
        file->in = keep(kBufferBytes);
    }
    flush_all();
    ssize_t got;
    do {
        got = read(file->fd, file->in, kBufferBytes);
        if (got < 0 && errno == EAGAIN) {
            struct pollfd wait = {.fd = file->fd, .events = POLLIN};
            poll(&wait, 1, -1);
            errno = EINTR;
        }
    } while (got < 0 && errno == EINTR);
    file->in_at = 0;
    file->in_end = got > 0 ? (size_t)got : 0;
    return got >= 0;
}

ssize_t file_read(struct file* file, char* to, size_t size) {
    if (!file) {
        errno = EBADF;
        return -1;
    }
    if (file->kind == kFileNull || size == 0) {
        return 0;
    }
    if (file->kind == kFilePipe) {
        return pipe_read(file, to, size);
    }
    if (file->in_at == file->in_end && !fill(file)) {
        return -1;
    }
    size_t part = file->in_end - file->in_at;
    part = part < size ? part : size;
    if (part > 0) {
        memcpy(to, file->in + file->in_at, part);
        file->in_at += part;
    }
    return (ssize_t)part;
}

/* What SIGPIPE does elsewhere: a writer that nobody can read any more is ended. */
static void end_writer(void) {
    sh.status = kKilledStatus;
    sh.killed = true;
    sh.unwind = kUnwindExit;
}

static bool write_out(struct file* file, const char* bytes, size_t size) {
    while (size > 0 && !file->failed) {
        ssize_t done = write(file->fd, bytes, size);
        if (done < 0 && errno == EAGAIN) {
            struct pollfd wait = {.fd = file->fd, .events = POLLOUT};
            poll(&wait, 1, -1);
            continue;
        }
        if (done < 0 && errno != EINTR) {
            file->failed = output_failed = true;
            int code = errno;
            if (code == EPIPE || (code == EIO && file->fd == 1)) { /* engines differ */
                end_writer();
            } else if (file != fds[2]) {
                complain("write error: %s", strerror(code));
            }
            errno = code;
        } else if (done > 0) {
            bytes += done;
            size -= (size_t)done;
        }
    }
    return !file->failed;
}

bool file_flush(struct file* file) {
    size_t size = file->out_end;
    file->out_end = 0;
    return size == 0 || write_out(file, file->out, size);
}

static bool pipe_overflow(struct file* file) {
    if (!file->failed) {
        file->failed = true;
        complain("a pipe or $( ) holds at most %d bytes; its writer was ended", kPipeBytesMax);
    }
    end_writer();
    errno = EPIPE;
    return false;
}

static bool pipe_write(struct file* file, const char* bytes, size_t size) {
    if (file->failed || (!file->unlimited && size > kPipeBytesMax - file->held)) {
        return pipe_overflow(file);
    }
    while (size > 0) {
        if (!file->last || file->last->used == kBlockBytes) {
            struct block* block = keep(sizeof *block);
            block->next = NULL;
            block->used = block->at = 0;
            *(file->last ? &file->last->next : &file->first) = block;
            file->last = block;
        }
        size_t part = kBlockBytes - file->last->used;
        part = part < size ? part : size;
        memcpy(file->last->bytes + file->last->used, bytes, part);
        file->last->used += part;
        file->held += part;
        bytes += part;
        size -= part;
    }
    return true;
}

bool file_write(struct file* file, const char* bytes, size_t size) {
    if (!file) {
        errno = EBADF;
        return false;
    }
    if (file->kind == kFileNull || size == 0) {
        return true;
    }
    if (file->kind == kFilePipe) {
        return pipe_write(file, bytes, size);
    }
    if (file->failed) {
        output_failed = true;
        errno = EIO;
        return false;
    }
    if (!file->out) {
        file->out = keep(kBufferBytes);
    }
    if (file->out_end + size > kBufferBytes && !file_flush(file)) {
        return false;
    }
    if (size >= kBufferBytes) {
        return write_out(file, bytes, size);
    }
    memcpy(file->out + file->out_end, bytes, size);
    file->out_end += size;
    return true;
}

bool file_terminal(struct file* file) {
    return file && file->terminal;
}

int file_handle(struct file* file) {
    return file && file->kind == kFileFd ? file->fd : -1;
}

off_t file_skip_to_end(struct file* file, off_t back) {
    struct stat status;
    if (file_handle(file) < 0 || file->in_end > 0 || fstat(file->fd, &status) != 0 ||
        !S_ISREG(status.st_mode)) {
        return -1;
    }
    return lseek(file->fd, status.st_size > back ? status.st_size - back : 0, SEEK_SET);
}

void flush_all(void) {
    for (int fd = 0; fd < kFds; fd++) {
        if (fds[fd] && fds[fd]->out_end > 0) {
            file_flush(fds[fd]);
        }
    }
}

bool read_line(struct reader* reader, struct str* line) {
    struct file* file = reader->file;
    line->n = 0;
    reader->ended = false;
    for (;;) {
        bool pipe = file && file->kind == kFilePipe;
        if (file && file->kind == kFileFd && file->in_at == file->in_end && !fill(file)) {
            complain_errno(reader->name);
            *reader->status = 1;
            return line->n > 0;
        }
        const char* from = pipe ? NULL : file && file->in ? file->in + file->in_at : NULL;
        size_t size = file && !pipe ? file->in_end - file->in_at : 0;
        if (pipe && file->first) {
            from = file->first->bytes + file->first->at;
            size = file->first->used - file->first->at;
        }
        if (size == 0) {
            return line->n > 0;
        }
        const char* newline = memchr(from, '\n', size);
        size_t part = newline ? (size_t)(newline - from) : size;
        if (part > kLineBytesMax - line->n) {
            complain("%s: a line is longer than %d bytes", reader->name, kLineBytesMax);
            *reader->status = 1;
            return false;
        }
        str_add(line, from, part);
        part += newline ? 1 : 0;
        if (pipe) {
            file->first->at += part - 1; /* the last byte by the function that frees blocks */
            file->held -= part - 1;
            char last;
            pipe_read(file, &last, 1);
        } else {
            file->in_at += part;
        }
        if (newline) {
            reader->ended = true;
            return true;
        }
    }
}

struct file* open_operand(const char* path) {
    if (strcmp(path, "-") == 0 && fds[0]) {
        return file_hold(fds[0]);
    }
    struct file* file = file_open(path, O_RDONLY);
    if (!file) {
        complain_errno(path);
    }
    return file;
}

struct str read_all(struct file* file, const char* name, size_t max, int* status) {
    struct str all = {0};
    char part[4096];
    ssize_t got;
    while ((got = file_read(file, part, sizeof part)) > 0) {
        if ((size_t)got > max - all.n) {
            complain("%s: more than %zu bytes", name, max);
            *status = 1;
            return all;
        }
        str_add(&all, part, (size_t)got);
    }
    if (got < 0) {
        complain_errno(name);
        *status = 1;
    }
    return all;
}

void put_bytes(const char* bytes, size_t size) {
    if (!file_write(fds[1], bytes, size) && !fds[1]) {
        if (!output_failed) {
            complain("write error: %s", strerror(EBADF));
        }
        output_failed = true;
    }
}

void put_byte(char byte) {
    put_bytes(&byte, 1);
}

void put(const char* text) {
    put_bytes(text, strlen(text));
}

static void write_format(struct file* file, const char* format, va_list list) {
    char small[512];
    va_list again;
    va_copy(again, list);
    int size = vsnprintf(small, sizeof small, format, list);
    if (size >= (int)sizeof small) {
        char* large = keep((size_t)size + 1);
        vsnprintf(large, (size_t)size + 1, format, again);
        file_write(file, large, (size_t)size);
        free(large);
    } else if (size > 0) {
        file_write(file, small, (size_t)size);
    }
    va_end(again);
}

void putf(const char* format, ...) {
    va_list list;
    va_start(list, format);
    write_format(fds[1], format, list);
    va_end(list);
}

void complain(const char* format, ...) {
    struct file* to = fds[2];
    if (!to || to->failed) {
        return;
    }
    file_write(to, tool_name, strlen(tool_name));
    file_write(to, ": ", 2);
    va_list list;
    va_start(list, format);
    write_format(to, format, list);
    va_end(list);
    file_write(to, "\n", 1);
}

void complain_errno(const char* subject) {
    complain("%s: %s", subject, strerror(errno));
}

bool broken(void) {
    return sh.unwind != kUnwindNone || !fds[1] || fds[1]->failed;
}
