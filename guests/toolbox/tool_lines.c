/* sort, uniq, cut, tr, seq: files as lines and bytes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools.h"

enum { kSortBytesMax = 256 << 20 };

struct line {
    char* text;
    size_t size;
    size_t index; /* keeps equals in order */
};
struct sorting {
    bool reverse, numeric, unique, fold, blanks, stable;
    int field, last; /* -k FIELD[,LAST], from 1; 0: the whole line */
    bool key_numeric, key_reverse;
    char separator;
};

static struct sorting sorting; /* qsort gives its function no context */

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* The key of a line: a part of it. */
static const char* key_of(const struct line* line, size_t* size) {
    const char *at = line->text, *end = line->text + line->size;
    if (sorting.field == 0) {
        *size = line->size;
        return at;
    }
    const char* start = at;
    for (int field = 1; at < end; field++) {
        start = field == sorting.field ? at : start;
        if (sorting.separator) {
            while (at < end && *at != sorting.separator) {
                at++;
            }
        } else {
            while (at < end && is_blank(*at)) {
                at++;
            }
            while (at < end && !is_blank(*at)) {
                at++;
            }
        }
        if (sorting.last && field >= sorting.last) {
            break;
        }
        if (field < sorting.field) {
            start = end;
        }
        at += sorting.separator && at < end ? 1 : 0;
        if (!sorting.last && field >= sorting.field) {
            at = end;
        }
    }
    *size = start <= at ? (size_t)(at - start) : 0;
    return start;
}

static double number_at(const char* text, size_t size) {
    char digits[64];
    while (size > 0 && is_blank(*text)) {
        text++;
        size--;
    }
    size_t n = 0;
    while (n < size && n + 1 < sizeof digits && strchr("+-.0123456789", text[n]) && text[n]) {
        digits[n] = text[n];
        n++;
    }
    digits[n] = '\0';
    return strtod(digits, NULL);
}

static int compare_bytes(const char* a, size_t a_size, const char* b, size_t b_size) {
    size_t least = a_size < b_size ? a_size : b_size;
    for (size_t i = 0; sorting.fold && i < least; i++) {
        int x = (unsigned char)a[i], y = (unsigned char)b[i];
        x -= x >= 'a' && x <= 'z' ? 32 : 0;
        y -= y >= 'a' && y <= 'z' ? 32 : 0;
        if (x != y) {
            return x - y;
        }
    }
    int order = sorting.fold || least == 0 ? 0 : memcmp(a, b, least);
    return order ? order : a_size < b_size ? -1 : a_size > b_size;
}

static int compare_keys(const struct line* x, const struct line* y) {
    size_t a_size, b_size;
    const char *a = key_of(x, &a_size), *b = key_of(y, &b_size);
    int order;
    if (sorting.numeric || sorting.key_numeric) {
        double u = number_at(a, a_size), v = number_at(b, b_size);
        order = u < v ? -1 : u > v;
    } else {
        while (sorting.blanks && a_size > 0 && is_blank(*a)) {
            a++;
            a_size--;
        }
        while (sorting.blanks && b_size > 0 && is_blank(*b)) {
            b++;
            b_size--;
        }
        order = compare_bytes(a, a_size, b, b_size);
    }
    return sorting.reverse || sorting.key_reverse ? -order : order;
}

static int compare_lines(const void* a, const void* b) {
    const struct line *x = a, *y = b;
    int order = compare_keys(x, y);
    if (order == 0 && !sorting.stable && !sorting.unique) {
        bool fold = sorting.fold;
        sorting.fold = false;
        order = compare_bytes(x->text, x->size, y->text, y->size);
        sorting.fold = fold;
        order = sorting.reverse ? -order : order;
    }
    return order ? order : x->index < y->index ? -1 : 1;
}

static bool sort_key(const char* text) {
    char* end;
    long first = strtol(text, &end, 10), last = 0;
    bool fine = first > 0 && first < 10000;
    for (; *end && fine; end++) {
        if (*end == ',') {
            last = strtol(end + 1, &end, 10);
            fine = last > 0 && last < 10000;
            end--;
        } else if (*end == 'n') {
            sorting.key_numeric = true;
        } else if (*end == 'r') {
            sorting.key_reverse = true;
        } else if (*end == 'b') {
            sorting.blanks = true;
        } else {
            fine = false;
        }
    }
    sorting.field = (int)first;
    sorting.last = (int)last;
    if (!fine) {
        complain("-k %s: FIELD[,FIELD] with n, r or b behind is known", text);
    }
    return fine;
}

static bool read_lines(const char* name, struct line** lines, size_t* count, size_t* room,
                       size_t* bytes) {
    int status = 0;
    struct file* file = open_operand(name);
    struct str line = {0};
    struct reader reader = {.file = file, .name = name, .status = &status};
    while (file && read_line(&reader, &line)) {
        if (*count == *room) {
            *room = *room ? *room * 2 : 256;
            struct line* grown = scratch_get(*room * sizeof *grown);
            if (*count > 0) {
                memcpy(grown, *lines, *count * sizeof *grown);
            }
            *lines = grown;
        }
        (*lines)[*count] = (struct line){pool_copy(&scratch, line.s, line.n), line.n, *count};
        ++*count;
        *bytes += line.n + sizeof **lines;
        if (*bytes > kSortBytesMax) {
            complain("more than %d bytes to sort", kSortBytesMax);
            status = 2;
            break;
        }
    }
    file_drop(file);
    return file && status == 0;
}

int sort_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "rnufbsk:t:");
    char* input[] = {"-"};
    sorting = (struct sorting){0};
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?' || (letter == 'k' && !sort_key(o.argument))) {
            return 2;
        }
        sorting.reverse |= letter == 'r';
        sorting.numeric |= letter == 'n';
        sorting.unique |= letter == 'u';
        sorting.fold |= letter == 'f';
        sorting.blanks |= letter == 'b';
        sorting.stable |= letter == 's';
        sorting.separator = letter == 't' ? o.argument[0] : sorting.separator;
    }
    struct line* lines = NULL;
    size_t count = 0, room = 0, bytes = 0;
    char** names = o.operand_count ? o.operands : input;
    for (int i = 0; i < (o.operand_count ? o.operand_count : 1); i++) {
        if (!read_lines(names[i], &lines, &count, &room, &bytes)) {
            return 2;
        }
    }
    if (count > 0) {
        qsort(lines, count, sizeof *lines, compare_lines);
    }
    for (size_t i = 0; i < count && !broken(); i++) {
        if (i == 0 || !sorting.unique || compare_keys(&lines[i - 1], &lines[i]) != 0) {
            put_bytes(lines[i].text, lines[i].size);
            put_byte('\n');
        }
    }
    return 0;
}

/* ---- uniq ---- */

struct uniq {
    bool count, repeated, single, fold;
};

static void put_group(const struct uniq* u, const struct str* line, unsigned long long count) {
    if (count == 0 || (u->repeated && count == 1) || (u->single && count > 1)) {
        return;
    }
    if (u->count) {
        putf("%7llu ", count);
    }
    put_bytes(line->s, line->n);
    put_byte('\n');
}

int uniq_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "cdui");
    struct uniq u = {0};
    int status = 0;
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?') {
            return 1;
        }
        u.count |= letter == 'c';
        u.repeated |= letter == 'd';
        u.single |= letter == 'u';
        u.fold |= letter == 'i';
    }
    struct file* file = open_operand(o.operand_count ? o.operands[0] : "-");
    struct str line = {0}, group = {0};
    struct reader reader = {.file = file, .name = "input", .status = &status};
    unsigned long long count = 0;
    sorting = (struct sorting){.fold = u.fold};
    while (file && !broken() && read_line(&reader, &line)) {
        if (count == 0 || compare_bytes(line.s, line.n, group.s, group.n) != 0) {
            put_group(&u, &group, count);
            group.n = count = 0;
            str_add(&group, line.s, line.n);
        }
        count++;
    }
    put_group(&u, &group, count);
    file_drop(file);
    return file ? status : 1;
}

/* ---- cut ---- */

enum { kRangesMax = 256 };
struct range {
    long long first, last;
};
struct cut {
    struct range ranges[kRangesMax];
    int count;
    bool fields, only_split;
    char separator;
};

static bool cut_list(struct cut* cut, const char* text) {
    cut->count = 0;
    while (cut->count < kRangesMax) {
        size_t size = strcspn(text, ",");
        char* item = pool_copy(&scratch, text, size);
        char* dash = strchr(item, '-');
        struct range* range = &cut->ranges[cut->count++];
        *range = (struct range){1, INT64_MAX};
        if (dash) {
            *dash = '\0';
        }
        bool fine = (!dash || dash != item || dash[1]) && (*item || dash) &&
                    (!*item || (parse_number(item, &range->first) && range->first > 0));
        if (fine && dash && dash[1]) {
            fine = parse_number(dash + 1, &range->last) && range->last >= range->first;
        } else if (fine && !dash) {
            range->last = range->first;
        }
        if (!fine) {
            break;
        }
        if (!text[size]) {
            return true;
        }
        text += size + 1;
    }
    complain("bad list: numbers from 1 and ranges (2-4, 3-) with commas are known");
    return false;
}

static bool cut_wants(const struct cut* cut, long long position) {
    for (int i = 0; i < cut->count; i++) {
        if (position >= cut->ranges[i].first && position <= cut->ranges[i].last) {
            return true;
        }
    }
    return false;
}

static void cut_line(const struct cut* cut, const struct str* line) {
    if (!cut->fields) {
        for (size_t i = 0; i < line->n; i++) {
            if (cut_wants(cut, (long long)i + 1)) {
                put_byte(line->s[i]);
            }
        }
        put_byte('\n');
        return;
    }
    if (line->n == 0 || !memchr(line->s, cut->separator, line->n)) {
        if (!cut->only_split) {
            put_bytes(line->s, line->n);
            put_byte('\n');
        }
        return;
    }
    bool some = false;
    long long field = 1;
    for (size_t start = 0, end; start <= line->n; start = end + 1, field++) {
        const char* next =
            start < line->n ? memchr(line->s + start, cut->separator, line->n - start) : 0;
        end = next ? (size_t)(next - line->s) : line->n;
        if (cut_wants(cut, field)) {
            if (some) {
                put_byte(cut->separator);
            }
            put_bytes(line->s + start, end - start);
            some = true;
        }
    }
    put_byte('\n');
}

int cut_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "d:f:c:b:s");
    struct cut* cut = scratch_get(sizeof *cut);
    char* input[] = {"-"};
    int status = 0;
    cut->separator = '\t';
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?' || (strchr("fcb", letter) && !cut_list(cut, o.argument))) {
            return 1;
        }
        cut->fields |= letter == 'f';
        cut->only_split |= letter == 's';
        cut->separator = letter == 'd' ? o.argument[0] : cut->separator;
    }
    if (cut->count == 0) {
        complain("-f, -c or -b is needed");
        return 1;
    }
    char** names = o.operand_count ? o.operands : input;
    for (int i = 0; i < (o.operand_count ? o.operand_count : 1); i++) {
        struct file* file = open_operand(names[i]);
        struct str line = {0};
        struct reader reader = {.file = file, .name = names[i], .status = &status};
        while (file && !broken() && read_line(&reader, &line)) {
            cut_line(cut, &line);
        }
        status = file ? status : 1;
        file_drop(file);
    }
    return status;
}

/* ---- tr ---- */

struct set {
    unsigned char bytes[512];
    size_t count;
};

static void set_add(struct set* set, int byte) {
    if (set->count < sizeof set->bytes) {
        set->bytes[set->count++] = (unsigned char)byte;
    }
}

static bool set_class(struct set* set, const char* text, size_t size) {
    char* pattern = scratch_format("[[%.*s]]", (int)size, text);
    size_t before = set->count;
    for (int byte = 1; byte < 256; byte++) {
        char c = (char)byte;
        if (pattern_matches(pattern, NULL, strlen(pattern), &c, 1)) {
            set_add(set, byte);
        }
    }
    return set->count > before;
}

static bool set_parse(struct set* set, const char* text) {
    bool stop = false;
    size_t size;
    const char* colon;
    if (strncmp(text, "[:", 2) == 0 && (colon = strstr(text + 2, ":]"))) {
        return set_class(set, text + 1, (size_t)(colon - text)) &&
               (!colon[2] || set_parse(set, colon + 2));
    }
    const char* bytes = decode_escapes(text, &size, false, &stop);
    for (size_t i = 0; i < size; i++) {
        unsigned char low = (unsigned char)bytes[i], high = low;
        if (i + 2 < size && bytes[i + 1] == '-') {
            high = (unsigned char)bytes[i + 2];
            i += 2;
        }
        if (high < low) {
            complain("bad range: %c-%c", low, high);
            return false;
        }
        for (int byte = low; byte <= high; byte++) {
            set_add(set, byte);
        }
    }
    return true;
}

static void set_complement(struct set* set) {
    bool in[256] = {false};
    for (size_t i = 0; i < set->count; i++) {
        in[set->bytes[i]] = true;
    }
    set->count = 0;
    for (int byte = 0; byte < 256; byte++) {
        if (!in[byte]) {
            set_add(set, byte);
        }
    }
}

int tr_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "+dscC");
    bool deletes = false, squeezes = false, complement = false;
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?') {
            return 1;
        }
        deletes |= letter == 'd';
        squeezes |= letter == 's';
        complement |= letter == 'c' || letter == 'C';
    }
    struct set from = {0}, to = {0};
    bool translates = o.operand_count == 2 && !deletes;
    if (o.operand_count < 1 || o.operand_count > 2 ||
        (o.operand_count == 1 && !deletes && !squeezes) || !set_parse(&from, o.operands[0]) ||
        (o.operand_count == 2 && (!set_parse(&to, o.operands[1]) || to.count == 0))) {
        complain("usage: tr [-cs] SET SET, tr -d SET, tr -s SET");
        return 1;
    }
    if (complement) {
        set_complement(&from);
    }
    int map[256];
    bool squeeze[256] = {false};
    for (int byte = 0; byte < 256; byte++) {
        map[byte] = byte;
    }
    for (size_t i = 0; i < from.count; i++) {
        int target = translates ? to.bytes[i < to.count ? i : to.count - 1] : from.bytes[i];
        map[from.bytes[i]] = deletes ? -1 : target;
    }
    const struct set* squeezed = o.operand_count == 2 ? &to : &from;
    for (size_t i = 0; squeezes && i < squeezed->count; i++) {
        squeeze[squeezed->bytes[i]] = true;
    }
    char part[4096];
    int last = -1;
    for (ssize_t got; !broken() && (got = file_read(fds[0], part, sizeof part)) > 0;) {
        for (ssize_t i = 0; i < got; i++) {
            int byte = map[(unsigned char)part[i]];
            if (byte >= 0 && !(byte == last && squeeze[byte])) {
                put_byte((char)byte);
                last = byte;
            }
        }
    }
    return 0;
}

int seq_main(int argc, char** argv) {
    const char* separator = "\n";
    int at = 1;
    if (at + 1 < argc && strcmp(argv[at], "-s") == 0) {
        separator = argv[at + 1];
        at += 2;
    }
    long long values[3];
    int count = argc - at;
    for (int i = 0; i < count && count <= 3; i++) {
        if (!parse_number(argv[at + i], &values[i])) {
            complain("%s: whole numbers are known", argv[at + i]);
            return 1;
        }
    }
    if (count < 1 || count > 3) {
        complain("usage: seq [-s TEXT] [FIRST [STEP]] LAST");
        return 1;
    }
    long long first = count > 1 ? values[0] : 1, last = values[count - 1];
    long long step = count > 2 ? values[1] : 1;
    if (step == 0) {
        complain("a step of 0 never ends");
        return 1;
    }
    bool some = false;
    for (long long i = first; (step > 0 ? i <= last : i >= last) && !broken(); i += step) {
        putf("%s%lld", some ? separator : "", i);
        some = true;
    }
    put(some ? "\n" : "");
    return 0;
}
