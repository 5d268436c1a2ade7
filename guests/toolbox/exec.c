/* Runs the tree. A subshell is shell_save and shell_restore around its commands; a pipeline runs
 * its commands one after the other, each a subshell, with the data between two of them in memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "toolbox.h"

static void run_node(struct node* node);

static bool too_deep(void) {
    if (sh.depth < kRunDepthMax) {
        return false;
    }
    complain("commands are nested more than %d deep", kRunDepthMax);
    shell_fail(2);
    return true;
}

/* ---- simple commands ---- */

static bool assign_all(const struct word* assigns, bool temporary) {
    for (; assigns; assigns = assigns->next) {
        const char* equals = strchr(assigns->text, '=');
        char* name = pool_copy(&scratch, assigns->text, (size_t)(equals - assigns->text));
        char* value = expand_one(equals + 1);
        if (!value) {
            return false;
        }
        if (temporary) {
            local_add(name);
        }
        if (!var_set(name, value)) {
            shell_fail(2);
            return false;
        }
        if (temporary) {
            var_export(name);
        }
        if (sh.xtrace && fds[2]) {
            complain("+ %s=%s", name, value);
        }
    }
    return true;
}

static void run_function(struct function* function, int argc, char** argv) {
    struct unit* unit = function->unit;
    struct node* body = function->body;
    struct local* locals = sh.locals;
    char** args = sh.args;
    int count = sh.arg_count, loops = sh.loops;
    unit->refs++; /* it may redefine itself */
    sh.args = NULL;
    sh.arg_count = 0;
    args_set(argv + 1, argc - 1);
    sh.calls++;
    sh.depth++;
    sh.loops = 0;
    run_node(body);
    sh.loops = loops;
    sh.depth--;
    sh.calls--;
    args_set(NULL, 0);
    free(sh.args);
    sh.args = args;
    sh.arg_count = count;
    locals_restore(locals);
    if (sh.unwind == kUnwindReturn) {
        sh.unwind = kUnwindNone;
    }
    unit_drop(unit);
}

static int run_path(int argc, char** argv) {
    struct stat status;
    if (stat(argv[0], &status) != 0) {
        tool_main tool = tool_find(base_of(argv[0]));
        tool = tool ? tool : builtin_find(base_of(argv[0]));
        if (tool) {
            tool_name = base_of(argv[0]);
            return tool(argc, argv);
        }
        complain("%s: not found", argv[0]);
        return 127;
    }
    if (S_ISDIR(status.st_mode)) {
        complain("%s: is a folder", argv[0]);
        return 126;
    }
    return run_script(argv[0], argc, argv);
}

int run_command(int argc, char** argv) {
    struct function* function = function_find(argv[0]);
    if (function) {
        run_function(function, argc, argv);
        return sh.status;
    }
    tool_main run = builtin_find(argv[0]);
    const char* before = tool_name;
    int status;
    if (run) {
        tool_name = builtin_special(argv[0]) ? "sh" : argv[0];
        status = run(argc, argv);
    } else if (strchr(argv[0], '/')) {
        status = run_path(argc, argv);
    } else if ((run = tool_find(argv[0])) != NULL) {
        tool_name = argv[0];
        status = run(argc, argv);
    } else {
        complain("%s: not found", argv[0]);
        status = 127;
    }
    tool_name = before;
    sh.status = sh.killed ? kKilledStatus : status;
    sh.killed = false;
    return sh.status;
}

static void trace(const struct fields* words) {
    if (!sh.xtrace || !fds[2]) {
        return;
    }
    struct str line = {0};
    str_text(&line, "+");
    for (size_t i = 0; i < words->count; i++) {
        str_byte(&line, ' ');
        str_text(&line, words->items[i]);
    }
    str_byte(&line, '\n');
    file_write(fds[2], line.s, line.n);
}

static void run_words(struct node* node, struct fields* words) {
    bool special =
        words->count > 0 && builtin_special(words->items[0]) && !function_find(words->items[0]);
    bool temporary = words->count > 0 && !special;
    struct local* locals = sh.locals;
    trace(words);
    if (assign_all(node->assigns, temporary)) {
        if (words->count > 0) {
            run_command((int)words->count, words->items);
        } else {
            sh.status = sh.substituted >= 0 ? sh.substituted : 0;
        }
    }
    if (temporary) {
        locals_restore(locals);
    }
}

static void run_simple(struct node* node) {
    struct mark mark = scratch_mark();
    struct fields words = {0};
    struct saved_fds saved;
    bool fine = true;
    sh.substituted = -1;
    for (struct word* word = node->words; fine && word; word = word->next) {
        fine = expand_fields(word->text, &words);
    }
    if (fine) {
        bool stays = words.count > 0 && strcmp(words.items[0], "exec") == 0;
        fds_save(&saved);
        if (redirect_all(node->redirs)) {
            run_words(node, &words);
        } else if (stays && sh.unwind == kUnwindNone && !sh.interactive) {
            sh.unwind = kUnwindExit;
        }
        flush_all();
        if (output_failed && sh.status == 0) {
            sh.status = 1;
        }
        output_failed = sh.killed = false;
        if (stays) {
            fds_forget(&saved);
        } else {
            fds_restore(&saved);
        }
    }
    scratch_release(mark);
}

/* ---- subshells, pipelines ---- */

void end_of_shell(void) {
    int status = sh.status;
    char* action = sh.exit_trap;
    if (action) {
        sh.exit_trap = NULL;
        sh.unwind = kUnwindNone;
        run_text(action);
        free(action);
        sh.status = sh.unwind == kUnwindExit ? sh.status : status;
    }
}

static void end_subshell(struct snapshot* snapshot) {
    end_of_shell();
    shell_restore(snapshot);
}

static void run_pipeline(struct node* node) {
    int status = 0;
    struct file* input = NULL;
    sh.guarded += node->negated;
    for (struct node* stage = node->a; stage && sh.unwind == kUnwindNone; stage = stage->next) {
        struct file* output = stage->next ? file_pipe() : NULL;
        if (stage == node->a && !output) {
            run_node(stage); /* only `! command` */
        } else {
            struct snapshot* snapshot = shell_save();
            if (input) {
                fd_set_file(0, input);
            }
            if (output) {
                fd_set_file(1, file_hold(output));
            }
            run_node(stage);
            end_subshell(snapshot);
        }
        input = output;
        status = sh.status != 0 || !sh.pipefail || !stage->next ? sh.status : status;
        if (!stage->next && sh.pipefail && sh.status == 0) {
            sh.status = status;
        }
    }
    sh.guarded -= node->negated;
    if (node->negated && sh.unwind == kUnwindNone) {
        sh.status = !sh.status;
    }
}

/* Not inlined: its buffer must not be on the stack while commands run. */
static __attribute__((noinline)) void read_output(struct file* file, struct str* output) {
    char part[4096];
    for (ssize_t got; (got = file_read(file, part, sizeof part)) > 0;) {
        for (ssize_t i = 0; i < got; i++) {
            if (part[i]) { /* a word cannot hold a byte of zero */
                str_byte(output, part[i]);
            }
        }
    }
    while (output->n > 0 && output->s[output->n - 1] == '\n') {
        output->n--;
    }
}

struct str run_substitution(const char* text, size_t size) {
    struct str output = {0};
    if (too_deep()) {
        return output;
    }
    struct file* file = file_pipe();
    int status = sh.status; /* $? stays what it was for the rest of the command */
    struct snapshot* snapshot = shell_save();
    sh.depth++;
    fd_set_file(1, file_hold(file));
    struct source src = {.text = (char*)text, .size = size};
    run_source(&src);
    end_subshell(snapshot);
    sh.substituted = sh.status;
    sh.status = status;
    read_output(file, &output);
    file_drop(file);
    return output;
}

/* ---- compound commands ---- */

static bool condition(struct node* list) {
    sh.guarded++;
    run_list(list);
    sh.guarded--;
    return sh.unwind == kUnwindNone && sh.status == 0;
}

/* After a loop's body or condition: whether the loop goes on. */
static bool loop_goes_on(void) {
    if (sh.unwind != kUnwindBreak && sh.unwind != kUnwindContinue) {
        return sh.unwind == kUnwindNone;
    }
    if (--sh.unwind_loops > 0) {
        return false;
    }
    bool again = sh.unwind == kUnwindContinue;
    sh.unwind = kUnwindNone;
    return again;
}

static void run_while(struct node* node) {
    int status = 0;
    sh.loops++;
    for (;;) {
        bool holds = condition(node->a);
        if (sh.unwind != kUnwindNone) {
            if (loop_goes_on()) {
                continue;
            }
            status = sh.status;
            break;
        }
        if (holds != (node->kind == kNodeWhile)) {
            break;
        }
        run_list(node->b);
        status = sh.status;
        if (!loop_goes_on()) {
            break;
        }
    }
    sh.loops--;
    sh.status = sh.unwind == kUnwindNone ? status : sh.status;
}

static void run_for(struct node* node) {
    struct mark mark = scratch_mark();
    struct fields items = {0};
    bool fine = true;
    for (struct word* word = node->words; fine && word; word = word->next) {
        fine = expand_fields(word->text, &items);
    }
    for (int i = 0; !node->listed && i < sh.arg_count; i++) {
        fields_add(&items, scratch_copy(sh.args[i]));
    }
    if (fine) {
        sh.status = 0;
    }
    sh.loops++;
    for (size_t i = 0; fine && i < items.count; i++) {
        if (!var_set(node->name, items.items[i])) {
            shell_fail(2);
            break;
        }
        run_list(node->a);
        if (!loop_goes_on()) {
            break;
        }
    }
    sh.loops--;
    scratch_release(mark);
}

static struct arm* matching_arm(struct node* node, const char* text) {
    size_t size = strlen(text);
    for (struct arm* arm = node->arms; arm; arm = arm->next) {
        for (struct word* word = arm->patterns; word; word = word->next) {
            struct expansion pattern = {0};
            if (!expand_pattern(word->text, &pattern)) {
                return NULL;
            }
            if (pattern_matches(pattern.text.s, pattern.flags.s, pattern.text.n, text, size)) {
                return arm;
            }
        }
    }
    return NULL;
}

static void run_case(struct node* node) {
    struct mark mark = scratch_mark();
    sh.substituted = -1;
    char* text = expand_one(node->words->text);
    struct arm* arm = text ? matching_arm(node, text) : NULL;
    scratch_release(mark);
    if (sh.unwind == kUnwindNone) {
        sh.status = 0;
        if (arm) {
            run_list(arm->body);
        }
    }
}

static void run_if(struct node* node) {
    for (; node && node->kind == kNodeIf; node = node->c) {
        if (condition(node->a)) {
            run_list(node->b);
            return;
        }
        if (sh.unwind != kUnwindNone) {
            return;
        }
        if (!node->c) {
            sh.status = 0;
            return;
        }
        if (node->c->kind != kNodeIf || !node->c->listed) {
            run_list(node->c);
            return;
        }
    }
}

static void run_and_or(struct node* list) {
    for (struct node* node = list; node && sh.unwind == kUnwindNone; node = node->next) {
        if ((node->link == kLinkAnd && sh.status != 0) ||
            (node->link == kLinkOr && sh.status == 0)) {
            continue;
        }
        sh.guarded += node->next != NULL;
        run_node(node);
        sh.guarded -= node->next != NULL;
    }
}

static void run_compound(struct node* node, struct unit* unit) {
    switch (node->kind) {
        case kNodeSubshell: {
            struct snapshot* snapshot = shell_save();
            run_list(node->a);
            end_subshell(snapshot);
            break;
        }
        case kNodeGroup:
            run_list(node->a);
            break;
        case kNodeIf:
            run_if(node);
            break;
        case kNodeFor:
            run_for(node);
            break;
        case kNodeWhile:
        case kNodeUntil:
            run_while(node);
            break;
        case kNodeCase:
            run_case(node);
            break;
        case kNodeFunction:
            function_set(node->name, node->a, unit);
            sh.status = 0;
            break;
        default:
            break;
    }
}

static void run_redirected(struct node* node) {
    struct saved_fds saved;
    struct mark mark = scratch_mark();
    fds_save(&saved);
    if (redirect_all(node->redirs)) {
        run_compound(node, node->unit);
    }
    flush_all();
    fds_restore(&saved);
    scratch_release(mark);
}

static void errexit(void) {
    if (sh.errexit && sh.status != 0 && sh.guarded == 0 && sh.unwind == kUnwindNone) {
        sh.unwind = kUnwindExit;
    }
}

static void run_node(struct node* node) {
    if (too_deep()) {
        return;
    }
    sh.depth++;
    switch (node->kind) {
        case kNodeCommand:
            run_simple(node);
            errexit();
            break;
        case kNodePipe:
            run_pipeline(node);
            if (!node->negated) {
                errexit();
            }
            break;
        case kNodeAndOr:
            run_and_or(node->a);
            break;
        default:
            if (node->redirs) {
                run_redirected(node);
            } else {
                run_compound(node, node->unit);
            }
            if (node->kind == kNodeSubshell) {
                errexit();
            }
            break;
    }
    sh.depth--;
}

int run_list(struct node* list) {
    for (; list && sh.unwind == kUnwindNone; list = list->next) {
        run_node(list);
    }
    return sh.status;
}

/* ---- sources ---- */

int run_source(struct source* src) {
    for (bool more = true; more && sh.unwind == kUnwindNone;) {
        if (src->more && src->at > 0) { /* what was run is not kept */
            src->size -= src->at;
            memmove(src->text, src->text + src->at, src->size);
            src->at = 0;
        }
        struct parser p = {.src = src, .unit = unit_new()};
        tool_name = "sh";
        struct node* list = parse_line(&p);
        if (p.failed) {
            sh.status = 2;
            if (sh.interactive) {
                src->at = src->size;
            } else {
                sh.unwind = kUnwindExit;
            }
        } else if (list) {
            run_list(list);
        }
        more = p.failed || list || p.tok != kTokEof;
        unit_drop(p.unit);
        if (sh.interactive && sh.unwind == kUnwindExit && !sh.leaving) {
            sh.unwind = kUnwindNone; /* an error ends the line, not the session */
        }
    }
    return sh.status;
}

int run_text(const char* text) {
    struct source src = {.text = (char*)text, .size = strlen(text)};
    return run_source(&src);
}

int run_script(const char* path, int argc, char** argv) {
    int status = 0;
    struct mark mark = scratch_mark();
    struct file* file = open_operand(path);
    struct str text = {0};
    if (file) {
        text = read_all(file, path, kScriptBytesMax, &status);
    }
    file_drop(file);
    if (!file || status != 0) {
        scratch_release(mark);
        return 126;
    }
    if (text.n >= 4 && memcmp(text.s, "\0asm", 4) == 0) {
        complain("%s: a Wasm module cannot be started from inside a container", path);
        scratch_release(mark);
        return 126;
    }
    if (memchr(str_end(&text), 0, text.n)) {
        complain("%s: no script: it holds bytes of zero", path);
        scratch_release(mark);
        return 126;
    }
    struct snapshot* snapshot = shell_save();
    function_drop_all();
    args_set(argv + 1, argc - 1);
    sh.name = path;
    sh.loops = sh.calls = sh.guarded = 0;
    sh.errexit = sh.nounset = sh.xtrace = sh.noglob = sh.pipefail = false;
    if (!too_deep()) {
        sh.depth++;
        run_text(text.s);
    }
    end_subshell(snapshot);
    scratch_release(mark);
    return sh.status;
}
