/* The grammar: from tokens to a tree. The first error ends it: every token after it is Eof. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "toolbox.h"

static struct node* parse_list(struct parser* p, bool line);

/* What ends a list of commands where a command could begin. */
static const char* const closers[] = {"then", "else", "elif", "fi", "do",
                                      "done", "esac", "}",    NULL};

struct unit* unit_new(void) {
    struct unit* unit = keep(sizeof *unit);
    *unit = (struct unit){.refs = 1};
    return unit;
}

void unit_drop(struct unit* unit) {
    if (unit && --unit->refs == 0) {
        pool_free(&unit->pool);
        free(unit);
    }
}

static struct node* node_new(struct parser* p, enum node_kind kind) {
    struct node* node = pool_get(&p->unit->pool, sizeof *node);
    node->kind = kind;
    node->unit = p->unit;
    return node;
}

static bool peek_is(struct parser* p, const char* word) {
    return tok_peek(p) == kTokWord && strcmp(p->word, word) == 0;
}

static bool peek_is_any(struct parser* p, const char* const* words) {
    for (; *words; words++) {
        if (peek_is(p, *words)) {
            return true;
        }
    }
    return false;
}

static const char* token_text(struct parser* p) {
    switch (tok_peek(p)) {
        case kTokEof:
            return "end of file";
        case kTokNewline:
            return "newline";
        case kTokWord:
        case kTokIoNumber:
            return p->word;
        case kTokSemi:
            return ";";
        case kTokSemiSemi:
            return ";;";
        case kTokPipe:
            return "|";
        case kTokAndAnd:
            return "&&";
        case kTokOrOr:
            return "||";
        case kTokOpen:
            return "(";
        case kTokClose:
            return ")";
        default:
            return "a redirection or &";
    }
}

static bool unexpected(struct parser* p, const char* wanted) {
    if (p->failed) {
        return false;
    }
    const char* found = token_text(p);
    if (wanted) {
        return parse_failed(p, "line %d: %.60s, expected %s", p->src->line + 1, found, wanted);
    }
    return parse_failed(p, "line %d: unexpected %.60s", p->src->line + 1, found);
}

static bool expect_word(struct parser* p, const char* word) {
    if (!peek_is(p, word)) {
        return unexpected(p, word);
    }
    tok_next(p);
    return true;
}

static void skip_newlines(struct parser* p) {
    while (tok_peek(p) == kTokNewline) {
        tok_next(p);
    }
}

static void word_add(struct parser* p, struct word*** at) {
    struct word* word = pool_get(&p->unit->pool, sizeof *word);
    word->text = p->word;
    **at = word;
    *at = &word->next;
}

/* The delimiter of a here document without its quotes. */
static const char* plain_delimiter(struct parser* p, const char* raw, bool* quoted) {
    char* plain = pool_copy(&p->unit->pool, raw, strlen(raw));
    char* to = plain;
    char quote = 0;
    for (; *raw; raw++) {
        if ((*raw == '\'' || *raw == '"') && (quote == 0 || quote == *raw)) {
            quote = quote ? 0 : *raw;
            *quoted = true;
        } else if (*raw == '\\' && quote != '\'' && raw[1]) {
            *quoted = true;
            *to++ = *++raw;
        } else {
            *to++ = *raw;
        }
    }
    *to = '\0';
    return plain;
}

static bool redir_start(enum token tok, struct redir* redir) {
    redir->fd = 1;
    switch (tok) {
        case kTokLess:
            redir->kind = kRedirIn;
            redir->fd = 0;
            return true;
        case kTokLessGreat:
            redir->kind = kRedirBoth;
            redir->fd = 0;
            return true;
        case kTokLessAmp:
            redir->kind = kRedirDup;
            redir->fd = 0;
            return true;
        case kTokHere:
        case kTokHereDash:
            redir->kind = kRedirHere;
            redir->fd = 0;
            redir->strip_tabs = tok == kTokHereDash;
            return true;
        case kTokGreat:
        case kTokClobber:
            redir->kind = kRedirOut;
            return true;
        case kTokAppend:
            redir->kind = kRedirAppend;
            return true;
        case kTokGreatAmp:
            redir->kind = kRedirDup;
            return true;
        default:
            return false;
    }
}

/* One redirection if there is one; false: there is none, or failed. */
static bool parse_redir(struct parser* p, struct redir*** at) {
    int fd = -1;
    if (tok_peek(p) == kTokIoNumber) {
        fd = p->word[0] - '0';
        tok_next(p);
    }
    struct redir* redir = pool_get(&p->unit->pool, sizeof *redir);
    if (!redir_start(tok_peek(p), redir)) {
        return fd >= 0 ? unexpected(p, "a redirection") : false;
    }
    redir->fd = fd >= 0 ? fd : redir->fd;
    tok_next(p);
    if (tok_peek(p) != kTokWord && tok_peek(p) != kTokIoNumber) {
        return unexpected(p, "a word after the redirection");
    }
    redir->word = p->word;
    if (redir->kind == kRedirHere) {
        redir->delimiter = plain_delimiter(p, p->word, &redir->literal);
        redir->word = "";
        struct redir** last = &p->pending;
        while (*last) {
            last = &(*last)->pending;
        }
        *last = redir;
    }
    tok_next(p);
    **at = redir;
    *at = &redir->next;
    return true;
}

static bool is_assignment(const char* word) {
    const char* equals = strchr(word, '=');
    return equals && is_name(word, (size_t)(equals - word));
}

static bool parse_function(struct parser* p, struct node* node);

static struct node* parse_simple(struct parser* p) {
    struct node* node = node_new(p, kNodeCommand);
    struct word **words = &node->words, **assigns = &node->assigns;
    struct redir** redirs = &node->redirs;
    for (;;) {
        enum token tok = tok_peek(p);
        if (tok == kTokWord) {
            word_add(p, !node->words && is_assignment(p->word) ? &assigns : &words);
            tok_next(p);
        } else if (tok == kTokOpen && node->words && !node->words->next && !node->assigns &&
                   !node->redirs) {
            return parse_function(p, node) ? node : NULL;
        } else if (!parse_redir(p, &redirs)) {
            break;
        }
    }
    if (!node->words && !node->assigns && !node->redirs) {
        unexpected(p, NULL);
    }
    return p->failed ? NULL : node;
}

static struct node* parse_body(struct parser* p, const char* until) {
    struct node* list = parse_list(p, false);
    if (!list) {
        unexpected(p, "a command");
        return NULL;
    }
    return !until || expect_word(p, until) ? list : NULL;
}

static void parse_if(struct parser* p, struct node* node) {
    for (;;) {
        tok_next(p); /* if, elif */
        node->kind = kNodeIf;
        node->a = parse_body(p, "then");
        node->b = parse_body(p, NULL);
        if (peek_is(p, "elif")) {
            node->c = node_new(p, kNodeIf);
            node = node->c;
            node->listed = true;
            continue;
        }
        if (peek_is(p, "else")) {
            tok_next(p);
            node->c = parse_body(p, NULL);
        }
        expect_word(p, "fi");
        return;
    }
}

static void parse_for(struct parser* p, struct node* node) {
    tok_next(p);
    if (tok_peek(p) != kTokWord || !is_name(p->word, strlen(p->word))) {
        unexpected(p, "a name after for");
        return;
    }
    node->name = p->word;
    tok_next(p);
    skip_newlines(p);
    if (peek_is(p, "in")) {
        tok_next(p);
        node->listed = true;
        struct word** at = &node->words;
        while (tok_peek(p) == kTokWord) {
            word_add(p, &at);
            tok_next(p);
        }
        if (tok_peek(p) != kTokSemi && tok_peek(p) != kTokNewline) {
            unexpected(p, "; or a newline");
            return;
        }
    }
    if (tok_peek(p) == kTokSemi) {
        tok_next(p);
    }
    skip_newlines(p);
    if (expect_word(p, "do")) {
        node->a = parse_body(p, "done");
    }
}

static void parse_while(struct parser* p, struct node* node) {
    node->kind = peek_is(p, "until") ? kNodeUntil : kNodeWhile;
    tok_next(p);
    node->a = parse_body(p, "do");
    node->b = parse_body(p, "done");
}

static bool parse_arm(struct parser* p, struct arm* arm) {
    if (tok_peek(p) == kTokOpen) {
        tok_next(p);
    }
    struct word** at = &arm->patterns;
    for (;;) {
        if (tok_peek(p) != kTokWord) {
            return unexpected(p, "a pattern");
        }
        word_add(p, &at);
        tok_next(p);
        if (tok_peek(p) != kTokPipe) {
            break;
        }
        tok_next(p);
    }
    if (tok_peek(p) != kTokClose) {
        return unexpected(p, ")");
    }
    tok_next(p);
    arm->body = parse_list(p, false);
    if (tok_peek(p) == kTokSemiSemi) {
        tok_next(p);
        skip_newlines(p);
        return true;
    }
    return !p->failed && (peek_is(p, "esac") || unexpected(p, ";; or esac"));
}

static void parse_case(struct parser* p, struct node* node) {
    tok_next(p);
    if (tok_peek(p) != kTokWord) {
        unexpected(p, "a word after case");
        return;
    }
    struct word** at = &node->words;
    word_add(p, &at);
    tok_next(p);
    skip_newlines(p);
    if (!expect_word(p, "in")) {
        return;
    }
    skip_newlines(p);
    struct arm** arms = &node->arms;
    while (!p->failed && !peek_is(p, "esac")) {
        *arms = pool_get(&p->unit->pool, sizeof **arms);
        if (!parse_arm(p, *arms)) {
            return;
        }
        arms = &(*arms)->next;
    }
    expect_word(p, "esac");
}

/* A compound command at this token, without its redirections; NULL: it is none. */
static struct node* parse_compound(struct parser* p) {
    struct node* node = node_new(p, kNodeGroup);
    if (tok_peek(p) == kTokOpen) {
        tok_next(p);
        node->kind = kNodeSubshell;
        node->a = parse_body(p, NULL);
        if (tok_peek(p) != kTokClose) {
            unexpected(p, ")");
        }
        tok_next(p);
    } else if (peek_is(p, "{")) {
        tok_next(p);
        node->a = parse_body(p, "}");
    } else if (peek_is(p, "if")) {
        parse_if(p, node);
    } else if (peek_is(p, "for")) {
        node->kind = kNodeFor;
        parse_for(p, node);
    } else if (peek_is(p, "while") || peek_is(p, "until")) {
        parse_while(p, node);
    } else if (peek_is(p, "case")) {
        node->kind = kNodeCase;
        parse_case(p, node);
    } else {
        return NULL;
    }
    return node;
}

static struct node* parse_command(struct parser* p) {
    if (++p->depth > kParseDepthMax) {
        parse_failed(p, "nested more than %d deep", kParseDepthMax);
    }
    struct node* node = parse_compound(p);
    if (node) {
        struct redir** at = &node->redirs;
        while (*at) {
            at = &(*at)->next;
        }
        while (parse_redir(p, &at)) {
        }
    } else {
        if (peek_is_any(p, closers)) {
            unexpected(p, NULL);
        }
        node = parse_simple(p);
    }
    p->depth--;
    return p->failed ? NULL : node;
}

static bool parse_function(struct parser* p, struct node* node) {
    tok_next(p);
    if (tok_peek(p) != kTokClose) {
        return unexpected(p, ") of a function");
    }
    tok_next(p);
    const char* name = node->words->text;
    if (!is_name(name, strlen(name))) {
        return parse_failed(p, "bad name of a function: %.60s", name);
    }
    skip_newlines(p);
    *node = (struct node){.kind = kNodeFunction, .name = name, .unit = p->unit};
    node->a = parse_command(p);
    return node->a != NULL;
}

static struct node* parse_pipeline(struct parser* p) {
    bool negated = false;
    while (peek_is(p, "!")) {
        negated = !negated;
        tok_next(p);
    }
    struct node* first = parse_command(p);
    if (!first || (tok_peek(p) != kTokPipe && !negated)) {
        return p->failed ? NULL : first;
    }
    struct node* pipeline = node_new(p, kNodePipe);
    pipeline->negated = negated;
    pipeline->a = first;
    struct node* last = first;
    while (tok_peek(p) == kTokPipe) {
        tok_next(p);
        skip_newlines(p);
        last->next = parse_command(p);
        if (!last->next) {
            return NULL;
        }
        last = last->next;
    }
    return p->failed ? NULL : pipeline;
}

static struct node* parse_and_or(struct parser* p) {
    struct node* first = parse_pipeline(p);
    enum token tok = tok_peek(p);
    if (!first || (tok != kTokAndAnd && tok != kTokOrOr)) {
        return p->failed ? NULL : first;
    }
    struct node* list = node_new(p, kNodeAndOr);
    list->a = first;
    struct node* last = first;
    while (tok == kTokAndAnd || tok == kTokOrOr) {
        tok_next(p);
        skip_newlines(p);
        struct node* next = parse_pipeline(p);
        if (!next) {
            return NULL;
        }
        next->link = tok == kTokAndAnd ? kLinkAnd : kLinkOr;
        last->next = next;
        last = next;
        tok = tok_peek(p);
    }
    return p->failed ? NULL : list;
}

/* Commands up to what closes the construct around them; `line`: only to the end of the line. */
static struct node* parse_list(struct parser* p, bool line) {
    struct node* first = NULL;
    struct node** at = &first;
    for (;;) {
        if (!line) {
            skip_newlines(p);
        }
        enum token tok = tok_peek(p);
        if (tok == kTokEof || tok == kTokClose || tok == kTokSemiSemi || tok == kTokNewline ||
            peek_is_any(p, closers)) {
            break;
        }
        struct node* node = parse_and_or(p);
        if (!node) {
            return NULL;
        }
        *at = node;
        at = &node->next;
        tok = tok_peek(p);
        if (tok == kTokAmp) {
            parse_failed(p, "line %d: `&`: there are no processes in Wasm to run it beside",
                         p->src->line + 1);
            return NULL;
        }
        if (tok != kTokSemi && (line || tok != kTokNewline)) {
            break;
        }
        tok_next(p);
    }
    return p->failed ? NULL : first;
}

struct node* parse_line(struct parser* p) {
    skip_newlines(p);
    struct node* list = parse_list(p, true);
    if (p->failed) {
        return NULL;
    }
    enum token tok = tok_peek(p);
    if (tok != kTokNewline && tok != kTokEof) {
        unexpected(p, NULL);
        return NULL;
    }
    tok_next(p); /* the newline reads the here documents */
    return p->failed ? NULL : list;
}

struct node* parse_until_close(struct parser* p) {
    if (p->depth > kParseDepthMax) {
        parse_failed(p, "nested more than %d deep", kParseDepthMax);
        return NULL;
    }
    struct node* list = parse_list(p, false);
    if (!p->failed && tok_peek(p) != kTokClose) {
        unexpected(p, ")");
    }
    if (p->failed) {
        return NULL;
    }
    tok_next(p);
    return list;
}
