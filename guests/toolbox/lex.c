/* Tokens of the shell's language. A word keeps its raw text, quotes and all; expand.c reads it
 * again with the same scanners. The source may grow while it is read: a terminal gives a line at a
 * time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "toolbox.h"

int src_char(struct source* src, size_t ahead) {
    while (src->at + ahead >= src->size) {
        if (!src->more || !src->more(src)) {
            return -1;
        }
    }
    return (unsigned char)src->text[src->at + ahead];
}

bool parse_failed(struct parser* p, const char* format, ...) {
    if (!p->failed && !p->quiet) {
        char text[256];
        va_list list;
        va_start(list, format);
        vsnprintf(text, sizeof text, format, list);
        va_end(list);
        complain("syntax error: %s", text);
    }
    p->failed = true;
    return false;
}

static bool scan_single_quotes(struct parser* p) {
    p->src->at++;
    for (int c; (c = src_char(p->src, 0)) != '\''; p->src->at++) {
        if (c < 0) {
            return parse_failed(p, "unterminated '");
        }
    }
    p->src->at++;
    return true;
}

bool scan_backquotes(struct parser* p) {
    p->src->at++;
    for (int c; (c = src_char(p->src, 0)) != '`'; p->src->at++) {
        if (c == '\\') {
            p->src->at++;
            c = src_char(p->src, 0);
        }
        if (c < 0) {
            return parse_failed(p, "unterminated `");
        }
    }
    p->src->at++;
    return true;
}

/* One step inside something quoted or braced: a whole construct, or one character. */
static bool scan_step(struct parser* p, int c, bool quoted) {
    if (c == '$') {
        return scan_dollar(p, quoted);
    }
    if (c == '`') {
        return scan_backquotes(p);
    }
    if (c == '\\' && src_char(p->src, 1) >= 0) {
        p->src->at++;
    }
    p->src->at++;
    return true;
}

bool scan_double_quotes(struct parser* p) {
    p->src->at++;
    for (int c; (c = src_char(p->src, 0)) != '"';) {
        if (c < 0) {
            return parse_failed(p, "unterminated \"");
        }
        if (!scan_step(p, c, true)) {
            return false;
        }
    }
    p->src->at++;
    return true;
}

/* `${…}`. Inside double quotes a single quote is itself, unless in the pattern of # or %. */
static bool scan_brace(struct parser* p, bool quoted) {
    p->src->at += 2;
    int c = src_char(p->src, 0);
    if (c == '#' || c == '?' || c == '$' || c == '!' || c == '-' || c == '*' || c == '@') {
        p->src->at++;
    }
    while (c = src_char(p->src, 0),
           c == '_' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')) {
        p->src->at++;
    }
    bool pattern = c == '#' || c == '%';
    while ((c = src_char(p->src, 0)) != '}') {
        bool fine;
        if (c < 0) {
            return parse_failed(p, "unterminated ${");
        }
        if (c == '\'' && (!quoted || pattern)) {
            fine = scan_single_quotes(p);
        } else if (c == '"') {
            fine = scan_double_quotes(p);
        } else {
            fine = scan_step(p, c, quoted);
        }
        if (!fine) {
            return false;
        }
    }
    p->src->at++;
    return true;
}

/* `$((…))`; false without a complaint when it is a subshell in a substitution after all. */
static bool scan_arithmetic(struct parser* p) {
    size_t start = p->src->at;
    int open = 0;
    for (p->src->at += 3;;) {
        int c = src_char(p->src, 0);
        if (c == '(') {
            open++;
        } else if (c == ')' && open > 0) {
            open--;
        } else if (c == ')' && src_char(p->src, 1) == ')') {
            p->src->at += 2;
            return true;
        } else if (c == ')' || c < 0) {
            break;
        }
        if (!scan_step(p, c, true)) {
            return false;
        }
    }
    p->src->at = start;
    /* Each level of such doubts reads the inner ones twice. */
    if (++p->unit->doubts > kDoubtsMax) {
        return parse_failed(p, "too many $(( that are none: write $( (");
    }
    return false;
}

static bool scan_substitution(struct parser* p) {
    struct parser inner = {
        .src = p->src, .unit = p->unit, .depth = p->depth + 1, .quiet = p->quiet};
    p->src->at += 2;
    parse_until_close(&inner);
    p->failed = p->failed || inner.failed;
    return !inner.failed;
}

bool scan_dollar(struct parser* p, bool quoted) {
    if (++p->depth > kParseDepthMax) {
        return parse_failed(p, "nested more than %d deep", kParseDepthMax);
    }
    int c = src_char(p->src, 1);
    bool fine = true;
    if (c == '{') {
        fine = scan_brace(p, quoted);
    } else if (c == '(') {
        bool done = src_char(p->src, 2) == '(' && scan_arithmetic(p);
        fine = !p->failed && (done || scan_substitution(p));
        p->arithmetic = done;
    } else {
        p->src->at++;
    }
    p->depth--;
    return fine;
}

static bool lex_here_text(struct parser* p, struct redir* redir) {
    struct str text = {0};
    size_t end = strlen(redir->delimiter);
    for (;;) {
        while (redir->strip_tabs && src_char(p->src, 0) == '\t') {
            p->src->at++;
        }
        size_t size = 0;
        int c;
        while ((c = src_char(p->src, size)) >= 0 && c != '\n') {
            size++;
        }
        const char* line = p->src->text + p->src->at;
        bool last = size == end && memcmp(line, redir->delimiter, end) == 0;
        p->src->at += size + (c == '\n' ? 1 : 0);
        if (last || (c < 0 && size == 0)) {
            break; /* the end of the file ends it too */
        }
        if (text.n + size > kScriptBytesMax) {
            return parse_failed(p, "a here document is longer than %d bytes", kScriptBytesMax);
        }
        str_add(&text, line, size);
        str_byte(&text, '\n');
        p->src->line++;
    }
    redir->word = pool_copy(&p->unit->pool, str_end(&text), text.n);
    return true;
}

static void lex_newline(struct parser* p) {
    p->src->at++;
    p->src->line++;
    struct redir* pending = p->pending;
    p->pending = NULL;
    for (; pending && !p->failed; pending = pending->pending) {
        struct mark mark = scratch_mark();
        lex_here_text(p, pending);
        scratch_release(mark);
    }
}

static const struct {
    char text[4];
    enum token tok;
} operators[] = {
    /* longest first */
    {"<<-", kTokHereDash}, {"<<", kTokHere},     {"<&", kTokLessAmp},  {"<>", kTokLessGreat},
    {"<", kTokLess},       {">>", kTokAppend},   {">&", kTokGreatAmp}, {">|", kTokClobber},
    {">", kTokGreat},      {"&&", kTokAndAnd},   {"&", kTokAmp},       {"||", kTokOrOr},
    {"|", kTokPipe},       {";;", kTokSemiSemi}, {";", kTokSemi},      {"(", kTokOpen},
    {")", kTokClose},
};

static bool lex_operator(struct parser* p, enum token* tok) {
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        size_t size = strlen(operators[i].text), same = 0;
        while (same < size && src_char(p->src, same) == operators[i].text[same]) {
            same++;
        }
        if (same == size) {
            p->src->at += size;
            *tok = operators[i].tok;
            return true;
        }
    }
    return false;
}

static bool ends_word(int c) {
    return c < 0 || (c > 0 && strchr(" \t\n;&|<>()", c) != NULL);
}

/* Blanks, comments and joined lines before a token. */
static void skip_blanks(struct parser* p) {
    for (;;) {
        int c = src_char(p->src, 0);
        if (c == ' ' || c == '\t') {
            p->src->at++;
        } else if (c == '\\' && src_char(p->src, 1) == '\n') {
            p->src->at += 2;
        } else if (c == '#') {
            while (c = src_char(p->src, 0), c >= 0 && c != '\n') {
                p->src->at++;
            }
        } else {
            return;
        }
    }
}

static bool lex_word_part(struct parser* p, struct str* word, int c) {
    size_t start = p->src->at;
    bool fine = true;
    if (c == '\\' && src_char(p->src, 1) == '\n') {
        p->src->at += 2;
        return true;
    }
    if (c == '\'') {
        fine = scan_single_quotes(p);
    } else if (c == '"') {
        fine = scan_double_quotes(p);
    } else {
        fine = scan_step(p, c, false);
    }
    if (fine) {
        str_add(word, p->src->text + start, p->src->at - start);
    }
    return fine;
}

static enum token lex_word(struct parser* p) {
    struct mark mark = scratch_mark();
    struct str word = {0};
    bool fine = true;
    int c;
    while (fine && !ends_word(c = src_char(p->src, 0))) {
        fine = c == '\0' ? parse_failed(p, "a byte of zero") : lex_word_part(p, &word, c);
    }
    p->word = pool_copy(&p->unit->pool, str_end(&word), word.n);
    scratch_release(mark);
    if (!fine) {
        return kTokEof;
    }
    bool number = word.n == 1 && p->word[0] >= '0' && p->word[0] <= '9';
    return number && (c == '<' || c == '>') ? kTokIoNumber : kTokWord;
}

static enum token lex(struct parser* p) {
    if (p->failed) {
        return kTokEof;
    }
    skip_blanks(p);
    int c = src_char(p->src, 0);
    if (c < 0) {
        return kTokEof;
    }
    if (c == '\n') {
        lex_newline(p);
        return kTokNewline;
    }
    enum token tok;
    if (lex_operator(p, &tok)) {
        return tok;
    }
    return lex_word(p);
}

enum token tok_peek(struct parser* p) {
    if (!p->peeked) {
        p->tok = lex(p);
        p->peeked = true;
    }
    return p->failed ? kTokEof : p->tok;
}

enum token tok_next(struct parser* p) {
    enum token tok = tok_peek(p);
    p->peeked = false;
    return tok;
}
