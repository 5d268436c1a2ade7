/* grep, with the C library's regular expressions. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools.h"

enum { kPatternsMax = 256, kContextMax = 1000 };

struct grep {
    char* patterns[kPatternsMax];
    regex_t regexes[kPatternsMax];
    int count, compiled;
    bool fixed, extended, fold, invert, word, whole;
    bool numbers, counts, quiet, list, list_without, only, silent, recursive, named, unnamed;
    long long most, before, after;
    const char *include, *exclude;
    bool matched, failed, separated;
};

static bool add_patterns(struct grep* g, char* text) {
    for (;;) { /* one a line */
        size_t size = strcspn(text, "\n");
        if (g->count == kPatternsMax || size > kPatternBytesMax) {
            complain("at most %d patterns of %d bytes", kPatternsMax, kPatternBytesMax);
            return false;
        }
        g->patterns[g->count++] = pool_copy(&scratch, text, size);
        if (!text[size]) {
            return true;
        }
        text += size + 1;
    }
}

static bool add_pattern_file(struct grep* g, const char* path) {
    int status = 0;
    struct file* file = open_operand(path);
    struct str line = {0};
    struct reader reader = {.file = file, .name = path, .status = &status};
    while (file && status == 0 && read_line(&reader, &line)) {
        status = add_patterns(g, str_end(&line)) ? status : 2;
    }
    file_drop(file);
    return file && status == 0;
}

static bool compile(struct grep* g) {
    for (; g->compiled < g->count && !g->fixed; g->compiled++) {
        int flags = (g->extended ? REG_EXTENDED : 0) | (g->fold ? REG_ICASE : 0);
        if (!regex_compile(&g->regexes[g->compiled], g->patterns[g->compiled], flags)) {
            return false;
        }
    }
    return true;
}

static void free_regexes(struct grep* g) {
    while (g->compiled > 0) {
        regfree(&g->regexes[--g->compiled]);
    }
}

static bool is_word_byte(char c) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The first match of one pattern at or after `from`. */
static bool match_pattern(const struct grep* g, int index, const char* line, size_t from,
                          size_t* start, size_t* end) {
    if (g->fixed) {
        const char* pattern = g->patterns[index];
        size_t size = strlen(pattern);
        for (size_t at = from; line[at] || size == 0; at++) {
            if ((g->fold ? strncasecmp(line + at, pattern, size)
                         : strncmp(line + at, pattern, size)) == 0) {
                *start = at;
                *end = at + size;
                return true;
            }
            if (!line[at]) {
                break;
            }
        }
        return false;
    }
    regmatch_t match;
    if (regexec(&g->regexes[index], line + from, 1, &match, from > 0 ? REG_NOTBOL : 0) != 0) {
        return false;
    }
    *start = from + (size_t)match.rm_so;
    *end = from + (size_t)match.rm_eo;
    return true;
}

/* The leftmost, then longest match of any pattern that -w and -x allow. */
static bool find_match(const struct grep* g, const char* line, size_t size, size_t from,
                       size_t* start, size_t* end) {
    bool found = false;
    for (int i = 0; i < g->count; i++) {
        size_t s, e, at = from;
        while (at <= size && match_pattern(g, i, line, at, &s, &e)) {
            bool fits = (!g->whole || (s == 0 && e == size)) &&
                        (!g->word || ((s == 0 || !is_word_byte(line[s - 1])) &&
                                      (e == size || !is_word_byte(line[e]))));
            if (fits && (!found || s < *start || (s == *start && e > *end))) {
                *start = s;
                *end = e;
                found = true;
            }
            if (fits || g->whole) {
                break;
            }
            at = s + 1;
        }
    }
    return found;
}

static void put_prefix(const struct grep* g, const char* name, unsigned long long number,
                       char mark) {
    if (g->named) {
        putf("%s%c", name, mark);
    }
    if (g->numbers) {
        putf("%llu%c", number, mark);
    }
}

static void put_matches(const struct grep* g, const char* name, unsigned long long number,
                        const char* line, size_t size) {
    size_t start, end, from = 0;
    while (from <= size && find_match(g, line, size, from, &start, &end)) {
        if (end > start) {
            put_prefix(g, name, number, ':');
            put_bytes(line + start, end - start);
            put_byte('\n');
        }
        from = end > start ? end : start + 1;
    }
}

/* Lines before a match, in a ring. */
struct ring {
    struct str* lines;
    size_t room, count;
    unsigned long long first;
};

static void ring_add(struct ring* ring, const struct str* line, unsigned long long number) {
    if (ring->room == 0) {
        return;
    }
    struct str* to = &ring->lines[number % ring->room];
    to->n = 0;
    str_add(to, line->s, line->n);
    ring->count = ring->count < ring->room ? ring->count + 1 : ring->room;
    ring->first = number + 1 - ring->count;
}

static void put_ring(const struct grep* g, const char* name, struct ring* ring) {
    for (; ring->count > 0; ring->count--, ring->first++) {
        struct str* line = &ring->lines[ring->first % ring->room];
        put_prefix(g, name, ring->first, '-');
        put_bytes(line->s, line->n);
        put_byte('\n');
    }
}

struct progress {
    unsigned long long number, matches, last_put;
    long long after;
    struct ring ring;
};

static void put_selected(struct grep* g, const char* name, struct progress* p,
                         const struct str* line) {
    bool context = g->before > 0 || g->after > 0;
    unsigned long long first = p->ring.count > 0 ? p->ring.first : p->number;
    if (context && g->separated && p->last_put + 1 != first) {
        put("--\n");
    }
    put_ring(g, name, &p->ring);
    if (g->only) {
        if (!g->invert) {
            put_matches(g, name, p->number, line->s, line->n);
        }
    } else {
        put_prefix(g, name, p->number, ':');
        put_bytes(line->s, line->n);
        put_byte('\n');
    }
    g->separated = true;
    p->last_put = p->number;
    p->after = g->after;
}

/* false: nothing more of this file matters. */
static bool grep_line(struct grep* g, const char* name, struct progress* p, struct str* line) {
    size_t start, end;
    str_end(line);
    p->number++;
    bool plain = !g->quiet && !g->list && !g->list_without && !g->counts;
    if (find_match(g, line->s, strlen(line->s), 0, &start, &end) == g->invert) {
        if (plain && p->after > 0) {
            put_prefix(g, name, p->number, '-');
            put_bytes(line->s, line->n);
            put_byte('\n');
            p->last_put = p->number;
            p->after--;
        } else {
            ring_add(&p->ring, line, p->number);
        }
        return true;
    }
    p->matches++;
    g->matched = true;
    if (!plain) {
        return g->counts && !g->quiet && !g->list &&
               (g->most < 0 || (long long)p->matches < g->most);
    }
    if (memchr(line->s, 0, line->n)) {
        putf("%s: binary file matches\n", name);
        return false;
    }
    put_selected(g, name, p, line);
    return g->most < 0 || (long long)p->matches < g->most;
}

static void grep_file(struct grep* g, const char* path) {
    struct mark mark = scratch_mark();
    int status = 0;
    const char* name = strcmp(path, "-") == 0 ? "(standard input)" : path;
    struct file* file;
    if (g->silent) {
        file = strcmp(path, "-") == 0 ? file_hold(fds[0]) : file_open(path, O_RDONLY);
    } else {
        file = open_operand(path);
    }
    struct progress p = {.ring = {.room = (size_t)g->before}};
    p.ring.lines = scratch_get((p.ring.room + 1) * sizeof *p.ring.lines);
    struct str line = {0};
    struct reader reader = {.file = file, .name = path, .status = &status};
    if (file && g->most != 0) {
        while (!broken() && read_line(&reader, &line) && grep_line(g, name, &p, &line)) {
        }
    }
    g->failed |= !file || status != 0;
    if (file && g->counts && !g->quiet && !g->list && !g->list_without) {
        putf("%s%s%llu\n", g->named ? name : "", g->named ? ":" : "", p.matches);
    }
    if (file && !g->quiet && (g->list ? p.matches > 0 : g->list_without && p.matches == 0)) {
        putf("%s\n", name);
    }
    file_drop(file);
    scratch_release(mark);
}

static enum walk grep_visit(struct walker* w, const char* path, const struct stat* status,
                            int depth) {
    struct grep* g = w->context;
    if (S_ISDIR(status->st_mode)) {
        return kWalkInto;
    }
    const char* base = base_of(path);
    if ((S_ISREG(status->st_mode) || depth == 0) &&
        (!g->include || pattern_matches_text(g->include, base)) &&
        (!g->exclude || !pattern_matches_text(g->exclude, base))) {
        grep_file(g, path);
    }
    return g->quiet && g->matched ? kWalkStop : kWalkInto;
}

static bool grep_count(const char* text, long long* value) {
    if (parse_number(text, value) && *value >= 0 && *value <= (1LL << 40)) {
        return true;
    }
    complain("%s: a number is needed", text);
    return false;
}

static bool grep_option(struct grep* g, int letter, char* argument) {
    g->fixed = letter == 'F' || (g->fixed && letter != 'E' && letter != 'G');
    g->extended = letter == 'E' || (g->extended && letter != 'G');
    g->fold |= letter == 'i' || letter == 'y';
    g->invert |= letter == 'v';
    g->word |= letter == 'w';
    g->whole |= letter == 'x';
    g->numbers |= letter == 'n';
    g->counts |= letter == 'c';
    g->quiet |= letter == 'q';
    g->list |= letter == 'l';
    g->list_without |= letter == 'L';
    g->only |= letter == 'o';
    g->silent |= letter == 's';
    g->recursive |= letter == 'r' || letter == 'R';
    g->named |= letter == 'H';
    g->unnamed |= letter == 'h';
    g->include = letter == 'I' ? argument : g->include;
    g->exclude = letter == 'X' ? argument : g->exclude;
    bool fine = letter != '?';
    if (letter == 'e') {
        fine = add_patterns(g, argument);
    } else if (letter == 'f') {
        fine = add_pattern_file(g, argument);
    } else if (letter == 'm') {
        fine = grep_count(argument, &g->most);
    } else if (letter == 'A' || letter == 'B' || letter == 'C') {
        long long lines;
        fine = grep_count(argument, &lines) && lines <= kContextMax;
        g->after = letter == 'B' || !fine ? g->after : lines;
        g->before = letter == 'A' || !fine ? g->before : lines;
    }
    return fine;
}

static int grep_all(struct grep* g, struct options* o, int first) {
    struct walker w = {.visit = grep_visit, .context = g, .top_followed = true};
    char* here[] = {g->recursive ? "." : "-"};
    int count = o->operand_count - first;
    char** names = count > 0 ? o->operands + first : here;
    count = count > 0 ? count : 1;
    g->named = (g->named || count > 1 || g->recursive) && !g->unnamed;
    for (int i = 0; i < count && !broken() && !(g->quiet && g->matched); i++) {
        if (g->recursive && strcmp(names[i], "-") != 0) {
            walk_tree(&w, names[i]);
        } else {
            grep_file(g, names[i]);
        }
    }
    g->failed |= w.status != 0;
    return g->failed && !(g->quiet && g->matched) ? 2 : !g->matched;
}

int grep_main(int argc, char** argv) {
    static const struct long_option longs[] = {
        {"color", 0},          {"colour", 0},      {"include", 'I'},     {"exclude", 'X'},
        {"ignore-case", 'i'},  {"recursive", 'r'}, {"line-buffered", 0}, {"count", 'c'},
        {"invert-match", 'v'}, {"quiet", 'q'},     {"text", 0},          {0}};
    struct options o = options_of(argc, argv, "EFGivwxncqlLosrRHhye:f:m:A:B:C:I:X:a");
    struct grep* g = scratch_get(sizeof *g);
    int first = 0;
    o.longs = longs;
    g->most = -1;
    for (int letter; (letter = options_next(&o));) {
        if (!grep_option(g, letter, o.argument)) {
            return 2;
        }
    }
    if (g->count == 0) {
        if (o.operand_count == 0) {
            complain("a pattern is needed");
            return 2;
        }
        first = 1;
        if (!add_patterns(g, o.operands[0])) {
            return 2;
        }
    }
    int status = compile(g) ? grep_all(g, &o, first) : 2;
    free_regexes(g);
    return status;
}
