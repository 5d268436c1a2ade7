/* Which program this is: the name it was called by decides. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "toolbox.h"

#ifdef TOOLBOX_COMPONENT
#include "toolbox_component.h"
#endif

extern char** environ;

tool_main tool_find(const char* name) {
    for (const struct tool* tool = tools; tool->name; tool++) {
        if (strcmp(tool->name, name) == 0) {
            return tool->run;
        }
    }
    return NULL;
}

/* One more line of standard input for the parser. */
static bool more_input(struct source* src) {
    if (sh.interactive && fds[2]) {
        const char* prompt = var_get(src->at == 0 && src->size == 0 ? "PS1" : "PS2");
        prompt = prompt ? prompt : src->size == 0 ? "$ " : "> ";
        file_write(fds[2], prompt, strlen(prompt));
    }
    struct mark mark = scratch_mark();
    struct str line = {0};
    int status = 0;
    struct reader reader = {.file = file_hold(fds[0]), .name = "stdin", .status = &status};
    bool some = read_line(&reader, &line);
    file_drop(reader.file);
    if (some && src->size + line.n + 1 > kScriptBytesMax) {
        complain("a command is longer than %d bytes", kScriptBytesMax);
        some = false;
    }
    if (some) {
        char* grown = realloc(src->text, src->size + line.n + 2);
        if (grown) {
            src->text = grown;
            for (size_t i = 0; i < line.n; i++) {
                if (line.s[i]) {
                    src->text[src->size++] = line.s[i];
                }
            }
            if (reader.ended) {
                src->text[src->size++] = '\n';
            }
        }
        some = grown != NULL;
    }
    scratch_release(mark);
    return some;
}

static int run_input(void) {
    struct source src = {.more = more_input};
    run_source(&src);
    free(src.text);
    return sh.status;
}

static void run_shell(int argc, char** argv, int at, bool text) {
    sh.name = argv[0];
    if (text) {
        char* script = argv[at++];
        if (at < argc) {
            sh.name = argv[at++];
        }
        args_set(argv + at, argc - at);
        run_text(script);
    } else if (at < argc && strcmp(argv[at], "-s") != 0) {
        int status = run_script(argv[at], argc - at, argv + at);
        sh.status = status;
    } else {
        at += at < argc; /* -s */
        args_set(argv + at, argc - at);
        sh.interactive = file_terminal(fds[0]);
        run_input();
        if (sh.interactive && !sh.leaving && fds[2]) {
            file_write(fds[2], "\n", 1);
        }
    }
}

/* A shell of its own: exported variables only, no functions, no options. */
static void forget_the_unexported(void) {
    for (int i = 0; i < kVarBuckets; i++) {
        for (struct var *var = sh.vars[i], *next; var; var = next) {
            next = var->next;
            if (!var->exported) {
                var->readonly = false;
                var_unset(var->name);
            }
        }
    }
    function_drop_all();
    sh.errexit = sh.nounset = sh.xtrace = sh.noglob = sh.pipefail = false;
    sh.loops = sh.calls = sh.guarded = 0;
    sh.status = 0;
}

int shell_main(int argc, char** argv) {
    if (sh.depth >= kRunDepthMax) {
        complain("shells are nested more than %d deep", kRunDepthMax);
        return 2;
    }
    struct snapshot* snapshot = shell_save();
    sh.depth++;
    forget_the_unexported();
    tool_name = "sh";
    int at = 1;
    bool text = false, fine = true;
    /* -c may stand in a cluster, as in -ec; -l, -i and -s change nothing here. */
    for (; fine && at < argc && argv[at][0] == '-' && argv[at][1] && strcmp(argv[at], "-s") != 0;
         at++) {
        char* letters = argv[at];
        if (strcmp(letters, "--") == 0) {
            at++;
            break;
        }
        struct str rest = {0};
        for (char* letter = letters + 1; *letter; letter++) {
            text = text || *letter == 'c';
            if (!strchr("cls", *letter)) {
                str_byte(&rest, *letter);
            }
        }
        char* words[] = {
            scratch_format("-%s", str_end(&rest)),
            rest.n > 0 && rest.s[rest.n - 1] == 'o' && at + 1 < argc ? argv[++at] : NULL};
        int option = 0;
        fine = rest.n == 0 || shell_options(words[1] ? 2 : 1, words, &option);
    }
    if (!fine || (text && at >= argc)) {
        if (fine) {
            complain("-c needs a script");
        }
        sh.status = 2;
    } else {
        run_shell(argc, argv, at, text);
    }
    end_of_shell();
    flush_all();
    shell_restore(snapshot);
    return sh.status;
}

/* The container's working directory; NULL: not told. WASI itself starts in the root folder. */
static const char* start_folder(void) {
#ifdef TOOLBOX_COMPONENT
    toolbox_component_string_t told;
    if (wasi_cli_environment_initial_cwd(&told)) {
        return pool_copy(&scratch, (const char*)told.ptr, told.len);
    }
#endif
    return var_get("PWD");
}

static void start_variables(void) {
    for (char** at = environ; at && *at; at++) {
        const char* equals = strchr(*at, '=');
        if (equals && is_name(*at, (size_t)(equals - *at))) {
            char* name = pool_copy(&scratch, *at, (size_t)(equals - *at));
            var_set(name, equals + 1);
            var_export(name);
        }
    }
    char now[kPathMax];
    const char* folder = start_folder();
    if (folder && folder[0] == '/') {
        (void)!chdir(folder);
    }
    if (getcwd(now, sizeof now)) {
        var_set("PWD", now);
    }
    if (!var_get("OPTIND")) {
        var_set("OPTIND", "1");
    }
}

static int list_tools(void) {
    put("toolbox: a shell and tools in one Wasm module. toolbox NAME [ARG...], NAME one of\nsh");
    for (const struct tool* tool = tools; tool->name; tool++) {
        putf(" %s", tool->name);
    }
    put_byte('\n');
    return 0;
}

static bool is_toolbox(const char* name) {
    return strncmp(name, "toolbox", 7) == 0;
}

static int run_main(int argc, char** argv) {
    while (argc > 0 && is_toolbox(base_of(argv[0]))) {
        argc--;
        argv++;
    }
    if (argc == 0) {
        return list_tools();
    }
    const char* name = base_of(argv[0]);
    name += name[0] == '-' ? 1 : 0; /* a login shell */
    if (tool_find(name) || builtin_find(name)) {
        argv[0] = (char*)name;
        return run_command(argc, argv);
    }
    tool_name = "sh";
    complain("%s: not found", argv[0]);
    return 127;
}

int main(int argc, char** argv) {
    io_start();
    start_variables();
    sh.name = argc > 0 ? argv[0] : "sh";
    int status = run_main(argc, argv);
    flush_all();
    return output_failed && status == 0 ? 1 : status;
}

#ifdef TOOLBOX_COMPONENT
/* The linker wraps every export of a command, so also the allocation that the host calls, in calls
 * of the constructors, unless somebody calls them. Run again and from there, they would trap. */
void __wasm_call_ctors(void);
int __main_void(void);

__attribute__((export_name("_start"))) void _start(void) {
    __wasm_call_ctors();
    int status = __main_void();
    if (status != 0) {
        wasi_cli_exit_exit_with_code((uint8_t)status); /* libc's exit would only tell 0 or 1 */
    }
}
#endif
