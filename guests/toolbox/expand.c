/* Expansion of words. A word is read once, left to right, into bytes with a flag each: quoted,
 * plain, or from an unquoted expansion (only these are split). Splitting and globbing then need no
 * quotes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "toolbox.h"

struct context {
    bool quoted;  /* inside double quotes or a here document */
    bool here;    /* a double quote is itself */
    bool braced;  /* inside ${ }: a backslash quotes } */
    char literal; /* flag of unquoted bytes that are no expansion */
};
struct expander {
    struct expansion* out;
    struct unit* unit; /* for what the scanners parse; made at first use */
    bool empty_list;   /* "$@" without parameters was seen since the last opening quote */
};

static bool expand_text(struct expander* e, const char* raw, size_t size, struct context context);

void fields_add(struct fields* fields, char* item) {
    if (fields->count + 1 >= fields->room) {
        size_t room = fields->room ? fields->room * 2 : 8;
        char** grown = scratch_get(room * sizeof *grown);
        if (fields->count > 0) {
            memcpy(grown, fields->items, fields->count * sizeof *grown);
        }
        fields->items = grown;
        fields->room = room;
    }
    fields->items[fields->count++] = item;
    fields->items[fields->count] = NULL;
}

static void emit(struct expander* e, char byte, char flag) {
    str_byte(&e->out->text, byte);
    str_byte(&e->out->flags, flag);
}

static void emit_bytes(struct expander* e, const char* bytes, size_t size, char flag) {
    if (size > kLineBytesMax || e->out->text.n > kLineBytesMax - size) {
        if (sh.unwind == kUnwindNone) {
            complain("a word is longer than %d bytes", kLineBytesMax);
            shell_fail(2);
        }
        return;
    }
    str_add(&e->out->text, bytes, size);
    str_fill(&e->out->flags, flag, size);
}

static void emit_value(struct expander* e, const char* text, struct context context) {
    emit_bytes(e, text, strlen(text), context.quoted ? kQuoted : kSplit);
}

static bool fail(const char* subject, const char* text) {
    complain("%s: %s", subject, text);
    shell_fail(2);
    return false;
}

static const char* separators(void) {
    const char* ifs = var_get("IFS");
    return ifs ? ifs : " \t\n";
}

static void emit_list(struct expander* e, char which, struct context context) {
    bool each = which == '@' || !context.quoted;
    if (each && sh.arg_count == 0) {
        e->empty_list = true;
    }
    for (int i = 0; i < sh.arg_count; i++) {
        if (i > 0 && each) {
            emit(e, which == '@' ? ' ' : separators()[0], kBreak);
        } else if (i > 0 && separators()[0]) {
            emit(e, separators()[0], kQuoted);
        }
        if (context.quoted) {
            emit(e, 0, kPresent);
        }
        emit_value(e, sh.args[i], context);
    }
}

/* The value of a parameter other than $@ and $*, in scratch or where it lives; NULL: not set. */
static const char* parameter(const char* name) {
    switch (name[0]) {
        case '#':
            return scratch_format("%d", sh.arg_count);
        case '?':
            return scratch_format("%d", sh.status);
        case '$':
            return "1";
        case '!':
            return NULL;
        case '-':
            return scratch_format("%s%s%s%s%s", sh.errexit ? "e" : "", sh.noglob ? "f" : "",
                                  sh.interactive ? "i" : "", sh.nounset ? "u" : "",
                                  sh.xtrace ? "x" : "");
        default:
            break;
    }
    if (name[0] >= '0' && name[0] <= '9') {
        long long index;
        if (!parse_number(name, &index) || index > sh.arg_count) {
            return NULL;
        }
        return index == 0 ? sh.name : sh.args[index - 1];
    }
    return var_get(name);
}

/* The length of the parameter's name at the start of the text; 0: there is none. */
static size_t name_length(const char* text, size_t size, bool braced) {
    size_t n = 0;
    if (size == 0) {
        return 0;
    }
    if (text[0] >= '0' && text[0] <= '9') {
        while (n < size && text[n] >= '0' && text[n] <= '9' && (braced || n == 0)) {
            n++;
        }
        return n;
    }
    while (n < size && is_name(text, n + 1)) {
        n++;
    }
    return n > 0 ? n : text[0] && strchr("@*#?-$!", text[0]) ? 1 : 0;
}

static bool is_list(const char* name) {
    return (name[0] == '@' || name[0] == '*') && !name[1];
}

static bool emit_parameter(struct expander* e, const char* name, const char* value,
                           struct context context) {
    if (is_list(name)) {
        emit_list(e, name[0], context);
        return true;
    }
    if (!value && sh.nounset) {
        return fail(name, "parameter not set");
    }
    if (value) {
        emit_value(e, value, context);
    }
    return true;
}

static char* join_args(void) {
    struct str all = {0};
    for (int i = 0; i < sh.arg_count; i++) {
        if (i > 0) {
            str_byte(&all, ' ');
        }
        str_text(&all, sh.args[i]);
    }
    return str_end(&all);
}

static char* plain_text(const struct expansion* all) {
    struct str text = {0};
    for (size_t i = 0; i < all->text.n; i++) {
        if (all->text.s[i]) { /* marks have no text */
            str_byte(&text, all->text.s[i]);
        }
    }
    return str_end(&text);
}

static bool strip(struct expander* e, const char* value, const char* word, size_t size,
                  struct context context) {
    char op = word[0];
    bool longest = size > 1 && word[1] == op;
    struct expansion pattern = {0};
    char* raw = pool_copy(&scratch, word + (longest ? 2 : 1), size - (longest ? 2 : 1));
    if (!expand_pattern(raw, &pattern)) {
        return false;
    }
    size_t all = strlen(value), n = pattern.text.n;
    const char *p = str_end(&pattern.text), *flags = str_end(&pattern.flags);
    for (size_t i = 0; i <= all; i++) {
        size_t cut = longest ? all - i : i; /* how much goes */
        if (op == '#' && pattern_matches(p, flags, n, value, cut)) {
            emit_value(e, value + cut, context);
            return true;
        }
        if (op == '%' && pattern_matches(p, flags, n, value + all - cut, cut)) {
            emit_bytes(e, value, all - cut, context.quoted ? kQuoted : kSplit);
            return true;
        }
    }
    emit_value(e, value, context);
    return true;
}

static bool assign_default(struct expander* e, const char* name, const char* word, size_t size,
                           struct context context) {
    if (!is_name(name, strlen(name))) {
        return fail(name, "cannot be assigned to");
    }
    struct expansion value = {0};
    struct expander inner = {.out = &value, .unit = e->unit};
    bool fine = expand_text(&inner, word, size, context);
    e->unit = inner.unit;
    if (!fine) {
        return false;
    }
    if (!var_set(name, plain_text(&value))) {
        shell_fail(2);
        return false;
    }
    emit_value(e, var_get(name), context);
    return true;
}

static bool absent(struct expander* e, const char* name, const char* word, size_t size,
                   struct context context) {
    if (size == 0) {
        return fail(name, "parameter not set");
    }
    struct expansion text = {0};
    struct expander inner = {.out = &text, .unit = e->unit};
    bool fine = expand_text(&inner, word, size, context);
    e->unit = inner.unit;
    return fine && fail(name, str_end(&text.text));
}

/* What is between ${ and }. */
static bool expand_brace(struct expander* e, const char* inner, size_t size,
                         struct context context) {
    bool length = size > 1 && inner[0] == '#' && name_length(inner + 1, size - 1, true) == size - 1;
    inner += length ? 1 : 0;
    size -= length ? 1 : 0;
    size_t n = name_length(inner, size, true);
    char* name = pool_copy(&scratch, inner, n);
    if (n == 0) {
        return fail("${}", "bad substitution");
    }
    const char* value = is_list(name) ? (sh.arg_count ? join_args() : NULL) : parameter(name);
    if (length) {
        if (!value && sh.nounset && !is_list(name)) {
            return fail(name, "parameter not set");
        }
        emit_value(e, scratch_format("%zu", value ? strlen(value) : 0), context);
        return true;
    }
    const char* word = inner + n;
    size -= n;
    if (size == 0) {
        return emit_parameter(e, name, value, context);
    }
    if (word[0] == '#' || word[0] == '%') {
        return !value && sh.nounset ? fail(name, "parameter not set")
                                    : strip(e, value ? value : "", word, size, context);
    }
    bool colon = word[0] == ':';
    word += colon ? 1 : 0;
    size -= colon ? 1 : 0;
    bool missing = !value || (colon && !*value);
    char op = size > 0 ? word[0] : 0;
    context.braced = true;
    context.literal = context.quoted ? kQuoted : kSplit;
    if (op == '+' ? missing : !missing && op && strchr("-=?", op)) {
        return op == '+' || emit_parameter(e, name, value, context);
    }
    switch (op) {
        case '-':
        case '+':
            return expand_text(e, word + 1, size - 1, context);
        case '=':
            return assign_default(e, name, word + 1, size - 1, context);
        case '?':
            return absent(e, name, word + 1, size - 1, context);
        default:
            return fail(name, "bad substitution");
    }
}

static void emit_substitution(struct expander* e, const char* text, size_t size,
                              struct context context) {
    struct str output = run_substitution(text, size);
    emit_bytes(e, output.s, output.n, context.quoted ? kQuoted : kSplit);
}

static bool expand_arithmetic(struct expander* e, const char* raw, size_t size,
                              struct context context) {
    struct expansion text = {0};
    struct expander inner = {.out = &text, .unit = e->unit};
    bool fine = expand_text(&inner, raw, size, (struct context){.quoted = true});
    e->unit = inner.unit;
    int64_t value;
    if (!fine || !arith(str_end(&text.text), &value)) {
        if (fine) {
            shell_fail(2);
        }
        return false;
    }
    emit_value(e, scratch_format("%lld", (long long)value), context);
    return true;
}

/* A $ with what belongs to it; *at moves behind it. */
static bool expand_dollar(struct expander* e, const char* raw, size_t size, size_t* at,
                          struct context context) {
    size_t start = *at;
    char next = start + 1 < size ? raw[start + 1] : 0;
    if (next != '{' && next != '(') {
        size_t n = name_length(raw + start + 1, size - start - 1, false);
        *at = start + 1 + n;
        if (n == 0) {
            emit(e, '$', kQuoted);
            return true;
        }
        char* name = pool_copy(&scratch, raw + start + 1, n);
        return emit_parameter(e, name, is_list(name) ? NULL : parameter(name), context);
    }
    e->unit = e->unit ? e->unit : unit_new();
    struct source src = {.text = (char*)raw, .size = size, .at = start};
    struct parser p = {.src = &src, .unit = e->unit};
    if (!scan_dollar(&p, context.quoted)) {
        shell_fail(2);
        return false;
    }
    *at = src.at;
    if (next == '{') {
        return expand_brace(e, raw + start + 2, src.at - start - 3, context);
    }
    if (p.arithmetic) {
        return expand_arithmetic(e, raw + start + 3, src.at - start - 5, context);
    }
    emit_substitution(e, raw + start + 2, src.at - start - 3, context);
    return sh.unwind == kUnwindNone;
}

static void expand_backquotes(struct expander* e, const char* raw, size_t size, size_t* at,
                              struct context context) {
    struct str text = {0};
    size_t i = *at + 1;
    for (; i < size && raw[i] != '`'; i++) {
        char next = raw[i] == '\\' && i + 1 < size ? raw[i + 1] : 0;
        if (next && (strchr("$`\\", next) || (next == '"' && context.quoted && !context.here))) {
            i++;
        }
        str_byte(&text, raw[i]);
    }
    *at = i < size ? i + 1 : size;
    char* all = str_end(&text);
    emit_substitution(e, all, text.n, context);
}

static size_t expand_backslash(struct expander* e, const char* raw, size_t size, size_t at,
                               struct context context) {
    char next = at + 1 < size ? raw[at + 1] : 0;
    if (at + 1 < size && next == '\n') {
        return at + 2;
    }
    bool quotes = at + 1 < size;
    if (context.quoted) {
        quotes =
            next && (strchr("$`\\", next) || (next == '"' && (!context.here || context.braced)) ||
                     (next == '}' && context.braced));
    }
    emit(e, quotes ? next : '\\', kQuoted);
    return at + (quotes ? 2 : 1);
}

static size_t expand_tilde(struct expander* e, const char* raw, size_t size) {
    const char* home = var_get("HOME");
    if (size > 0 && raw[0] == '~' && (size == 1 || raw[1] == '/') && home) {
        emit_bytes(e, home, strlen(home), kQuoted);
        return 1;
    }
    return 0;
}

static bool expand_text(struct expander* e, const char* raw, size_t size, struct context context) {
    bool outer = context.quoted; /* then a double quote inside changes nothing */
    size_t at = outer ? 0 : expand_tilde(e, raw, size);
    while (at < size) {
        char c = raw[at];
        if (c == '\\') {
            at = expand_backslash(e, raw, size, at, context);
        } else if (c == '\'' && !context.quoted) {
            const char* end = memchr(raw + at + 1, '\'', size - at - 1);
            size_t n = end ? (size_t)(end - (raw + at + 1)) : size - at - 1;
            emit(e, 0, kPresent);
            emit_bytes(e, raw + at + 1, n, kQuoted);
            at += n + 2;
        } else if (c == '"' && !(context.here && !context.braced)) {
            if (!outer) {
                context.quoted = !context.quoted;
                if (context.quoted) {
                    e->empty_list = false;
                } else if (!e->empty_list) {
                    emit(e, 0, kPresent);
                }
            }
            at++;
        } else if (c == '$') {
            if (!expand_dollar(e, raw, size, &at, context)) {
                return false;
            }
        } else if (c == '`') {
            expand_backquotes(e, raw, size, &at, context);
            if (sh.unwind != kUnwindNone) {
                return false;
            }
        } else {
            emit(e, c, context.quoted ? kQuoted : context.literal);
            at++;
        }
    }
    return true;
}

static bool expand_all(const char* raw, struct expansion* out, struct context context) {
    struct expander e = {.out = out};
    bool fine = expand_text(&e, raw, strlen(raw), context);
    unit_drop(e.unit);
    return fine && sh.unwind == kUnwindNone;
}

struct splitter {
    struct fields* into;
    struct str text, flags;
    bool present;     /* the field exists even if it is empty */
    bool after_blank; /* the last field was ended by a blank of IFS */
};

static bool end_field(struct splitter* s) {
    const char* text = str_end(&s->text);
    bool globbed = !sh.noglob && pattern_magic(text, s->flags.s, s->text.n) &&
                   glob_add(text, s->flags.s, s->text.n, s->into);
    if (!globbed) {
        fields_add(s->into, pool_copy(&scratch, text, s->text.n));
    }
    s->text.n = s->flags.n = 0;
    s->present = false;
    if (s->into->count > kFieldsMax) {
        complain("more than %d words in a command", kFieldsMax);
        shell_fail(2);
        return false;
    }
    return true;
}

static bool split_byte(struct splitter* s, char byte) {
    bool blank = byte == ' ' || byte == '\t' || byte == '\n';
    bool some = s->text.n > 0 || s->present;
    if (blank) {
        if (some) {
            s->after_blank = true;
            return end_field(s);
        }
        return true;
    }
    bool same = !some && s->after_blank; /* the blanks before belong to this separator */
    s->after_blank = false;
    return same || end_field(s);
}

bool expand_fields(const char* raw, struct fields* into) {
    struct expansion all = {0};
    if (!expand_all(raw, &all, (struct context){.literal = kPlain})) {
        return false;
    }
    const char* ifs = separators();
    struct splitter s = {.into = into};
    for (size_t i = 0; i < all.text.n; i++) {
        char byte = all.text.s[i], flag = all.flags.s[i];
        bool fine = true;
        if (flag == kPresent) {
            s.present = true;
        } else if (flag == kBreak) {
            fine = (s.text.n == 0 && !s.present) || end_field(&s);
            s.after_blank = false;
        } else if (flag == kSplit && byte && strchr(ifs, byte)) {
            fine = split_byte(&s, byte);
        } else {
            s.after_blank = false;
            str_byte(&s.text, byte);
            str_byte(&s.flags, flag);
        }
        if (!fine) {
            return false;
        }
    }
    return (s.text.n == 0 && !s.present) || end_field(&s);
}

char* expand_one(const char* raw) {
    struct expansion all = {0};
    return expand_all(raw, &all, (struct context){.literal = kPlain}) ? plain_text(&all) : NULL;
}

char* expand_here(const char* raw) {
    struct expansion all = {0};
    struct context context = {.quoted = true, .here = true};
    return expand_all(raw, &all, context) ? plain_text(&all) : NULL;
}

bool expand_pattern(const char* raw, struct expansion* into) {
    struct expansion all = {0};
    if (!expand_all(raw, &all, (struct context){.literal = kPlain})) {
        return false;
    }
    for (size_t i = 0; i < all.text.n; i++) {
        if (all.flags.s[i] != kPresent) {
            str_byte(&into->text, all.text.s[i]);
            str_byte(&into->flags, all.flags.s[i]);
        }
    }
    str_end(&into->text);
    str_end(&into->flags);
    return true;
}
