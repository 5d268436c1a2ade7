/* sed: s, p, d, q, =, y, a, i, c with addresses and ranges; no hold space, labels or groups. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools.h"

enum { kCommandsMax = 256, kGroups = 10 };
enum address_kind { kAddressNone, kAddressLine, kAddressLast, kAddressRegex };

struct address {
    enum address_kind kind;
    unsigned long long line;
    regex_t regex;
};
struct command {
    struct address from, to;
    bool negated, inside, steps;
    char name;
    regex_t regex;
    bool has_regex;
    char *text, *text_to;
    bool global, print;
    long nth;
};
struct sed {
    struct command commands[kCommandsMax];
    int count;
    bool quiet, extended, in_place;
    bool quit;
    int status;
    unsigned long long line;
    bool last;
};

static bool sed_wrong(const char* text, const char* at) {
    complain("%s at \"%.40s\"", text, at);
    return false;
}

/* The text up to the delimiter; \DELIMITER becomes the delimiter, \n a newline. NULL: no end. */
static char* part_until(const char** at, char delimiter, bool regex) {
    struct str part = {0};
    bool set = false;
    for (; **at && (**at != delimiter || set); ++*at) {
        char c = **at;
        if (regex && c == '[' && !set) {
            set = true; /* a delimiter inside a set is itself */
            str_byte(&part, c);
            for (int i = 0; i < 2 && (*at)[1] == "^]"[i]; i++) {
                str_byte(&part, *++*at);
            }
            continue;
        }
        set = set && c != ']';
        if (c == '\\' && (*at)[1]) {
            char next = *++*at;
            if (next == delimiter && !(regex && strchr("|+?(){}", delimiter))) {
                str_byte(&part, next);
                continue;
            }
            if (next == 'n' || next == 't') {
                str_byte(&part, next == 'n' ? '\n' : '\t');
                continue;
            }
            str_byte(&part, '\\');
            c = next;
        }
        str_byte(&part, c);
    }
    if (**at != delimiter) {
        return NULL;
    }
    ++*at;
    return str_end(&part);
}

static bool compile_regex(const struct sed* sed, regex_t* regex, const char* text, bool fold) {
    int flags = (sed->extended ? REG_EXTENDED : 0) | (fold ? REG_ICASE : 0);
    return regex_compile(regex, text, flags);
}

static bool parse_address(struct sed* sed, const char** at, struct address* address) {
    if (**at >= '0' && **at <= '9') {
        address->kind = kAddressLine;
        address->line = strtoull(*at, (char**)at, 10);
    } else if (**at == '$') {
        address->kind = kAddressLast;
        ++*at;
    } else if (**at == '/') {
        ++*at;
        char* text = part_until(at, '/', true);
        bool fold = text && **at == 'I';
        *at += fold;
        if (!text || !compile_regex(sed, &address->regex, text, fold)) {
            return text ? false : sed_wrong("no end of the address", *at);
        }
        address->kind = kAddressRegex;
    }
    return true;
}

static bool parse_substitute(struct sed* sed, struct command* c, const char** at) {
    char delimiter = *(*at)++;
    const char* start = *at;
    char* regex = delimiter && delimiter != '\n' ? part_until(at, delimiter, true) : NULL;
    c->text = regex ? part_until(at, delimiter, false) : NULL;
    if (!c->text) {
        return sed_wrong("no end of the command", start);
    }
    if (c->name == 'y') {
        c->text_to = c->text;
        c->text = regex;
        return strlen(c->text) == strlen(c->text_to) || sed_wrong("different lengths", start);
    }
    bool fold = false;
    for (; **at && strchr("gpiI123456789", **at); ++*at) {
        c->global |= **at == 'g';
        c->print |= **at == 'p';
        fold |= **at == 'i' || **at == 'I';
        if (**at >= '1' && **at <= '9') {
            c->nth = strtol(*at, (char**)at, 10);
            --*at;
        }
    }
    c->has_regex = compile_regex(sed, &c->regex, regex, fold);
    return c->has_regex;
}

static void parse_text(struct command* c, const char** at) {
    while (**at == ' ' || **at == '\t') {
        ++*at;
    }
    if (**at == '\\') {
        ++*at;
        *at += strspn(*at, " \t");
        *at += **at == '\n';
    }
    struct str text = {0};
    for (; **at && **at != '\n'; ++*at) {
        if (**at == '\\' && (*at)[1]) {
            ++*at;
        }
        str_byte(&text, **at);
    }
    c->text = str_end(&text);
}

static bool parse_command(struct sed* sed, const char** at) {
    if (sed->count == kCommandsMax) {
        return sed_wrong("more than 256 commands", *at);
    }
    struct command* c = &sed->commands[sed->count++];
    if (!parse_address(sed, at, &c->from)) {
        return false;
    }
    if (**at == ',' && c->from.kind != kAddressNone) {
        ++*at;
        *at += strspn(*at, " ");
        if (**at == '+') {
            c->steps = true;
            ++*at;
        }
        if (!parse_address(sed, at, &c->to) || c->to.kind == kAddressNone) {
            return sed_wrong("bad address", *at);
        }
    }
    *at += strspn(*at, " \t");
    while (**at == '!') {
        c->negated = true;
        ++*at;
        *at += strspn(*at, " \t");
    }
    c->name = **at;
    const char* start = *at;
    *at += **at != '\0';
    if (c->name == 's' || c->name == 'y') {
        if (!parse_substitute(sed, c, at)) {
            return false;
        }
    } else if (c->name && strchr("aic", c->name)) {
        parse_text(c, at);
    } else if (!c->name || !strchr("pdq=", c->name)) {
        return sed_wrong("s, y, p, d, q, =, a, i, c are known, no other command", start);
    }
    *at += strspn(*at, " \t");
    return !**at || **at == ';' || **at == '\n' || **at == '#' || sed_wrong("what follows", *at);
}

static bool parse_script(struct sed* sed, const char* at) {
    for (;;) {
        at += strspn(at, " \t\n;");
        if (*at == '#') {
            at += strcspn(at, "\n");
        } else if (!*at) {
            return true;
        } else if (!parse_command(sed, &at)) {
            return false;
        }
    }
}

static bool address_holds(const struct sed* sed, const struct address* address, const char* line) {
    switch (address->kind) {
        case kAddressLine:
            return sed->line == address->line;
        case kAddressLast:
            return sed->last;
        case kAddressRegex:
            return regexec(&address->regex, line, 0, NULL, 0) == 0;
        default:
            return true;
    }
}

static bool applies(const struct sed* sed, struct command* c, const char* line) {
    if (c->to.kind == kAddressNone) {
        return address_holds(sed, &c->from, line) != c->negated;
    }
    bool inside = c->inside;
    if (!inside && address_holds(sed, &c->from, line)) {
        inside = true;
        if (c->steps) {
            c->to.kind = kAddressLine;
            c->nth = (long)(sed->line + c->to.line);
        }
        unsigned long long end = c->steps ? (unsigned long long)c->nth : c->to.line;
        c->inside = !(c->to.kind == kAddressLine && end <= sed->line);
    } else if (inside) {
        unsigned long long end = c->steps ? (unsigned long long)c->nth : c->to.line;
        bool over =
            c->to.kind == kAddressLine ? sed->line >= end : address_holds(sed, &c->to, line);
        c->inside = !over;
    }
    return inside != c->negated;
}

static void add_replacement(struct str* out, const char* text, const char* from,
                            const regmatch_t* groups) {
    for (; *text; text++) {
        int group = *text == '&' ? 0 : -1;
        if (*text == '\\' && text[1]) {
            text++;
            group = *text >= '0' && *text <= '9' ? *text - '0' : -1;
        }
        if (group < 0) {
            str_byte(out, *text);
        } else if (groups[group].rm_so >= 0) {
            str_add(out, from + groups[group].rm_so,
                    (size_t)(groups[group].rm_eo - groups[group].rm_so));
        }
    }
}

static bool substitute(const struct command* c, struct str* line) {
    struct str out = {0};
    const char* at = str_end(line);
    regmatch_t groups[kGroups];
    bool changed = false;
    long seen = 0;
    bool after_match = false;
    while (regexec(&c->regex, at, kGroups, groups, at > line->s ? REG_NOTBOL : 0) == 0) {
        bool empty = groups[0].rm_eo == groups[0].rm_so;
        bool counts = !(empty && groups[0].rm_so == 0 && after_match);
        str_add(&out, at, (size_t)groups[0].rm_so);
        bool wanted = counts && ++seen >= (c->nth > 0 ? c->nth : 1);
        if (wanted) {
            add_replacement(&out, c->text, at, groups);
            changed = true;
        } else {
            str_add(&out, at + groups[0].rm_so, (size_t)(groups[0].rm_eo - groups[0].rm_so));
        }
        at += groups[0].rm_eo;
        after_match = !empty;
        if (wanted && !c->global) {
            break;
        }
        if (empty) {
            if (!*at) {
                break;
            }
            str_byte(&out, *at++);
        }
    }
    if (changed && out.n + strlen(at) <= kLineBytesMax) {
        str_text(&out, at);
        line->n = 0;
        str_add(line, out.s, out.n);
    }
    return changed;
}

static void put_line(const struct str* line, bool ended) {
    put_bytes(line->s, line->n);
    put(ended ? "\n" : "");
}

/* Runs the script on one line; false: the line is deleted. */
static bool run_commands(struct sed* sed, struct str* line, struct str* after) {
    for (int i = 0; i < sed->count && !broken(); i++) {
        struct command* c = &sed->commands[i];
        if (!applies(sed, c, str_end(line))) {
            continue;
        }
        switch (c->name) {
            case 's':
                if (substitute(c, line) && c->print) {
                    put_line(line, true);
                }
                break;
            case 'y':
                for (size_t j = 0; j < line->n; j++) {
                    const char* found = line->s[j] ? strchr(c->text, line->s[j]) : NULL;
                    line->s[j] = found ? c->text_to[found - c->text] : line->s[j];
                }
                break;
            case 'p':
                put_line(line, true);
                break;
            case '=':
                putf("%llu\n", sed->line);
                break;
            case 'i':
                putf("%s\n", c->text);
                break;
            case 'a':
                str_text(after, c->text);
                str_byte(after, '\n');
                break;
            case 'c':
                if (c->to.kind == kAddressNone || !c->inside || c->negated) {
                    putf("%s\n", c->text);
                }
                return false;
            case 'd':
                return false;
            default: /* q */
                sed->quit = true;
                return true;
        }
    }
    return true;
}

static void sed_stream(struct sed* sed, struct file* file, const char* name, bool last_file) {
    struct str line = {0}, next = {0};
    struct reader reader = {.file = file, .name = name, .status = &sed->status};
    bool some = read_line(&reader, &line);
    while (some && !broken() && !sed->quit) {
        struct str work = {0}, after = {0};
        bool ended = reader.ended;
        some = read_line(&reader, &next); /* the last line must be known as such */
        struct mark mark = scratch_mark();
        str_add(&work, line.s, line.n);
        sed->line++;
        sed->last = !some && last_file;
        if (run_commands(sed, &work, &after) && !sed->quiet) {
            put_line(&work, ended || after.n > 0);
        }
        put_bytes(after.s, after.n);
        scratch_release(mark);
        struct str spare = line;
        line = next;
        next = spare;
    }
}

static void sed_in_place(struct sed* sed, const char* path) {
    char* copy = scratch_format("%s.sed-new", path);
    struct file* from = open_operand(path);
    struct file* to = from ? file_open(copy, O_WRONLY | O_CREAT | O_TRUNC) : NULL;
    if (!to) {
        if (from) {
            complain_errno(copy);
        }
        file_drop(from);
        sed->status = 4;
        return;
    }
    struct file* before = fds[1];
    fds[1] = to;
    sed->line = 0;
    sed->quit = false;
    sed_stream(sed, from, path, true);
    if (sed->quit) { /* what was not read stays */
        char part[4096];
        for (ssize_t got; (got = file_read(from, part, sizeof part)) > 0;) {
            put_bytes(part, (size_t)got);
        }
    }
    bool fine = file_flush(to) && !broken();
    fds[1] = before;
    file_drop(to);
    file_drop(from);
    if (!fine || rename(copy, path) != 0) {
        complain_errno(path);
        unlink(copy);
        sed->status = 4;
    }
}

static void sed_free(struct sed* sed) {
    for (int i = 0; i < sed->count; i++) {
        struct command* c = &sed->commands[i];
        if (c->from.kind == kAddressRegex) {
            regfree(&c->from.regex);
        }
        if (c->to.kind == kAddressRegex) {
            regfree(&c->to.regex);
        }
        if (c->has_regex) {
            regfree(&c->regex);
        }
    }
}

static void sed_files(struct sed* sed, char** names, int count) {
    char* input[] = {"-"};
    names = count > 0 ? names : input;
    count = count > 0 ? count : 1;
    for (int i = 0; i < count && !broken() && !sed->quit; i++) {
        if (sed->in_place) {
            sed_in_place(sed, names[i]);
            sed->quit = false;
            continue;
        }
        struct file* file = open_operand(names[i]);
        if (file) {
            sed_stream(sed, file, names[i], i + 1 == count);
        } else {
            sed->status = 2;
        }
        file_drop(file);
    }
}

int sed_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "nrEe:f:is");
    struct sed* sed = scratch_get(sizeof *sed);
    struct str script = {0};
    bool given = false;
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?') {
            return 1;
        }
        if (letter == 'f') {
            struct file* file = open_operand(o.argument);
            struct str text = {0};
            if (file) {
                text = read_all(file, o.argument, kScriptBytesMax, &sed->status);
            }
            file_drop(file);
            if (!file || sed->status != 0) {
                return 1;
            }
            str_add(&script, text.s, text.n);
        }
        if (letter == 'e') {
            str_text(&script, o.argument);
        }
        if (letter == 'e' || letter == 'f') {
            str_byte(&script, '\n');
            given = true;
        }
        sed->quiet |= letter == 'n';
        sed->extended |= letter == 'r' || letter == 'E';
        sed->in_place |= letter == 'i';
    }
    int first = 0;
    if (!given) {
        if (o.operand_count == 0) {
            complain("a script is needed");
            return 1;
        }
        str_text(&script, o.operands[0]);
        first = 1;
    }
    if (!parse_script(sed, str_end(&script))) {
        sed->status = 1;
    } else {
        sed_files(sed, o.operands + first, o.operand_count - first);
    }
    sed_free(sed);
    return sed->status;
}
