/* $(( )): 64-bit integers that wrap, the operators of C, assignments to variables. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "toolbox.h"

enum { kArithDepthMax = 100, kNameBytes = 256 };

struct arith {
    const char* at;
    int depth;
    int skipped; /* inside an operand that is not evaluated */
    bool failed;
};

static int64_t assignment(struct arith* a);
static int64_t comma(struct arith* a);

static int64_t wrong(struct arith* a, const char* text) {
    if (!a->failed) {
        complain("arithmetic: %s near \"%.40s\"", text, a->at);
    }
    a->failed = true;
    return 0;
}

static void blanks(struct arith* a) {
    while (*a->at == ' ' || *a->at == '\t' || *a->at == '\n') {
        a->at++;
    }
}

static bool take(struct arith* a, const char* op) {
    blanks(a);
    size_t size = strlen(op);
    if (strncmp(a->at, op, size) != 0) {
        return false;
    }
    a->at += size;
    return true;
}

static int64_t value_of(struct arith* a, const char* name) {
    const char* text = var_get(name);
    if (!text && sh.nounset && !a->skipped) {
        return wrong(a, "a variable that is not set");
    }
    if (!text || !*text) {
        return 0;
    }
    char* end;
    errno = 0;
    int64_t value = strtoll(text, &end, 0);
    while (*end == ' ' || *end == '\n' || *end == '\t') {
        end++;
    }
    return *end ? wrong(a, "a variable that is no number") : value;
}

static void assign(struct arith* a, const char* name, int64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    if (!a->failed && !a->skipped && !var_set(name, text)) {
        a->failed = true;
    }
}

static bool name_at(struct arith* a, char* name) {
    blanks(a);
    size_t n = 0;
    while (a->at[n] && is_name(a->at, n + 1)) {
        n++;
    }
    if (n == 0 || n >= kNameBytes) {
        return false;
    }
    memcpy(name, a->at, n);
    name[n] = '\0';
    return true;
}

static int64_t negate(int64_t value) {
    return (int64_t)(0 - (uint64_t)value);
}

static int64_t step(struct arith* a, const char* name, int by, bool before) {
    int64_t old = value_of(a, name);
    int64_t new = (int64_t)((uint64_t)old + (uint64_t)by);
    assign(a, name, new);
    return before ? new : old;
}

static int64_t primary(struct arith* a) {
    char name[kNameBytes];
    blanks(a);
    if (*a->at == '(') {
        a->at++;
        int64_t value = comma(a);
        return take(a, ")") ? value : wrong(a, "no )");
    }
    if (*a->at >= '0' && *a->at <= '9') {
        char* end;
        int64_t value = (int64_t)strtoull(a->at, &end, 0);
        a->at = end;
        return is_name(end, 1) || (*end >= '0' && *end <= '9') ? wrong(a, "a bad number") : value;
    }
    if (name_at(a, name)) {
        a->at += strlen(name);
        if (take(a, "++")) {
            return step(a, name, 1, false);
        }
        return take(a, "--") ? step(a, name, -1, false) : value_of(a, name);
    }
    return wrong(a, "no number");
}

static int64_t unary(struct arith* a) {
    char name[kNameBytes];
    if (a->failed || ++a->depth > kArithDepthMax) {
        return wrong(a, "nested too deep");
    }
    int64_t value;
    const char* start = (blanks(a), a->at);
    int by = take(a, "++") ? 1 : take(a, "--") ? -1 : 0;
    if (by && name_at(a, name)) {
        a->at += strlen(name);
        value = step(a, name, by, true);
    } else {
        a->at = start;
        if (take(a, "-")) {
            value = negate(unary(a));
        } else if (take(a, "+")) {
            value = unary(a);
        } else if (take(a, "~")) {
            value = ~unary(a);
        } else if (*a->at == '!' && a->at[1] != '=') {
            a->at++;
            value = !unary(a);
        } else {
            value = primary(a);
        }
    }
    a->depth--;
    return value;
}

static int64_t divide(struct arith* a, int64_t x, int64_t y, bool remainder) {
    if (y == 0) {
        return a->skipped ? 0 : wrong(a, "division by zero");
    }
    if (y == -1) {
        return remainder ? 0 : negate(x);
    }
    return remainder ? x % y : x / y;
}

static int64_t apply(struct arith* a, const char* op, int64_t x, int64_t y) {
    uint64_t u = (uint64_t)x, v = (uint64_t)y;
    switch (op[0]) {
        case '*':
            return (int64_t)(u * v);
        case '/':
            return divide(a, x, y, false);
        case '%':
            return divide(a, x, y, true);
        case '+':
            return (int64_t)(u + v);
        case '-':
            return (int64_t)(u - v);
        case '<':
            return op[1] == '<' ? (int64_t)(u << (v & 63)) : op[1] == '=' ? x <= y : x < y;
        case '>':
            return op[1] == '>' ? x >> (v & 63) : op[1] == '=' ? x >= y : x > y;
        case '=':
            return x == y;
        case '!':
            return x != y;
        case '&':
            return x & y;
        case '^':
            return x ^ y;
        default:
            return x | y;
    }
}

static const struct {
    char op[3];
    int level;
} binaries[] = {{"<<", 8}, {">>", 8}, {"<=", 7}, {">=", 7}, {"==", 6}, {"!=", 6},
                {"<", 7},  {">", 7},  {"*", 10}, {"/", 10}, {"%", 10}, {"+", 9},
                {"-", 9},  {"&", 5},  {"^", 4},  {"|", 3}};

/* The operator at this place if it binds at least as hard as `level`; never one of an assignment.
 */
static int binary_at(struct arith* a, int level) {
    blanks(a);
    for (size_t i = 0; i < sizeof binaries / sizeof *binaries; i++) {
        size_t size = strlen(binaries[i].op);
        if (strncmp(a->at, binaries[i].op, size) != 0) {
            continue;
        }
        char next = a->at[size];
        bool logical = size == 1 && strchr("&|", *a->at) && next == *a->at;
        bool assigns = next == '=' && !strchr("=!", *a->at) && !(size == 1 && strchr("<>", *a->at));
        return logical || assigns || binaries[i].level < level ? -1 : (int)i;
    }
    return -1;
}

static int64_t binary(struct arith* a, int level) {
    int64_t value = unary(a);
    for (int found; !a->failed && (found = binary_at(a, level)) >= 0;) {
        a->at += strlen(binaries[found].op);
        int64_t right = binary(a, binaries[found].level + 1);
        value = a->failed ? 0 : apply(a, binaries[found].op, value, right);
    }
    return value;
}

static int64_t logical_and(struct arith* a) {
    int64_t value = binary(a, 0);
    while (!a->failed && take(a, "&&")) {
        a->skipped += value == 0;
        int64_t right = binary(a, 0);
        a->skipped -= value == 0;
        value = value && right;
    }
    return value;
}

static int64_t logical_or(struct arith* a) {
    int64_t value = logical_and(a);
    while (!a->failed && take(a, "||")) {
        a->skipped += value != 0;
        int64_t right = logical_and(a);
        a->skipped -= value != 0;
        value = value || right;
    }
    return value;
}

static int64_t conditional(struct arith* a) {
    int64_t value = logical_or(a);
    if (a->failed || !take(a, "?")) {
        return value;
    }
    if (++a->depth > kArithDepthMax) {
        return wrong(a, "nested too deep");
    }
    a->skipped += value == 0;
    int64_t yes = comma(a);
    a->skipped -= value == 0;
    if (!take(a, ":")) {
        return wrong(a, "no :");
    }
    a->skipped += value != 0;
    int64_t no = conditional(a);
    a->skipped -= value != 0;
    a->depth--;
    return value ? yes : no;
}

static int64_t assignment(struct arith* a) {
    static const char* const ops[] = {
        "=", "*=", "/=", "%=", "+=", "-=", "&=", "^=", "|=", "<<=", ">>="};
    char name[kNameBytes];
    const char* start = a->at;
    if (++a->depth > kArithDepthMax) {
        return wrong(a, "nested too deep");
    }
    int64_t value = 0;
    bool done = false;
    if (name_at(a, name)) {
        a->at += strlen(name);
        for (size_t i = 0; !done && i < sizeof ops / sizeof *ops; i++) {
            blanks(a);
            if ((i == 0 && a->at[0] == '=' && a->at[1] == '=') || !take(a, ops[i])) {
                continue;
            }
            value = assignment(a);
            value = i == 0 ? value : apply(a, ops[i], value_of(a, name), value);
            assign(a, name, value);
            done = true;
        }
    }
    if (!done) {
        a->at = start;
        value = conditional(a);
    }
    a->depth--;
    return value;
}

static int64_t comma(struct arith* a) {
    int64_t value = assignment(a);
    while (!a->failed && take(a, ",")) {
        value = assignment(a);
    }
    return value;
}

bool arith(const char* text, int64_t* value) {
    struct arith a = {.at = text};
    blanks(&a);
    *value = *a.at ? comma(&a) : 0;
    blanks(&a);
    if (!a.failed && *a.at) {
        wrong(&a, "what is this");
    }
    return !a.failed;
}
