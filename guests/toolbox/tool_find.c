/* find and xargs. The expression is read again for each file, straight from the words. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools.h"

enum { kFindDepthMax = 50, kArgumentsMax = 4096 };

struct find {
    char** words;
    int count, at;
    long long min_depth, max_depth;
    bool acts;  /* some action is in the expression: no -print of its own */
    bool wrong; /* complained */
    bool prune, delete, stop;
    int nesting;
    time_t now;
    struct fields batch; /* -exec … + */
    int batch_from, batch_to;
    bool batch_failed;
    /* the file */
    const char* path;
    const struct stat* status;
    int depth;
    bool skip; /* parse without acting */
};

static bool find_or(struct find* f);

static bool find_wrong(struct find* f, const char* text, const char* word) {
    if (!f->wrong) {
        complain("%s %s", text, word);
    }
    f->wrong = true;
    return false;
}

static const char* find_argument(struct find* f, const char* name) {
    if (f->at >= f->count) {
        find_wrong(f, "an argument is missing after", name);
        return "";
    }
    return f->words[f->at++];
}

/* +N, -N, N against a value. */
static bool compare_count(struct find* f, const char* text, long long value) {
    long long wanted;
    const char* digits = text + (*text == '+' || *text == '-');
    if (!parse_number(digits, &wanted)) {
        return find_wrong(f, "a number is needed, not", text);
    }
    return *text == '+' ? value > wanted : *text == '-' ? value < wanted : value == wanted;
}

static bool find_size(struct find* f, const char* text) {
    size_t size = strlen(text);
    char unit = size > 0 ? text[size - 1] : 0;
    static const char letters[] = "cwbkMG";
    static const long long units[] = {1, 2, 512, 1024, 1 << 20, 1 << 30};
    const char* known = unit ? strchr(letters, unit) : NULL;
    long long bytes = known ? units[known - letters] : 512;
    char* digits = pool_copy(&scratch, text, size - (known ? 1 : 0));
    return compare_count(f, digits, ((long long)f->status->st_size + bytes - 1) / bytes);
}

static bool find_name(const char* pattern, const char* text, bool fold) {
    if (!fold) {
        return pattern_matches_text(pattern, text);
    }
    char *a = scratch_copy(pattern), *b = scratch_copy(text);
    for (char* c = a; *c; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    }
    for (char* c = b; *c; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    }
    return pattern_matches_text(a, b);
}

static bool find_empty(const struct find* f) {
    if (S_ISREG(f->status->st_mode)) {
        return f->status->st_size == 0;
    }
    DIR* dir = S_ISDIR(f->status->st_mode) ? opendir(f->path) : NULL;
    int count = 0;
    while (dir && readdir(dir) && count < 3) {
        count++;
    }
    if (dir) {
        closedir(dir);
    }
    return dir && count <= 2;
}

static int find_batch(struct find* f) {
    struct fields words = {0};
    for (int i = f->batch_from; i < f->batch_to; i++) {
        fields_add(&words, f->words[i]);
    }
    for (size_t i = 0; i < f->batch.count; i++) {
        fields_add(&words, f->batch.items[i]);
    }
    int status = f->batch.count > 0 ? run_command((int)words.count, words.items) : 0;
    for (size_t i = 0; i < f->batch.count; i++) {
        free(f->batch.items[i]);
    }
    f->batch.count = 0;
    return status != 0;
}

static bool find_exec(struct find* f) {
    int from = f->at;
    while (f->at < f->count && strcmp(f->words[f->at], ";") != 0 &&
           !(strcmp(f->words[f->at], "+") == 0 && strcmp(f->words[f->at - 1], "{}") == 0)) {
        f->at++;
    }
    if (f->at >= f->count || f->at == from) {
        return find_wrong(f, "; is missing after", "-exec");
    }
    int end = f->at++;
    if (f->skip) {
        return true;
    }
    if (f->words[end][0] == '+') {
        f->batch_from = from;
        f->batch_to = end - 1;
        fields_add(&f->batch, keep_copy(f->path));
        if (f->batch.count == kArgumentsMax) {
            f->batch_failed |= find_batch(f) != 0;
        }
        return true;
    }
    struct fields words = {0};
    for (int i = from; i < end; i++) {
        struct str word = {0};
        for (const char* at = f->words[i]; *at;) {
            bool hole = strncmp(at, "{}", 2) == 0;
            str_text(&word, hole ? f->path : (char[]){*at, 0});
            at += hole ? 2 : 1;
        }
        fields_add(&words, str_end(&word));
    }
    return run_command((int)words.count, words.items) == 0;
}

static bool find_action(struct find* f, const char* word, bool* known) {
    *known = true;
    if (strcmp(word, "-print") == 0 || strcmp(word, "-print0") == 0) {
        if (!f->skip) {
            put(f->path);
            put_byte(word[6] ? '\0' : '\n');
        }
        return true;
    }
    if (strcmp(word, "-exec") == 0) {
        return find_exec(f);
    }
    if (strcmp(word, "-prune") == 0) {
        f->prune = f->prune || !f->skip;
        return true;
    }
    if (strcmp(word, "-quit") == 0) {
        f->stop = f->stop || !f->skip;
        return true;
    }
    if (strcmp(word, "-delete") == 0) {
        if (f->skip || strcmp(f->path, ".") == 0) {
            return true;
        }
        bool folder = S_ISDIR(f->status->st_mode);
        if ((folder ? rmdir(f->path) : unlink(f->path)) == 0) {
            return true;
        }
        complain_errno(f->path);
        return false;
    }
    *known = false;
    return false;
}

/* MODE, -MODE (all of these bits) or /MODE (any of them). */
static bool find_mode(struct find* f, const char* text) {
    mode_t wanted, found = f->status->st_mode & 07777;
    bool all = text[0] == '-', any = text[0] == '/';
    if (!mode_parse(text + (all || any), 0, false, &wanted)) {
        return find_wrong(f, "no mode:", text);
    }
    return all ? (found & wanted) == wanted : any ? !wanted || found & wanted : found == wanted;
}

static bool find_owner(struct find* f, const char* text, long long found,
                       bool (*id_of)(const char*, long long*)) {
    long long wanted;
    if (!id_of(text, &wanted)) {
        return find_wrong(f, "nobody's name or number:", text);
    }
    return found == wanted;
}

/* What the finder may do with it: -readable, -writable, -executable. */
static int find_rights(const char* word) {
    return strcmp(word, "-readable") == 0     ? R_OK
           : strcmp(word, "-writable") == 0   ? W_OK
           : strcmp(word, "-executable") == 0 ? X_OK
                                              : 0;
}

static bool find_test(struct find* f, const char* word) {
    const struct stat* status = f->status;
    if (find_rights(word)) {
        return !f->skip && may_access(f->path, find_rights(word));
    }
    if (strcmp(word, "-empty") == 0) {
        return !f->skip && find_empty(f);
    }
    if (strcmp(word, "-true") == 0 || strcmp(word, "-false") == 0) {
        return word[1] == 't';
    }
    static const char* const known[] = {
        "-name", "-iname", "-path", "-type", "-size",  "-newer",    "-mtime",    "-mmin",
        "-perm", "-uid",   "-gid",  "-user", "-group", "-maxdepth", "-mindepth", NULL};
    int which = 0;
    while (known[which] && strcmp(known[which], word) != 0) {
        which++;
    }
    if (!known[which]) {
        return find_wrong(f, "unknown:", word);
    }
    const char* argument = find_argument(f, word);
    struct stat other;
    long long age = (long long)(f->now - status->st_mtim.tv_sec);
    switch (f->wrong ? 99 : which) {
        case 0:
        case 1:
            return find_name(argument, base_of(f->path), which == 1);
        case 2:
            return find_name(argument, f->path, false);
        case 3:
            return argument[0] && (argument[0] == 'f' ? S_ISREG(status->st_mode)
                                                      : kind_letter(status) == argument[0]);
        case 4:
            return find_size(f, argument);
        case 5:
            if (stat(argument, &other) != 0) {
                return find_wrong(f, strerror(errno), argument);
            }
            return status->st_mtim.tv_sec > other.st_mtim.tv_sec ||
                   (status->st_mtim.tv_sec == other.st_mtim.tv_sec &&
                    status->st_mtim.tv_nsec > other.st_mtim.tv_nsec);
        case 6:
            return compare_count(f, argument, age / 86400);
        case 7:
            return compare_count(f, argument, age / 60);
        case 8:
            return find_mode(f, argument);
        case 9:
            return compare_count(f, argument, status->st_uid);
        case 10:
            return compare_count(f, argument, status->st_gid);
        case 11:
            return find_owner(f, argument, status->st_uid, user_id);
        case 12:
            return find_owner(f, argument, status->st_gid, group_id);
        default:
            return true; /* the depths were read before */
    }
}

static bool find_primary(struct find* f) {
    if (++f->nesting > kFindDepthMax) {
        return find_wrong(f, "nested too deep at", f->at < f->count ? f->words[f->at] : "the end");
    }
    if (f->at >= f->count) {
        return find_wrong(f, "an expression is missing at", "the end");
    }
    const char* word = f->words[f->at++];
    bool holds, known;
    if (strcmp(word, "!") == 0 || strcmp(word, "-not") == 0) {
        holds = !find_primary(f);
    } else if (strcmp(word, "(") == 0) {
        holds = find_or(f);
        if (f->at >= f->count || strcmp(f->words[f->at++], ")") != 0) {
            find_wrong(f, "no ) after", "(");
        }
    } else {
        holds = find_action(f, word, &known);
        holds = known ? holds : find_test(f, word);
    }
    f->nesting--;
    return holds;
}

static bool next_is(const struct find* f, const char* a, const char* b) {
    return f->at < f->count && (strcmp(f->words[f->at], a) == 0 || strcmp(f->words[f->at], b) == 0);
}

static bool find_and(struct find* f) {
    bool skip = f->skip, holds = find_primary(f);
    while (!f->wrong && f->at < f->count && !next_is(f, "-o", "-or") && !next_is(f, ")", ")")) {
        f->at += next_is(f, "-a", "-and");
        f->skip = skip || !holds;
        bool right = find_primary(f);
        holds = holds && right;
    }
    f->skip = skip;
    return holds;
}

static bool find_or(struct find* f) {
    bool skip = f->skip, holds = find_and(f);
    while (!f->wrong && next_is(f, "-o", "-or")) {
        f->at++;
        f->skip = skip || holds;
        bool right = find_and(f);
        holds = holds || right;
    }
    f->skip = skip;
    return holds;
}

static enum walk find_evaluate(struct walker* w, const char* path, const struct stat* status,
                               int depth) {
    struct find* f = w->context;
    f->path = path;
    f->status = status;
    f->depth = depth;
    f->at = f->nesting = 0;
    f->prune = f->skip = false;
    if (depth >= f->min_depth) {
        bool holds = f->count == 0 || find_or(f);
        if (!f->wrong && f->at < f->count) {
            find_wrong(f, "unexpected:", f->words[f->at]);
        }
        if (holds && !f->acts && !f->wrong) {
            putf("%s\n", path);
        }
    }
    if (f->wrong || f->stop) {
        return kWalkStop;
    }
    return f->prune || depth >= f->max_depth ? kWalkSkip : kWalkInto;
}

/* With -delete a folder comes after what is in it. */
static enum walk find_visit(struct walker* w, const char* path, const struct stat* status,
                            int depth) {
    const struct find* f = w->context;
    if (f->delete && S_ISDIR(status->st_mode)) {
        if (depth < f->max_depth) {
            return kWalkInto;
        }
        return find_evaluate(w, path, status, depth);
    }
    return find_evaluate(w, path, status, depth);
}

static enum walk find_leave(struct walker* w, const char* path, const struct stat* status,
                            int depth) {
    const struct find* f = w->context;
    if (!f->delete) {
        return kWalkInto;
    }
    enum walk told = find_evaluate(w, path, status, depth);
    return told == kWalkStop ? kWalkStop : kWalkInto;
}

static bool find_prepare(struct find* f) {
    for (int i = 0; i < f->count; i++) {
        const char* word = f->words[i];
        f->delete |= strcmp(word, "-delete") == 0;
        f->acts |= strcmp(word, "-delete") == 0 || strncmp(word, "-print", 6) == 0 ||
                   strcmp(word, "-exec") == 0 || strcmp(word, "-quit") == 0;
        bool most = strcmp(word, "-maxdepth") == 0, least = strcmp(word, "-mindepth") == 0;
        if ((most || least) &&
            (i + 1 >= f->count ||
             !parse_number(f->words[i + 1], most ? &f->max_depth : &f->min_depth))) {
            complain("%s needs a number", word);
            return false;
        }
    }
    return true;
}

int find_main(int argc, char** argv) {
    int paths = 1;
    while (paths < argc && argv[paths][0] != '-' && strcmp(argv[paths], "!") != 0 &&
           strcmp(argv[paths], "(") != 0) {
        paths++;
    }
    struct find* f = scratch_get(sizeof *f);
    *f = (struct find){.words = argv + paths,
                       .count = argc - paths,
                       .max_depth = kTreeDepthMax * 2,
                       .now = time(NULL)};
    struct walker w = {.visit = find_visit, .leave = find_leave, .context = f};
    if (!find_prepare(f)) {
        return 1;
    }
    /* The batch grows while walks release scratch: its room is taken first. */
    f->batch.room = kArgumentsMax + 2;
    f->batch.items = scratch_get(f->batch.room * sizeof(char*));
    char* here[] = {".", NULL};
    char** starts = paths > 1 ? argv + 1 : here;
    for (int i = 0; i < (paths > 1 ? paths - 1 : 1) && !f->wrong && !f->stop && !broken(); i++) {
        walk_tree(&w, starts[i]);
    }
    return find_batch(f) || f->batch_failed || f->wrong || w.status;
}

/* ---- xargs ---- */

struct xargs {
    long long most;
    char* hole; /* -I */
    bool zero, skip_empty, trace;
    int status;
};

static void xargs_run(struct xargs* x, char** command, int count, struct fields* words) {
    struct mark mark = scratch_mark();
    struct fields all = {0};
    for (int i = 0; i < count; i++) {
        struct str word = {0};
        size_t hole = x->hole ? strlen(x->hole) : 0;
        for (const char* at = command[i]; *at;) {
            bool here = hole > 0 && strncmp(at, x->hole, hole) == 0;
            str_text(&word, here ? words->items[0] : (char[]){*at, 0});
            at += here ? hole : 1;
        }
        fields_add(&all, str_end(&word));
    }
    for (size_t i = 0; !x->hole && i < words->count; i++) {
        fields_add(&all, words->items[i]);
    }
    for (size_t i = 0; x->trace && i < all.count && fds[2]; i++) {
        file_write(fds[2], all.items[i], strlen(all.items[i]));
        file_write(fds[2], i + 1 < all.count ? " " : "\n", 1);
    }
    struct file* input = fds[0];
    fds[0] = file_null();
    int status = run_command((int)all.count, all.items);
    file_drop(fds[0]);
    fds[0] = input;
    x->status = status == 0 ? x->status : status == 127 ? 127 : 123;
    words->count = 0;
    scratch_release(mark);
}

/* The next word of the input; false: there is none. */
static bool xargs_word(const struct xargs* x, struct str* word) {
    char c, quote = 0;
    bool some = false;
    word->n = 0;
    while (word->n < kLineBytesMax && file_read(fds[0], &c, 1) == 1) {
        bool ends = x->zero ? c == '\0' : x->hole ? c == '\n' : strchr(" \t\n", c) != NULL && c;
        if (ends && !quote) {
            if (some) {
                return true;
            }
            continue;
        }
        if (!x->zero && quote && c == quote) {
            quote = 0;
        } else if (!x->zero && !quote && (c == '\'' || c == '"')) {
            quote = c;
        } else if (!x->zero && !quote && c == '\\') {
            if (file_read(fds[0], &c, 1) == 1) {
                str_byte(word, c);
            }
        } else if (!(x->hole && !some && (c == ' ' || c == '\t'))) {
            str_byte(word, c);
        } else {
            continue;
        }
        some = true;
    }
    return some;
}

int xargs_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "+n:I:0rtP:");
    struct xargs x = {.most = kArgumentsMax};
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?' ||
            (letter == 'n' && (!parse_number(o.argument, &x.most) || x.most < 1))) {
            return 1;
        }
        x.hole = letter == 'I' ? o.argument : x.hole;
        x.zero |= letter == '0';
        x.skip_empty |= letter == 'r';
        x.trace |= letter == 't';
    }
    char* echo[] = {"echo"};
    char** command = o.operand_count ? o.operands : echo;
    int count = o.operand_count ? o.operand_count : 1;
    size_t most = x.hole ? 1 : (size_t)(x.most < kArgumentsMax ? x.most : kArgumentsMax);
    struct fields words = {.room = most + 2, .items = scratch_get((most + 2) * sizeof(char*))};
    bool ran = false;
    struct mark mark = scratch_mark();
    struct str word = {0};
    while (sh.unwind == kUnwindNone && xargs_word(&x, &word)) {
        fields_add(&words, pool_copy(&scratch, word.s, word.n));
        if (words.count == most) {
            xargs_run(&x, command, count, &words);
            scratch_release(mark);
            word = (struct str){0};
            ran = true;
        }
    }
    if (sh.unwind == kUnwindNone && (words.count > 0 || (!ran && !x.skip_empty && !x.hole))) {
        xargs_run(&x, command, count, &words);
    }
    return x.status;
}
