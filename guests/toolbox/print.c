/* echo, printf, test and read: the builtins that need no state of the shell but variables. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "toolbox.h"

int echo_main(int argc, char** argv);
int printf_main(int argc, char** argv);
int test_main(int argc, char** argv);
int read_main(int argc, char** argv);

static int hex_digits(const char* text) {
    return (int)strspn(text, "0123456789abcdefABCDEF");
}

/* One backslash sequence at `text`: its byte, and how many characters it takes. A backslash that
 * begins none is itself. `octal_zero`: \0NNN as in echo, else \NNN as in a format. */
static size_t decode_escape(const char* text, bool octal_zero, char* byte, bool* stop) {
    static const char letters[] = "abefnrtv\\\"", bytes[] = "\a\b\033\f\n\r\t\v\\\"";
    char c = text[1];
    *byte = '\\';
    if (c == 'c') {
        *stop = true;
        return 2;
    }
    if (c == 'x' && hex_digits(text + 2) > 0) {
        char digits[3] = {text[2], hex_digits(text + 2) > 1 ? text[3] : 0, 0};
        *byte = (char)strtol(digits, NULL, 16);
        return 2 + strlen(digits);
    }
    if (c >= '0' && c <= '7' && (!octal_zero || c == '0')) {
        int value = 0, most = octal_zero ? 4 : 3, taken = 0;
        for (; taken < most && text[1 + taken] >= '0' && text[1 + taken] <= '7'; taken++) {
            value = value * 8 + (text[1 + taken] - '0');
        }
        *byte = (char)value;
        return 1 + (size_t)taken;
    }
    const char* known = c ? strchr(letters, c) : NULL;
    if (!known || (octal_zero && c == '"')) {
        return 1;
    }
    *byte = bytes[known - letters];
    return 2;
}

char* decode_escapes(const char* text, size_t* size, bool octal_zero, bool* stop) {
    struct str out = {0};
    while (*text && !*stop) {
        char byte = *text;
        text += byte == '\\' ? decode_escape(text, octal_zero, &byte, stop) : 1;
        if (!*stop) {
            str_byte(&out, byte);
        }
    }
    *size = out.n;
    return str_end(&out);
}

int echo_main(int argc, char** argv) {
    bool newline = true, escapes = false, stop = false;
    int at = 1;
    for (; at < argc && argv[at][0] == '-' && argv[at][1] &&
           strspn(argv[at] + 1, "neE") == strlen(argv[at] + 1);
         at++) {
        for (const char* letter = argv[at] + 1; *letter; letter++) {
            newline = newline && *letter != 'n';
            escapes = *letter == 'e' || (escapes && *letter != 'E');
        }
    }
    for (int first = at; at < argc && !stop; at++) {
        size_t size = strlen(argv[at]);
        const char* text = escapes ? decode_escapes(argv[at], &size, true, &stop) : argv[at];
        if (at > first) {
            put_byte(' ');
        }
        put_bytes(text, size);
    }
    if (newline && !stop) {
        put_byte('\n');
    }
    return 0;
}

/* ---- printf ---- */

struct printer {
    char** args;
    int count, at;
    int status;
    bool stop;
};

static const char* next_text(struct printer* p) {
    return p->at < p->count ? p->args[p->at++] : NULL;
}

static long long number_of(struct printer* p, const char* text) {
    if (!text || !*text) {
        return 0;
    }
    if (text[0] == '\'' || text[0] == '"') {
        return (unsigned char)text[1];
    }
    char* end;
    errno = 0;
    long long value = text[0] == '-' ? strtoll(text, &end, 0) : (long long)strtoull(text, &end, 0);
    if (*end || errno) {
        complain("%s: %s", text, errno ? strerror(errno) : "not a number");
        p->status = 1;
    }
    return value;
}

static double real_of(struct printer* p, const char* text) {
    char* end = "";
    double value = text ? strtod(text, &end) : 0;
    if (*end) {
        complain("%s: not a number", text);
        p->status = 1;
    }
    return value;
}

/* A width or precision: digits or a star. */
static const char* read_width(struct printer* p, const char* format, long long* value) {
    if (*format == '*') {
        *value = number_of(p, next_text(p));
        format++;
    } else {
        while (*format >= '0' && *format <= '9' && *value < 100000) {
            *value = *value * 10 + (*format++ - '0');
        }
    }
    *value = *value > 100000 ? 100000 : *value < -100000 ? -100000 : *value;
    return format;
}

static void put_padded(const char* text, size_t size, long long width, long long precision) {
    bool left = width < 0;
    size_t room = (size_t)(left ? -width : width);
    size = precision >= 0 && (size_t)precision < size ? (size_t)precision : size;
    for (size_t i = size; !left && i < room; i++) {
        put_byte(' ');
    }
    put_bytes(text, size);
    for (size_t i = size; left && i < room; i++) {
        put_byte(' ');
    }
}

/* One conversion behind its %; returns what follows it, NULL when the format is wrong. */
static const char* convert(struct printer* p, const char* format) {
    char flags[8] = "";
    size_t n = 0;
    long long width = 0, precision = -1;
    while (*format && strchr("-+ #0", *format) && n < sizeof flags - 1) {
        flags[n++] = *format++;
    }
    format = read_width(p, format, &width);
    if (*format == '.') {
        precision = 0;
        format = read_width(p, format + 1, &precision);
    }
    char kind = *format;
    char spec[64];
    if (kind == 's' || kind == 'b' || kind == 'c') {
        const char* text = next_text(p);
        text = text ? text : "";
        size_t size = kind == 'c' && *text ? 1 : strlen(text);
        if (kind == 'b') {
            text = decode_escapes(text, &size, true, &p->stop);
        }
        put_padded(text, size, strchr(flags, '-') && width > 0 ? -width : width, precision);
    } else if (kind && strchr("diouxX", kind)) {
        snprintf(spec, sizeof spec, "%%%s*.*ll%c", flags, kind);
        put(scratch_format(spec, (int)width, (int)precision, number_of(p, next_text(p))));
    } else if (kind && strchr("eEfFgG", kind)) {
        snprintf(spec, sizeof spec, "%%%s*.*%c", flags, kind);
        put(scratch_format(spec, (int)width, (int)precision, real_of(p, next_text(p))));
    } else {
        complain("%%%c: no such conversion", kind ? kind : ' ');
        p->status = 1;
        return NULL;
    }
    return format + 1;
}

static bool print_once(struct printer* p, const char* format) {
    while (*format && !p->stop && !broken()) {
        size_t plain = strcspn(format, "%\\");
        put_bytes(format, plain);
        format += plain;
        if (*format == '\\') {
            char byte;
            format += decode_escape(format, false, &byte, &p->stop);
            if (!p->stop) {
                put_byte(byte);
            }
        } else if (*format == '%' && format[1] == '%') {
            put_byte('%');
            format += 2;
        } else if (*format == '%') {
            format = convert(p, format + 1);
            if (!format) {
                return false;
            }
        }
    }
    return true;
}

int printf_main(int argc, char** argv) {
    int at = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1;
    if (at >= argc) {
        complain("usage: printf FORMAT [ARG...]");
        return 2;
    }
    struct printer p = {.args = argv + at + 1, .count = argc - at - 1};
    int before;
    do {
        before = p.at;
    } while (print_once(&p, argv[at]) && !p.stop && p.at < p.count && p.at > before && !broken());
    return p.status;
}

/* ---- test ---- */

enum { kTestDepthMax = 100 };

struct test {
    char** args;
    int count, at, depth;
    bool failed;
};

static bool test_or(struct test* t);

static const char* test_word(struct test* t, int ahead) {
    return t->at + ahead < t->count ? t->args[t->at + ahead] : NULL;
}

static bool test_wrong(struct test* t, const char* subject, const char* text) {
    if (!t->failed) {
        complain("%s: %s", subject, text);
    }
    t->failed = true;
    return false;
}

static bool is_binary(const char* op) {
    static const char* const ops[] = {"=",   "==",  "!=",  "<",   ">",   "-eq", "-ne", "-lt",
                                      "-le", "-gt", "-ge", "-nt", "-ot", "-ef", NULL};
    for (int i = 0; op && ops[i]; i++) {
        if (strcmp(op, ops[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_unary(const char* op) {
    return op[0] == '-' && op[1] && !op[2] && strchr("bcdefghknprsStuwxzLOG", op[1]);
}

static bool test_unary(struct test* t, char op, const char* word) {
    struct stat status;
    switch (op) {
        case 'n':
            return *word != '\0';
        case 'z':
            return *word == '\0';
        case 't':
            return word[0] >= '0' && word[0] <= '9' && !word[1] &&
                   file_terminal(fds[word[0] - '0']);
        case 'r':
            return may_access(word, R_OK);
        case 'w':
            return may_access(word, W_OK);
        case 'x':
            return may_access(word, X_OK);
        case 'h':
        case 'L':
            return lstat(word, &status) == 0 && S_ISLNK(status.st_mode);
        default:
            break;
    }
    (void)t;
    struct identity who;
    if (status_of(word, true, &status) != 0) {
        return false;
    }
    char kind = kind_letter(&status);
    switch (op) {
        case 'e':
            return true;
        case 'f':
            return kind == '-';
        case 's':
            return status.st_size > 0;
        case 'S':
            return kind == 's';
        case 'u':
            return status.st_mode & 04000;
        case 'g':
            return status.st_mode & 02000;
        case 'k':
            return status.st_mode & 01000;
        case 'O':
            identity_get(&who);
            return status.st_uid == who.uid;
        case 'G':
            identity_get(&who);
            return status.st_gid == who.gid;
        default:
            return kind == op; /* b, c, d and p */
    }
}

static long long test_number(struct test* t, const char* word) {
    long long value = 0;
    word += strspn(word, " \t\n");
    size_t size = strlen(word);
    while (size > 0 && strchr(" \t\n", word[size - 1])) {
        size--;
    }
    if (!parse_number(pool_copy(&scratch, word, size), &value)) {
        test_wrong(t, word, "not a number");
    }
    return value;
}

static bool test_files(const char* left, const char* op, const char* right) {
    struct stat a, b;
    bool has_a = stat(left, &a) == 0, has_b = stat(right, &b) == 0;
    if (op[1] == 'e') {
        return has_a && has_b && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
    }
    if (!has_a || !has_b) {
        return op[1] == 'n' ? has_a && !has_b : has_b && !has_a;
    }
    long long newer = (long long)a.st_mtim.tv_sec - (long long)b.st_mtim.tv_sec;
    newer = newer ? newer : a.st_mtim.tv_nsec - b.st_mtim.tv_nsec;
    return op[1] == 'n' ? newer > 0 : newer < 0;
}

static bool test_binary(struct test* t, const char* left, const char* op, const char* right) {
    if (op[0] != '-') {
        int order = strcmp(left, right);
        return op[0] == '='   ? order == 0
               : op[0] == '!' ? order != 0
               : op[0] == '<' ? order < 0
                              : order > 0;
    }
    if (strcmp(op, "-nt") == 0 || strcmp(op, "-ot") == 0 || strcmp(op, "-ef") == 0) {
        return test_files(left, op, right);
    }
    long long a = test_number(t, left), b = test_number(t, right);
    return op[1] == 'e'                   ? a == b
           : op[1] == 'n'                 ? a != b
           : op[1] == 'l' && op[2] == 't' ? a < b
           : op[1] == 'l'                 ? a <= b
           : op[2] == 't'                 ? a > b
                                          : a >= b;
}

static bool test_primary(struct test* t) {
    const char* word = test_word(t, 0);
    if (!word) {
        return test_wrong(t, "test", "an argument is missing");
    }
    if (++t->depth > kTestDepthMax) {
        return test_wrong(t, "test", "nested too deep");
    }
    bool holds;
    if (is_binary(test_word(t, 1)) && test_word(t, 2)) {
        holds = test_binary(t, word, test_word(t, 1), test_word(t, 2));
        t->at += 3;
    } else if (strcmp(word, "!") == 0 && test_word(t, 1)) {
        t->at++;
        holds = !test_primary(t);
    } else if (strcmp(word, "(") == 0 && test_word(t, 1)) {
        t->at++;
        holds = test_or(t);
        if (!test_word(t, 0) || strcmp(test_word(t, 0), ")") != 0) {
            return test_wrong(t, "test", "no )");
        }
        t->at++;
    } else if (is_unary(word) && test_word(t, 1)) {
        holds = test_unary(t, word[1], test_word(t, 1));
        t->at += 2;
    } else {
        holds = *word != '\0';
        t->at++;
    }
    t->depth--;
    return holds;
}

static bool test_and(struct test* t) {
    bool holds = test_primary(t);
    while (!t->failed && test_word(t, 0) && strcmp(test_word(t, 0), "-a") == 0) {
        t->at++;
        bool right = test_primary(t);
        holds = holds && right;
    }
    return holds;
}

static bool test_or(struct test* t) {
    bool holds = test_and(t);
    while (!t->failed && test_word(t, 0) && strcmp(test_word(t, 0), "-o") == 0) {
        t->at++;
        bool right = test_and(t);
        holds = holds || right;
    }
    return holds;
}

int test_main(int argc, char** argv) {
    if (strcmp(base_of(argv[0]), "[") == 0) {
        if (strcmp(argv[argc - 1], "]") != 0) {
            complain("no ]");
            return 2;
        }
        argc--;
    }
    struct test t = {.args = argv + 1, .count = argc - 1};
    if (t.count == 0) {
        return 1;
    }
    bool holds = test_or(&t);
    if (!t.failed && t.at < t.count) {
        test_wrong(&t, t.args[t.at], "unexpected operator");
    }
    return t.failed ? 2 : !holds;
}

/* ---- read ---- */

/* A line with backslashes read (quoted bytes marked); false: end of the file before a newline. */
static bool read_logical(bool raw, struct str* text, struct str* quoted) {
    char c;
    bool ended = false;
    while (text->n < kLineBytesMax && file_read(fds[0], &c, 1) == 1) {
        bool escaped = c == '\\' && !raw;
        if (escaped && file_read(fds[0], &c, 1) != 1) {
            break;
        }
        if (c == '\n') {
            if (escaped) {
                continue;
            }
            ended = true;
            break;
        }
        if (c) {
            str_byte(text, c);
            str_byte(quoted, escaped);
        }
    }
    str_end(text);
    str_end(quoted);
    return ended;
}

struct cutter {
    struct str text, quoted;
    const char* ifs;
    size_t at;
};

static bool is_separator(const struct cutter* c, size_t at, bool blank) {
    char byte = c->text.s[at];
    bool is_blank = byte == ' ' || byte == '\t' || byte == '\n';
    return at < c->text.n && !c->quoted.s[at] && strchr(c->ifs, byte) && is_blank == blank;
}

static void skip_separators(struct cutter* c) {
    while (is_separator(c, c->at, true)) {
        c->at++;
    }
}

/* The next field; the last variable takes all that is left, without blanks at its end. */
static char* next_field(struct cutter* c, bool last) {
    size_t start = c->at, end;
    while (c->at < c->text.n && !is_separator(c, c->at, true) && !is_separator(c, c->at, false)) {
        c->at++;
    }
    end = c->at;
    skip_separators(c);
    if (is_separator(c, c->at, false)) {
        c->at++;
        skip_separators(c);
    }
    if (last && c->at < c->text.n) {
        end = c->text.n;
        while (end > start && is_separator(c, end - 1, true)) {
            end--;
        }
    }
    return pool_copy(&scratch, c->text.s + start, end - start);
}

int read_main(int argc, char** argv) {
    struct options options = options_of(argc, argv, "+rp:");
    bool raw = false;
    for (int letter; (letter = options_next(&options));) {
        if (letter == '?') {
            return 2;
        }
        raw = raw || letter == 'r';
        if (letter == 'p' && file_terminal(fds[0]) && fds[2]) {
            file_write(fds[2], options.argument, strlen(options.argument));
        }
    }
    const char* ifs = var_get("IFS");
    struct cutter c = {.ifs = ifs ? ifs : " \t\n"};
    if (!fds[0]) {
        complain("standard input is closed");
        return 2;
    }
    bool ended = read_logical(raw, &c.text, &c.quoted);
    skip_separators(&c);
    int count = options.operand_count;
    for (int i = 0; i < count; i++) {
        const char* name = options.operands[i];
        if (!is_name(name, strlen(name))) {
            complain("bad name: %s", name);
            return 2;
        }
        if (!var_set(name, next_field(&c, i + 1 == count))) {
            return 2;
        }
    }
    return ended ? 0 : 1;
}
