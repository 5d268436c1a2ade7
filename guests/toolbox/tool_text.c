/* cat, head, tail, wc, tee, cut, tr: files as streams. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools.h"

/* Calls act for each operand, or for standard input; its status is the worst. */
static int for_files(struct options* o, int (*act)(struct file*, const char* name, void*),
                     void* context) {
    static char* const input[] = {"-"};
    char* const* names = o->operand_count ? o->operands : input;
    int count = o->operand_count ? o->operand_count : 1, result = 0;
    for (int i = 0; i < count && !broken(); i++) {
        struct mark mark = scratch_mark();
        struct file* file = open_operand(names[i]);
        int status = file ? act(file, names[i], context) : 1;
        result = status > result ? status : result;
        file_drop(file);
        scratch_release(mark);
    }
    return result;
}

static int copy_out(struct file* file, const char* name, long long most) {
    char part[8192];
    while (most != 0 && !broken()) {
        size_t want = most > 0 && most < (long long)sizeof part ? (size_t)most : sizeof part;
        ssize_t got = file_read(file, part, want);
        if (got < 0) {
            complain_errno(name);
        }
        if (got <= 0) {
            return got < 0;
        }
        put_bytes(part, (size_t)got);
        most -= most > 0 ? got : 0;
    }
    return 0;
}

struct cat {
    bool number, not_blank, ends;
    unsigned long long line;
};

static int cat_file(struct file* file, const char* name, void* context) {
    struct cat* cat = context;
    if (!cat->number && !cat->ends && !cat->not_blank) {
        return copy_out(file, name, -1);
    }
    int status = 0;
    struct str line = {0};
    struct reader reader = {.file = file, .name = name, .status = &status};
    while (!broken() && read_line(&reader, &line)) {
        if (cat->number && !(cat->not_blank && line.n == 0)) {
            putf("%6llu\t", ++cat->line);
        }
        put_bytes(line.s, line.n);
        put(!reader.ended ? "" : cat->ends ? "$\n" : "\n");
    }
    return status;
}

int cat_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "nbueEvAtT");
    struct cat cat = {0};
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?') {
            return 1;
        }
        cat.number |= letter == 'n' || letter == 'b';
        cat.not_blank |= letter == 'b';
        cat.ends |= letter == 'E' || letter == 'e' || letter == 'A';
    }
    return for_files(&o, cat_file, &cat);
}

/* ---- head, tail ---- */

struct part {
    long long count;
    bool bytes, from_start, follow, titles, quiet, verbose, started;
};

/* -5 as in old times becomes -n 5. */
static char** modern_words(int* argc, char** argv) {
    if (*argc < 2 || argv[1][0] != '-' || argv[1][1] < '0' || argv[1][1] > '9') {
        return argv;
    }
    char** words = scratch_get(((size_t)*argc + 2) * sizeof *words);
    words[0] = argv[0];
    words[1] = "-n";
    words[2] = argv[1] + 1;
    for (int i = 2; i <= *argc; i++) {
        words[i + 1] = i < *argc ? argv[i] : NULL;
    }
    ++*argc;
    return words;
}

static bool part_options(struct options* o, struct part* part) {
    for (int letter; (letter = options_next(o));) {
        if (letter == '?') {
            return false;
        }
        if (letter == 'n' || letter == 'c') {
            part->bytes = letter == 'c';
            part->from_start = o->argument[0] == '+';
            if (!parse_size(o->argument + (o->argument[0] == '+' || o->argument[0] == '-'),
                            &part->count)) {
                complain("-%c %s: a number is needed", letter, o->argument);
                return false;
            }
            part->count = o->argument[0] == '-' && o->spec[0] == 'h' ? -part->count : part->count;
        }
        part->follow |= letter == 'f' || letter == 'F';
        part->quiet |= letter == 'q';
        part->verbose |= letter == 'v';
    }
    part->titles = (o->operand_count > 1 || part->verbose) && !part->quiet;
    return true;
}

static void put_title(struct part* part, const char* name) {
    if (part->titles) {
        putf("%s==> %s <==\n", part->started ? "\n" : "",
             strcmp(name, "-") ? name : "standard input");
    }
    part->started = true;
}

static int head_file(struct file* file, const char* name, void* context) {
    struct part* part = context;
    put_title(part, name);
    if (part->bytes) {
        return copy_out(file, name, part->count);
    }
    int status = 0;
    struct str line = {0};
    struct reader reader = {.file = file, .name = name, .status = &status};
    for (long long i = 0; i < part->count && !broken() && read_line(&reader, &line); i++) {
        put_bytes(line.s, line.n);
        put(reader.ended ? "\n" : "");
    }
    return status;
}

int head_main(int argc, char** argv) {
    argv = modern_words(&argc, argv);
    struct options o = options_of(argc, argv, "hn:c:qv");
    struct part part = {.count = 10};
    if (!part_options(&o, &part)) {
        return 1;
    }
    if (part.count < 0) {
        complain("a count below zero is not known here");
        return 1;
    }
    return for_files(&o, head_file, &part);
}

/* The last bytes or lines of what cannot be sought: a ring of what was read. */
static int tail_ring(struct file* file, const char* name, const struct part* part) {
    int status = 0;
    struct str all = read_all(file, name, 256u << 20, &status);
    size_t start = all.n;
    if (part->bytes) {
        start -= (unsigned long long)part->count < all.n ? (size_t)part->count : all.n;
    } else if (part->count > 0) {
        long long lines = 0;
        start -= all.n > 0 && all.s[all.n - 1] == '\n' ? 1 : 0;
        while (start > 0 && !(all.s[start - 1] == '\n' && ++lines == part->count)) {
            start--;
        }
    }
    put_bytes(all.s + start, all.n - start);
    return status;
}

/* For a regular file: reads backwards in steps until enough lines are behind the position. */
static bool tail_seek(struct file* file, const struct part* part) {
    off_t end = file_skip_to_end(file, 0);
    int fd = file_handle(file);
    if (end < 0) {
        return false;
    }
    off_t at = end;
    long long lines = 0;
    char piece[4096];
    if (part->bytes) {
        return file_skip_to_end(file, (off_t)part->count) >= 0;
    }
    while (at > 0 && part->count > 0) {
        off_t size = at < (off_t)sizeof piece ? at : (off_t)sizeof piece;
        at -= size;
        ssize_t got = pread(fd, piece, (size_t)size, at);
        for (ssize_t i = got - 1; i >= 0; i--) {
            if (piece[i] == '\n' && at + i != end - 1 && ++lines == part->count) {
                return lseek(fd, at + i + 1, SEEK_SET) >= 0;
            }
        }
        if (got <= 0) {
            break;
        }
    }
    return lseek(fd, part->count > 0 ? at : end, SEEK_SET) >= 0;
}

static int tail_from(struct file* file, const char* name, const struct part* part) {
    int status = 0;
    long long skip = part->count - 1;
    struct str line = {0};
    struct reader reader = {.file = file, .name = name, .status = &status};
    char byte;
    while (skip > 0 && (part->bytes ? file_read(file, &byte, 1) == 1 : read_line(&reader, &line))) {
        skip--;
    }
    return copy_out(file, name, -1) | status;
}

static void follow(struct file* file, const char* name) {
    struct stat status;
    off_t seen = 0;
    while (!broken()) {
        flush_all();
        struct timespec wait = {.tv_nsec = 500000000};
        nanosleep(&wait, NULL);
        int fd = file_handle(file);
        if (fd > 2 && fstat(fd, &status) == 0) {
            if (status.st_size < seen) {
                complain("%s: was cut short; from its start", name);
                lseek(fd, 0, SEEK_SET);
            }
            seen = status.st_size;
        } else if (fd < 0) {
            return; /* a pipe of ours: its writer is done */
        }
        if (copy_out(file, name, -1) != 0) {
            return;
        }
    }
}

static int tail_file(struct file* file, const char* name, void* context) {
    struct part* part = context;
    int status;
    put_title(part, name);
    if (part->from_start) {
        status = tail_from(file, name, part);
    } else if (tail_seek(file, part)) {
        status = copy_out(file, name, -1);
    } else {
        status = tail_ring(file, name, part);
    }
    if (part->follow) {
        follow(file, name);
    }
    return status;
}

int tail_main(int argc, char** argv) {
    argv = modern_words(&argc, argv);
    struct options o = options_of(argc, argv, "n:c:fFqv");
    struct part part = {.count = 10};
    if (!part_options(&o, &part)) {
        return 1;
    }
    if (part.follow && o.operand_count > 1) {
        complain("-f follows one file: there are no processes for more");
        return 1;
    }
    return for_files(&o, tail_file, &part);
}

/* ---- wc ---- */

struct counts {
    unsigned long long lines, words, bytes, chars;
};
struct wc {
    bool lines, words, bytes, chars;
    int width;
    struct counts total;
    bool named;
};

static void put_counts(const struct wc* wc, const struct counts* counts, const char* name) {
    const unsigned long long values[] = {counts->lines, counts->words, counts->chars,
                                         counts->bytes};
    const bool wanted[] = {wc->lines, wc->words, wc->chars, wc->bytes};
    const char* before = "";
    for (int i = 0; i < 4; i++) {
        if (wanted[i]) {
            putf("%s%*llu", before, wc->width, values[i]);
            before = " ";
        }
    }
    putf("%s%s\n", name ? " " : "", name ? name : "");
}

static int wc_file(struct file* file, const char* name, void* context) {
    struct wc* wc = context;
    struct counts counts = {0};
    char part[8192];
    bool inside = false;
    ssize_t got;
    while ((got = file_read(file, part, sizeof part)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            bool blank = part[i] == ' ' || (part[i] >= '\t' && part[i] <= '\r');
            counts.words += !blank && !inside;
            inside = !blank;
            counts.lines += part[i] == '\n';
            counts.chars += ((unsigned char)part[i] & 0xc0) != 0x80;
        }
        counts.bytes += (unsigned long long)got;
    }
    if (got < 0) {
        complain_errno(name);
    }
    put_counts(wc, &counts, wc->named ? name : NULL);
    wc->total.lines += counts.lines;
    wc->total.words += counts.words;
    wc->total.bytes += counts.bytes;
    wc->total.chars += counts.chars;
    return got < 0;
}

/* As wide as the largest number can be; files that have no size get seven digits. */
static int wc_width(const struct options* o) {
    unsigned long long sum = 0;
    int least = o->operand_count ? 1 : 7;
    for (int i = 0; i < o->operand_count; i++) {
        struct stat status;
        if (strcmp(o->operands[i], "-") == 0) {
            least = 7;
        } else if (stat(o->operands[i], &status) == 0) {
            sum += (unsigned long long)status.st_size;
            least = S_ISREG(status.st_mode) ? least : 7;
        }
    }
    int digits = snprintf(NULL, 0, "%llu", sum);
    return digits > least ? digits : least;
}

int wc_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "lwcm");
    struct wc wc = {0};
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?') {
            return 1;
        }
        wc.lines |= letter == 'l';
        wc.words |= letter == 'w';
        wc.bytes |= letter == 'c';
        wc.chars |= letter == 'm';
    }
    int kinds = wc.lines + wc.words + wc.bytes + wc.chars;
    if (kinds == 0) {
        wc.lines = wc.words = wc.bytes = true;
    }
    wc.width = kinds == 1 && o.operand_count <= 1 ? 1 : wc_width(&o);
    wc.named = o.operand_count > 0;
    int status = for_files(&o, wc_file, &wc);
    if (o.operand_count > 1) {
        put_counts(&wc, &wc.total, "total");
    }
    return status;
}

int tee_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "ai");
    bool append = false;
    int result = 0;
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?') {
            return 1;
        }
        append |= letter == 'a';
    }
    struct file** files = scratch_get(((size_t)o.operand_count + 1) * sizeof *files);
    for (int i = 0; i < o.operand_count; i++) {
        files[i] = file_open(o.operands[i], O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC));
        if (!files[i]) {
            complain_errno(o.operands[i]);
            result = 1;
        }
    }
    char part[8192];
    for (ssize_t got; (got = file_read(fds[0], part, sizeof part)) > 0 && !broken();) {
        put_bytes(part, (size_t)got);
        for (int i = 0; i < o.operand_count; i++) {
            if (files[i] && !file_write(files[i], part, (size_t)got)) {
                result = 1;
            }
        }
    }
    for (int i = 0; i < o.operand_count; i++) {
        file_drop(files[i]);
    }
    return result;
}
