/* What the tools share: options, numbers, paths, walks over folders. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "toolbox.h"

struct options options_of(int argc, char** argv, const char* spec) {
    return (struct options){.argc = argc,
                            .argv = argv,
                            .spec = spec,
                            .at = 1,
                            .operands = scratch_get(((size_t)argc * 2 + 1) * sizeof(char*))};
}

static void take_rest(struct options* o) {
    while (o->at < o->argc) {
        o->operands[o->operand_count++] = o->argv[o->at++];
    }
}

static int long_option(struct options* o, char* word) {
    char* equals = strchr(word, '=');
    size_t size = equals ? (size_t)(equals - word) : strlen(word);
    for (const struct long_option* known = o->longs; known && known->name; known++) {
        if (strlen(known->name) != size || memcmp(known->name, word, size) != 0) {
            continue;
        }
        const char* spec = known->letter ? strchr(o->spec, known->letter) : NULL;
        o->argument = equals ? equals + 1 : NULL;
        if (spec && spec[1] == ':' && !equals) {
            if (o->at >= o->argc) {
                break;
            }
            o->argument = o->argv[o->at++];
        }
        return known->letter ? known->letter : options_next(o);
    }
    complain("unknown option --%s", word);
    return '?';
}

int options_next(struct options* o) {
    while (!o->cluster || !*o->cluster) {
        if (o->at >= o->argc) {
            return 0;
        }
        char* word = o->argv[o->at];
        if (word[0] != '-' || !word[1]) {
            if (o->spec[0] == '+') {
                take_rest(o);
                return 0;
            }
            o->operands[o->operand_count++] = word;
            o->at++;
            continue;
        }
        o->at++;
        if (strcmp(word, "--") == 0) {
            take_rest(o);
            return 0;
        }
        if (word[1] == '-') {
            return long_option(o, word + 2);
        }
        o->cluster = word + 1;
    }
    char letter = *o->cluster++;
    const char* known = letter == ':' || letter == '+' ? NULL : strchr(o->spec, letter);
    if (!known) {
        complain("unknown option -%c", letter);
        return '?';
    }
    if (known[1] == ':') {
        o->argument = (char*)o->cluster;
        o->cluster = NULL;
        if (!*o->argument) {
            if (o->at >= o->argc) {
                complain("-%c needs an argument", letter);
                return '?';
            }
            o->argument = o->argv[o->at++];
        }
    }
    return letter;
}

bool parse_number(const char* text, long long* value) {
    const char* digits = text + (*text == '-' || *text == '+');
    size_t size = strlen(digits);
    if (size == 0 || size > 18 || strspn(digits, "0123456789") != size) {
        return false;
    }
    *value = strtoll(text, NULL, 10);
    return true;
}

bool parse_size(const char* text, long long* value) {
    size_t size = strlen(text);
    char last = size > 0 ? text[size - 1] : 0;
    int shift = last == 'k' || last == 'K' ? 10 : last == 'M' ? 20 : last == 'G' ? 30 : 0;
    char* digits = pool_copy(&scratch, text, size - (shift > 0));
    return strlen(digits) < 12 && parse_number(digits, value) && (*value *= 1LL << shift, true);
}

char* human_size(unsigned long long bytes) {
    static const char units[] = "KMGTPE";
    if (bytes < 1024) {
        return scratch_format("%llu", bytes);
    }
    int unit = 0;
    unsigned long long tenths = (bytes / 512 * 5 + (bytes % 512 ? 5 : 0));
    for (; tenths >= 10240; unit++) {
        tenths = (tenths + 1023) / 1024;
    }
    return tenths < 100 ? scratch_format("%llu.%llu%c", tenths / 10, tenths % 10, units[unit])
                        : scratch_format("%llu%c", (tenths + 9) / 10, units[unit]);
}

char* join_path(const char* folder, const char* name) {
    size_t size = strlen(folder);
    return scratch_format("%s%s%s", folder, size > 0 && folder[size - 1] == '/' ? "" : "/", name);
}

/* How often all {N,M} of a pattern together repeat at most: matchers unroll them. */
static unsigned long long repetitions(const char* pattern) {
    unsigned long long all = 1;
    for (const char* at = strchr(pattern, '{'); at; at = strchr(at, '{')) {
        at++;
        unsigned long long most = strtoull(at, (char**)&at, 10);
        if (*at == ',') {
            unsigned long long second = strtoull(at + 1, (char**)&at, 10);
            most = second > most ? second : most;
        }
        most = most > 1 ? most : 1;
        all = most > kRepetitionsMax || all * most > kRepetitionsMax ? kRepetitionsMax + 1
                                                                     : all * most;
    }
    return all;
}

bool regex_compile(regex_t* regex, const char* pattern, int flags) {
    if (strlen(pattern) > kPatternBytesMax || repetitions(pattern) > kRepetitionsMax) {
        complain("%.60s: a pattern has at most %d bytes and %d repetitions", pattern,
                 kPatternBytesMax, kRepetitionsMax);
        return false;
    }
    int code = regcomp(regex, pattern, flags);
    if (code != 0) {
        char text[128];
        regerror(code, regex, text, sizeof text);
        complain("%s: %s", pattern, text);
    }
    return code == 0;
}

char* absolute_path(const char* path) {
    char folder[kPathMax];
    struct str now = {0};
    if (path[0] != '/') {
        path = join_path(getcwd(folder, sizeof folder) ? folder : "/", path);
    }
    for (const char* part = path; *part;) {
        size_t size = strcspn(part, "/");
        if (size == 2 && memcmp(part, "..", 2) == 0) {
            while (now.n > 0 && now.s[--now.n] != '/') {
            }
        } else if (size > 0 && !(size == 1 && *part == '.')) {
            str_byte(&now, '/');
            str_add(&now, part, size);
        }
        part += size + (part[size] == '/');
    }
    return now.n > 0 ? str_end(&now) : "/";
}

const char* base_of(const char* path) {
    const char* slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

int compare_text(const void* a, const void* b) {
    return strcmp(*(char* const*)a, *(char* const*)b);
}

bool folder_names(const char* path, struct fields* names) {
    DIR* dir = opendir(path);
    if (!dir) {
        complain_errno(path);
        return false;
    }
    errno = 0;
    for (struct dirent* entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            fields_add(names, scratch_copy(entry->d_name));
        }
        errno = 0;
    }
    int code = errno;
    closedir(dir);
    if (code != 0) {
        errno = code;
        complain_errno(path);
        return false;
    }
    if (names->count > 0) {
        qsort(names->items, names->count, sizeof *names->items, compare_text);
    }
    return true;
}

static enum walk walk_below(struct walker* w, const char* path, int depth);

static enum walk walk_one(struct walker* w, const char* path, int depth) {
    struct stat status;
    bool follow = w->follow || (depth == 0 && w->top_followed);
    if ((follow ? status_of(path, true, &status) : -1) != 0 &&
        status_of(path, false, &status) != 0) {
        complain_errno(path);
        w->status = 1;
        return kWalkSkip;
    }
    enum walk told = w->visit(w, path, &status, depth);
    if (told == kWalkInto && S_ISDIR(status.st_mode)) {
        told = walk_below(w, path, depth);
        if (told != kWalkStop && w->leave) {
            told = w->leave(w, path, &status, depth);
        }
    }
    return broken() ? kWalkStop : told;
}

static enum walk walk_below(struct walker* w, const char* path, int depth) {
    if (depth >= kTreeDepthMax || strlen(path) >= kPathMax) {
        complain("%s: folders are nested more than %d deep", path, kTreeDepthMax);
        w->status = 1;
        return kWalkSkip;
    }
    struct mark mark = scratch_mark();
    struct fields names = {0};
    enum walk told = kWalkInto;
    if (!folder_names(path, &names)) {
        w->status = 1;
    }
    for (size_t i = 0; i < names.count && told != kWalkStop; i++) {
        struct mark inner = scratch_mark();
        told = walk_one(w, join_path(path, names.items[i]), depth + 1);
        scratch_release(inner);
    }
    scratch_release(mark);
    return told;
}

enum walk walk_tree(struct walker* walker, const char* path) {
    return walk_one(walker, path, 0);
}

char kind_letter(const struct stat* status) {
    /* Linux' own numbers: WASI's libc has one for pipes and sockets. */
    static const char letters[] = "?pc?d?b?-?l?s???";
    return letters[status->st_mode >> 12 & 15];
}

void put_time(const char* format, time_t at, bool utc) {
    struct tm parts;
    char text[256];
    (void)utc; /* WASI knows no time zones: local time is UTC */
    if (gmtime_r(&at, &parts) && strftime(text, sizeof text, format, &parts) > 0) {
        put(text);
    }
}
