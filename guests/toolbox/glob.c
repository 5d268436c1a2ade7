/* Shell patterns: matching without recursion, and the paths that match. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "toolbox.h"

struct pattern {
    const char* text;
    const char* flags; /* NULL: nothing is quoted */
    size_t n;
};

static bool is_quoted(const struct pattern* p, size_t at) {
    return p->flags && p->flags[at] == kQuoted;
}

static bool class_holds(const char* name, size_t size, unsigned char c) {
    bool upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z', digit = c >= '0' && c <= '9';
    const struct {
        const char* name;
        bool holds;
    } classes[] = {{"alpha", upper || lower},
                   {"digit", digit},
                   {"alnum", upper || lower || digit},
                   {"upper", upper},
                   {"lower", lower},
                   {"space", c == ' ' || (c >= '\t' && c <= '\r')},
                   {"blank", c == ' ' || c == '\t'},
                   {"punct", c > ' ' && c < 127 && !(upper || lower || digit)},
                   {"print", c >= ' ' && c < 127},
                   {"graph", c > ' ' && c < 127},
                   {"cntrl", c < ' ' || c == 127},
                   {"xdigit", digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')}};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (strlen(classes[i].name) == size && memcmp(classes[i].name, name, size) == 0) {
            return classes[i].holds;
        }
    }
    return false;
}

/* One byte of a set, unquoted by a backslash if need be. */
static unsigned char set_byte(const struct pattern* p, size_t* at) {
    if (p->text[*at] == '\\' && !is_quoted(p, *at) && *at + 1 < p->n) {
        ++*at;
    }
    return (unsigned char)p->text[(*at)++];
}

/* `[…]` at `at`: whether it holds c; *end behind it. 0: it is no set, the [ is itself. */
static bool match_set(const struct pattern* p, size_t at, unsigned char c, size_t* end) {
    size_t i = at + 1;
    bool negated = i < p->n && (p->text[i] == '!' || p->text[i] == '^') && !is_quoted(p, i);
    bool found = false;
    i += negated ? 1 : 0;
    *end = 0;
    for (bool first = true; i < p->n; first = false) {
        if (p->text[i] == ']' && !is_quoted(p, i) && !first) {
            *end = i + 1;
            return found != negated;
        }
        if (p->text[i] == '[' && i + 1 < p->n && p->text[i + 1] == ':' && !is_quoted(p, i)) {
            size_t close = i + 2;
            while (close + 1 < p->n && (p->text[close] != ':' || p->text[close + 1] != ']')) {
                close++;
            }
            if (close + 1 < p->n) {
                found = found || class_holds(p->text + i + 2, close - i - 2, c);
                i = close + 2;
                continue;
            }
        }
        unsigned char low = set_byte(p, &i), high = low;
        if (i + 1 < p->n && p->text[i] == '-' && !is_quoted(p, i) && p->text[i + 1] != ']') {
            i++;
            high = set_byte(p, &i);
        }
        found = found || (c >= low && c <= high);
    }
    return false;
}

/* Whether one element at `at` takes the byte; *next behind the element. */
static bool match_one(const struct pattern* p, size_t at, unsigned char c, size_t* next) {
    char element = p->text[at];
    *next = at + 1;
    if (is_quoted(p, at)) {
        return (unsigned char)element == c;
    }
    if (element == '?') {
        return true;
    }
    if (element == '[') {
        size_t end;
        bool holds = match_set(p, at, c, &end);
        if (end > 0) {
            *next = end;
            return holds;
        }
    }
    if (element == '\\' && at + 1 < p->n) {
        *next = at + 2;
        element = p->text[at + 1];
    }
    return (unsigned char)element == c;
}

/* A star first takes nothing; where the rest fails, the last star takes one more byte. */
bool pattern_matches(const char* pattern, const char* flags, size_t n, const char* s, size_t m) {
    struct pattern p = {pattern, flags, n};
    size_t at = 0, i = 0, star = SIZE_MAX, star_i = 0;
    while (i < m || at < n) {
        if (at < n && pattern[at] == '*' && !is_quoted(&p, at)) {
            star = ++at;
            star_i = i;
            continue;
        }
        size_t next;
        if (at < n && i < m && match_one(&p, at, (unsigned char)s[i], &next)) {
            at = next;
            i++;
            continue;
        }
        if (star == SIZE_MAX || star_i >= m) {
            return false;
        }
        at = star;
        i = ++star_i;
    }
    return true;
}

bool pattern_matches_text(const char* pattern, const char* text) {
    return pattern_matches(pattern, NULL, strlen(pattern), text, strlen(text));
}

/* A [ without its ] is plain: `[ a = b ]` must not look into the folder. */
bool pattern_magic(const char* text, const char* flags, size_t n) {
    bool open = false;
    for (size_t i = 0; i < n; i++) {
        if (flags && flags[i] == kQuoted) {
            continue;
        }
        if (text[i] == '*' || text[i] == '?' || (text[i] == ']' && open)) {
            return true;
        }
        open = open || text[i] == '[';
    }
    return false;
}

struct globber {
    const char *text, *flags;
    size_t n;
    struct fields* into;
};

/* A part of the pattern without magic, with its backslashes taken as quotes. */
static void add_plain(struct str* path, const struct globber* g, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        if (g->text[i] == '\\' && g->flags[i] != kQuoted && i + 1 < to) {
            i++;
        }
        str_byte(path, g->text[i]);
    }
}

static void glob_from(struct globber* g, const char* prefix, size_t at, int depth) {
    if (depth > kTreeDepthMax || strlen(prefix) > kPathMax || g->into->count > kFieldsMax) {
        return;
    }
    struct str path = {0};
    str_text(&path, prefix);
    size_t end = at;
    for (;; at = end) { /* parts without magic are taken as they are */
        while (end < g->n && g->text[end] == '/') {
            end++;
        }
        add_plain(&path, g, at, end);
        at = end;
        while (end < g->n && g->text[end] != '/') {
            end++;
        }
        if (at == end || pattern_magic(g->text + at, g->flags + at, end - at)) {
            break;
        }
        add_plain(&path, g, at, end);
    }
    char* folder = str_end(&path);
    if (at == end) {
        struct stat status;
        if (lstat(folder, &status) == 0) {
            fields_add(g->into, folder);
        }
        return;
    }
    struct fields names = {0};
    DIR* dir = opendir(folder[0] ? folder : ".");
    for (struct dirent* entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.' && g->text[at] != '.') {
            continue;
        }
        if (pattern_matches(g->text + at, g->flags + at, end - at, entry->d_name,
                            strlen(entry->d_name))) {
            fields_add(&names, scratch_format("%s%s", folder, entry->d_name));
        }
    }
    if (dir) {
        closedir(dir);
    }
    for (size_t i = 0; i < names.count; i++) {
        glob_from(g, names.items[i], end, depth + 1);
    }
}

bool glob_add(const char* text, const char* flags, size_t n, struct fields* into) {
    size_t before = into->count;
    struct globber g = {.text = text, .flags = flags, .n = n, .into = into};
    glob_from(&g, "", 0, 0);
    if (into->count > before) {
        qsort(into->items + before, into->count - before, sizeof *into->items, compare_text);
    }
    return into->count > before;
}
