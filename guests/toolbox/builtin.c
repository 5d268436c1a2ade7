/* The shell's own commands: those that change its state. */
#include <errno.h>
#include <fcntl.h>
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

static int true_main(int argc, char** argv) {
    (void)argc, (void)argv;
    return 0;
}

static int false_main(int argc, char** argv) {
    (void)argc, (void)argv;
    return 1;
}

/* A count given to break, exit and their like; false: complained. */
static bool count_argument(int argc, char** argv, long long* value) {
    if (argc > 1 && (!parse_number(argv[1], value) || *value < 0)) {
        complain("%s: bad number: %s", argv[0], argv[1]);
        shell_fail(2);
        return false;
    }
    return true;
}

static int break_main(int argc, char** argv) {
    long long count = 1;
    if (!count_argument(argc, argv, &count) || sh.loops == 0) {
        return sh.unwind ? 2 : 0;
    }
    if (count == 0) {
        complain("%s: bad number: 0", argv[0]);
        shell_fail(2);
        return 2;
    }
    sh.unwind_loops = count < sh.loops ? (int)count : sh.loops;
    sh.unwind = strcmp(argv[0], "break") == 0 ? kUnwindBreak : kUnwindContinue;
    return 0;
}

static int return_main(int argc, char** argv) {
    long long status = sh.status;
    if (!count_argument(argc, argv, &status)) {
        return 2;
    }
    sh.unwind = sh.calls > 0 ? kUnwindReturn : kUnwindExit;
    return (int)(status & 255);
}

static int exit_main(int argc, char** argv) {
    long long status = sh.status;
    if (!count_argument(argc, argv, &status)) {
        return 2;
    }
    sh.unwind = kUnwindExit;
    sh.leaving = true;
    return (int)(status & 255);
}

static int shift_main(int argc, char** argv) {
    long long count = 1;
    if (!count_argument(argc, argv, &count)) {
        return 2;
    }
    if (count > sh.arg_count) {
        complain("shift: there are only %d parameters", sh.arg_count);
        shell_fail(2);
        return 2;
    }
    args_set(sh.args + count, sh.arg_count - (int)count);
    return 0;
}

static bool set_option(char letter, bool on) {
    bool* options[] = {
        ['e'] = &sh.errexit, ['u'] = &sh.nounset, ['x'] = &sh.xtrace, ['f'] = &sh.noglob};
    size_t index = (unsigned char)letter;
    if (index < sizeof options / sizeof *options && options[index]) {
        *options[index] = on;
        return true;
    }
    if (strchr("aCmnvbhi", letter) && letter) {
        return true; /* nothing to do without processes, or only for people */
    }
    complain("set: unknown option %c%c: known are e, f, u, x and -o pipefail", on ? '-' : '+',
             letter);
    return false;
}

static bool set_long_option(const char* name, bool on) {
    static const struct {
        const char* name;
        char letter;
    } names[] = {{"errexit", 'e'}, {"nounset", 'u'}, {"xtrace", 'x'}, {"noglob", 'f'}};
    if (strcmp(name, "pipefail") == 0) {
        sh.pipefail = on;
        return true;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i].name) == 0) {
            return set_option(names[i].letter, on);
        }
    }
    complain("set: unknown option -o %s", name);
    return false;
}

/* Options from argv[*at] on; *at moves to the first word that is none. */
static bool set_options(int argc, char** argv, int* at, bool* ended) {
    for (; *at < argc; ++*at) {
        const char* word = argv[*at];
        if ((word[0] != '-' && word[0] != '+') || !word[1]) {
            return true;
        }
        if (strcmp(word, "--") == 0) {
            *ended = true;
            ++*at;
            return true;
        }
        bool on = word[0] == '-';
        for (const char* letter = word + 1; *letter; letter++) {
            bool fine;
            if (*letter == 'o' && *at + 1 < argc) {
                fine = set_long_option(argv[++*at], on);
            } else {
                fine = set_option(*letter, on);
            }
            if (!fine) {
                return false;
            }
        }
    }
    return true;
}

static int set_main(int argc, char** argv) {
    if (argc == 1) {
        var_list("", false, false);
        return 0;
    }
    int at = 1;
    bool ended = false;
    if (!set_options(argc, argv, &at, &ended)) {
        shell_fail(2);
        return 2;
    }
    if (at < argc || ended) {
        args_set(argv + at, argc - at);
    }
    return 0;
}

static int unset_main(int argc, char** argv) {
    bool functions = argc > 1 && strcmp(argv[1], "-f") == 0;
    int status = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0 || strcmp(argv[i], "-f") == 0) {
            continue;
        }
        if (functions) {
            function_unset(argv[i]);
        } else if (!var_unset(argv[i])) {
            status = 2;
        }
    }
    return status;
}

/* export, readonly and local, with NAME or NAME=VALUE. */
static int declare_main(int argc, char** argv) {
    bool exports = strcmp(argv[0], "export") == 0, local = strcmp(argv[0], "local") == 0;
    if (argc == 1 || (argc == 2 && strcmp(argv[1], "-p") == 0)) {
        if (!local) {
            var_list(exports ? "export " : "readonly ", exports, !exports);
        }
        return 0;
    }
    for (int i = 1; i < argc; i++) {
        const char* equals = strchr(argv[i], '=');
        size_t size = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
        if (!is_name(argv[i], size)) {
            complain("%s: bad name: %s", argv[0], argv[i]);
            shell_fail(2);
            return 2;
        }
        char* name = pool_copy(&scratch, argv[i], size);
        if (local) {
            local_add(name);
        }
        if (equals && !var_set(name, equals + 1)) {
            shell_fail(2);
            return 2;
        }
        if (exports) {
            var_export(name);
        } else if (!local) {
            if (!equals && !var_find(name)) {
                var_set(name, NULL);
            }
            var_find(name)->readonly = true;
        }
    }
    return 0;
}

static int local_main(int argc, char** argv) {
    if (sh.calls == 0) {
        complain("local: only in a function");
        shell_fail(2);
        return 2;
    }
    return declare_main(argc, argv);
}

static int eval_main(int argc, char** argv) {
    struct str text = {0};
    for (int i = 1; i < argc; i++) {
        if (i > 1) {
            str_byte(&text, ' ');
        }
        str_text(&text, argv[i]);
    }
    if (sh.depth >= kRunDepthMax) {
        complain("eval: nested more than %d deep", kRunDepthMax);
        shell_fail(2);
        return 2;
    }
    sh.status = 0;
    sh.depth++;
    run_text(str_end(&text));
    sh.depth--;
    return sh.status;
}

static int source_main(int argc, char** argv) {
    int status = 0;
    if (argc < 2) {
        complain(".: a file is needed");
        return 2;
    }
    struct file* file = sh.depth < kRunDepthMax ? open_operand(argv[1]) : NULL;
    struct str text = {0};
    if (file) {
        text = read_all(file, argv[1], kScriptBytesMax, &status);
    }
    file_drop(file);
    if (!file || status != 0 || memchr(str_end(&text), 0, text.n)) {
        shell_fail(2);
        return 2;
    }
    sh.status = 0;
    sh.calls++;
    sh.depth++;
    run_text(text.s);
    sh.depth--;
    sh.calls--;
    if (sh.unwind == kUnwindReturn) {
        sh.unwind = kUnwindNone;
    }
    return sh.status;
}

static int exec_main(int argc, char** argv) {
    if (argc > 1) {
        sh.status = run_command(argc - 1, argv + 1);
        sh.unwind = kUnwindExit;
        sh.leaving = true;
        return sh.status;
    }
    return 0;
}

static int trap_main(int argc, char** argv) {
    if (argc == 1) {
        if (sh.exit_trap) {
            putf("trap -- '%s' EXIT\n", sh.exit_trap);
        }
        return 0;
    }
    int at = strcmp(argv[1], "--") == 0 ? 2 : 1;
    bool resets = at < argc && (strcmp(argv[at], "-") == 0 || argc - at == 1);
    /* No signal ever reaches a Wasm guest: only the end of the shell is an event. */
    for (int i = at + (argc - at > 1); i < argc; i++) {
        if (strcmp(argv[i], "EXIT") == 0 || strcmp(argv[i], "0") == 0) {
            free(sh.exit_trap);
            sh.exit_trap = resets ? NULL : keep_copy(argv[at]);
        }
    }
    return 0;
}

static int cd_main(int argc, char** argv) {
    if (argc > 1 && (strcmp(argv[1], "-P") == 0 || strcmp(argv[1], "-L") == 0)) {
        argc--;
        argv++;
    }
    const char* target = argc > 1 ? argv[1] : var_get("HOME");
    bool back = target && strcmp(target, "-") == 0;
    target = back ? var_get("OLDPWD") : target;
    if (!target) {
        complain("%s", back ? "OLDPWD is not set" : "HOME is not set");
        return 2;
    }
    char before[kPathMax] = "", now[kPathMax] = "";
    struct stat status;
    bool known = getcwd(before, sizeof before) != NULL;
    /* WASI's libc keeps the folder as text, would also enter a file, and .. of the root is denied.
     */
    target = *target ? absolute_path(target) : target;
    if (*target && (stat(target, &status) != 0 || (errno = ENOTDIR, !S_ISDIR(status.st_mode)) ||
                    chdir(target) != 0)) {
        complain("can't cd to %s: %s", target, strerror(errno));
        return 2;
    }
    if (known) {
        var_set("OLDPWD", before);
    }
    if (getcwd(now, sizeof now)) {
        var_set("PWD", now);
        if (back) {
            putf("%s\n", now);
        }
    }
    return 0;
}

static int pwd_main(int argc, char** argv) {
    (void)argc, (void)argv;
    char now[kPathMax];
    if (!getcwd(now, sizeof now)) {
        complain_errno("pwd");
        return 1;
    }
    putf("%s\n", now);
    return 0;
}

/* What a word would run; false: nothing. */
static bool describe(const char* name, bool short_form) {
    struct stat status;
    if (function_find(name)) {
        putf(short_form ? "%s\n" : "%s is a shell function\n", name);
    } else if (builtin_find(name)) {
        putf(short_form              ? "%s\n"
             : builtin_special(name) ? "%s is a special shell builtin\n"
                                     : "%s is a shell builtin\n",
             name);
    } else if (tool_find(name)) {
        putf(short_form ? "%s\n" : "%s is a tool of this toolbox\n", name);
    } else if (strchr(name, '/') && stat(name, &status) == 0) {
        putf(short_form ? "%s\n" : "%s is a file\n", name);
    } else {
        return false;
    }
    return true;
}

static int type_main(int argc, char** argv) {
    int status = 0;
    for (int i = 1; i < argc; i++) {
        if (!describe(argv[i], false)) {
            putf("%s: not found\n", argv[i]);
            status = 127;
        }
    }
    return status;
}

static int command_main(int argc, char** argv) {
    bool asks = argc > 2 && (strcmp(argv[1], "-v") == 0 || strcmp(argv[1], "-V") == 0);
    if (asks) {
        return describe(argv[2], argv[1][1] == 'v') ? 0 : 127;
    }
    int at = argc > 1 && (strcmp(argv[1], "-p") == 0 || strcmp(argv[1], "--") == 0) ? 2 : 1;
    if (at >= argc) {
        return 0;
    }
    tool_main run = builtin_find(argv[at]);
    run = run ? run : tool_find(argv[at]);
    if (!run) {
        tool_name = "sh";
        return strchr(argv[at], '/') ? run_command(argc - at, argv + at)
                                     : (complain("%s: not found", argv[at]), 127);
    }
    tool_name = argv[at];
    return run(argc - at, argv + at);
}

static int wait_main(int argc, char** argv) {
    (void)argc, (void)argv;
    return 0; /* nothing ever runs beside the shell */
}

static int umask_main(int argc, char** argv) {
    (void)argv;
    if (argc > 1) {
        complain("umask: files are made with 0022; chmod changes their mode");
        return 1;
    }
    put("0022\n");
    return 0;
}

/* The next letter of a cluster in the word of OPTIND; false: there is none. */
static bool getopts_letter(char* const* args, int count, long long* index, char* letter) {
    const char* word = *index >= 1 && *index <= count ? args[*index - 1] : NULL;
    if (!word || word[0] != '-' || !word[1]) {
        return false;
    }
    if (strcmp(word, "--") == 0) {
        ++*index;
        return false;
    }
    if (sh.getopts_at < 1 || (size_t)sh.getopts_at >= strlen(word)) {
        sh.getopts_at = 1;
    }
    *letter = word[sh.getopts_at++];
    if (!word[sh.getopts_at]) {
        ++*index;
        sh.getopts_at = 1;
    }
    return true;
}

static int getopts_main(int argc, char** argv) {
    if (argc < 3) {
        complain("usage: getopts LETTERS NAME [ARG...]");
        return 2;
    }
    char** args = argc > 3 ? argv + 3 : sh.args;
    int count = argc > 3 ? argc - 3 : sh.arg_count;
    const char* spec = argv[1];
    bool silent = spec[0] == ':';
    long long index = 1, before;
    const char* optind = var_get("OPTIND");
    if (!optind || !parse_number(optind, &index) || index < 1) {
        index = 1;
    }
    before = index;
    char letter[2] = "?", told[2] = "";
    const char *value = NULL, *name = "?";
    bool some = getopts_letter(args, count, &index, letter);
    const char* known = some && letter[0] != ':' ? strchr(spec, letter[0]) : NULL;
    if (known && known[1] == ':') {
        const char* word = args[before - 1];
        if (index == before) { /* the rest of the word */
            value = word + sh.getopts_at;
            index++;
        } else if (index <= count) {
            value = args[index++ - 1];
        }
        sh.getopts_at = 1;
        name = value ? letter : silent ? ":" : "?";
    } else if (known) {
        name = letter;
    }
    if (some && (!known || (known[1] == ':' && !value))) {
        told[0] = letter[0];
        value = silent ? told : NULL;
        if (!silent) {
            complain("%s option -%c", known ? "no argument for" : "unknown", letter[0]);
        }
    }
    char number[24];
    snprintf(number, sizeof number, "%lld", index);
    bool fine = var_set("OPTIND", number) && var_set(argv[2], name) &&
                (value ? var_set("OPTARG", value) : var_unset("OPTARG"));
    return !fine ? 2 : some ? 0 : 1;
}

static const struct builtin {
    const char* name;
    tool_main run;
    bool special;
} builtins[] = {
    {":", true_main, true},           {".", source_main, true},
    {"source", source_main, true},    {"[", test_main, false},
    {"break", break_main, true},      {"cd", cd_main, false},
    {"command", command_main, false}, {"continue", break_main, true},
    {"echo", echo_main, false},       {"eval", eval_main, true},
    {"exec", exec_main, true},        {"exit", exit_main, true},
    {"export", declare_main, true},   {"false", false_main, false},
    {"getopts", getopts_main, false}, {"hash", true_main, false},
    {"local", local_main, true},      {"printf", printf_main, false},
    {"pwd", pwd_main, false},         {"read", read_main, false},
    {"readonly", declare_main, true}, {"return", return_main, true},
    {"set", set_main, true},          {"shift", shift_main, true},
    {"test", test_main, false},       {"trap", trap_main, true},
    {"true", true_main, false},       {"type", type_main, false},
    {"umask", umask_main, false},     {"unset", unset_main, true},
    {"wait", wait_main, false},
};

static const struct builtin* find(const char* name) {
    for (size_t i = 0; i < sizeof builtins / sizeof *builtins; i++) {
        if (strcmp(builtins[i].name, name) == 0) {
            return &builtins[i];
        }
    }
    return NULL;
}

tool_main builtin_find(const char* name) {
    const struct builtin* found = find(name);
    return found ? found->run : NULL;
}

bool builtin_special(const char* name) {
    const struct builtin* found = find(name);
    return found && found->special;
}

/* Options of `sh` itself, as of `set`. */
bool shell_options(int argc, char** argv, int* at) {
    bool ended = false;
    return set_options(argc, argv, at, &ended);
}
