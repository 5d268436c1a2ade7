/* date, sleep, env and other small tools, and the table of all. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools.h"

#define TABLE_TOOL(name) {#name, name##_main},
const struct tool tools[] = {
    FOR_ALL_TOOLS(TABLE_TOOL){"ash", shell_main}, {"bash", shell_main}, {"sh", shell_main}, {0}};

static bool date_format(const char* format, struct timespec now) {
    struct str text = {0};
    for (; *format; format++) { /* %N is ours, the rest is strftime's */
        if (*format == '%' && format[1] == 'N') {
            str_text(&text, scratch_format("%09ld", (long)now.tv_nsec));
            format++;
        } else if (*format == '%' && format[1] == 's') {
            str_text(&text, scratch_format("%lld", (long long)now.tv_sec));
            format++;
        } else {
            str_byte(&text, *format);
            if (*format == '%' && format[1]) {
                str_byte(&text, *++format);
            }
        }
    }
    if (text.n > 200) {
        complain("the format is longer than 200 bytes");
        return false;
    }
    put_time(str_end(&text), now.tv_sec, true);
    put_byte('\n');
    return true;
}

int date_main(int argc, char** argv) {
    static const struct long_option longs[] = {{"utc", 'u'}, {"date", 'd'}, {0}};
    struct options o = options_of(argc, argv, "uRd:I");
    struct timespec now = {0};
    const char* format = "%a %b %e %H:%M:%S UTC %Y";
    o.longs = longs;
    clock_gettime(CLOCK_REALTIME, &now);
    for (int letter; (letter = options_next(&o));) {
        long long seconds;
        if (letter == '?') {
            return 1;
        }
        format = letter == 'R'   ? "%a, %d %b %Y %H:%M:%S +0000"
                 : letter == 'I' ? "%Y-%m-%d"
                                 : format;
        if (letter == 'd') {
            if (o.argument[0] != '@' || !parse_number(o.argument + 1, &seconds)) {
                complain("-d %s: only @SECONDS is known", o.argument);
                return 1;
            }
            now = (struct timespec){.tv_sec = (time_t)seconds};
        }
    }
    if (o.operand_count > 0) {
        if (o.operands[0][0] != '+') {
            complain("%s: a format begins with +; the clock cannot be set", o.operands[0]);
            return 1;
        }
        format = o.operands[0] + 1;
    }
    return date_format(format, now) ? 0 : 1;
}

/* NUMBER[smhd]; false: complained. */
static bool parse_duration(const char* text, double* seconds) {
    char* end;
    if (strcmp(text, "infinity") == 0) {
        *seconds += 1e9; /* 31 years */
        return true;
    }
    double value = strtod(text, &end);
    double unit = *end == 'm' ? 60 : *end == 'h' ? 3600 : *end == 'd' ? 86400 : 1;
    bool fine =
        end > text && value >= 0 && value < 1e9 && (!*end || (strchr("smhd", *end) && !end[1]));
    if (!fine) {
        complain("%s: seconds, or a number with s, m, h or d behind", text);
    }
    *seconds += fine ? value * unit : 0;
    return fine;
}

int sleep_main(int argc, char** argv) {
    double seconds = 0;
    if (argc < 2) {
        complain("a time is needed");
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        if (!parse_duration(argv[i], &seconds)) {
            return 1;
        }
    }
    flush_all();
    struct timespec left = {.tv_sec = (time_t)seconds};
    left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
    return 0;
}

static int put_environment(void) {
    for (char** at = var_environment(); *at && !broken(); at++) {
        putf("%s\n", *at);
    }
    return 0;
}

static void clear_environment(void) {
    for (int i = 0; i < kVarBuckets; i++) {
        for (struct var* var = sh.vars[i]; var; var = var->next) {
            var->exported = false;
        }
    }
}

int env_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "+iu:");
    struct snapshot* snapshot = shell_save();
    int status = 0, at = 0;
    for (int letter; status == 0 && (letter = options_next(&o));) {
        status = letter == '?' ? 125 : 0;
        if (letter == 'i') {
            clear_environment();
        } else if (letter == 'u') {
            status = var_unset(o.argument) ? 0 : 125;
        }
    }
    for (; status == 0 && at < o.operand_count && strchr(o.operands[at], '='); at++) {
        char* name = scratch_copy(o.operands[at]);
        char* value = strchr(name, '=');
        *value++ = '\0';
        if (!is_name(name, strlen(name)) || !var_set(name, value)) {
            complain("bad name: %s", name);
            status = 125;
            break;
        }
        var_export(name);
    }
    if (status == 0 && at < o.operand_count) {
        /* env never runs a function or what only a shell knows */
        function_drop_all();
        status = run_command(o.operand_count - at, o.operands + at);
    } else if (status == 0) {
        status = put_environment();
    }
    shell_restore(snapshot);
    return status;
}

int printenv_main(int argc, char** argv) {
    if (argc == 1) {
        return put_environment();
    }
    int status = 0;
    for (int i = 1; i < argc; i++) {
        struct var* var = var_find(argv[i]);
        if (var && var->exported && var->value) {
            putf("%s\n", var->value);
        } else {
            status = 1;
        }
    }
    return status;
}

static const char* host_name(void) {
    const char* name = var_get("HOSTNAME");
    if (name && *name) {
        return name;
    }
    int status = 0;
    struct file* file = file_open("/etc/hostname", O_RDONLY);
    struct str line = {0};
    struct reader reader = {.file = file, .name = "/etc/hostname", .status = &status};
    bool some = file && read_line(&reader, &line) && line.n > 0;
    file_drop(file);
    return some ? str_end(&line) : "localhost";
}

int hostname_main(int argc, char** argv) {
    (void)argv;
    if (argc > 1) {
        complain("the name cannot be set");
        return 1;
    }
    putf("%s\n", host_name());
    return 0;
}

int uname_main(int argc, char** argv) {
    struct options o = options_of(argc, argv, "asnrvmpio");
    const char letters[] = "snrvm";
    const char* values[] = {"WASI", host_name(), "0.1", "skiff-toolbox", "wasm32"};
    bool wanted[sizeof letters] = {false}, some = false;
    for (int letter; (letter = options_next(&o));) {
        if (letter == '?') {
            return 1;
        }
        for (size_t i = 0; letters[i]; i++) {
            wanted[i] |= letter == letters[i] || letter == 'a' || (i == 0 && letter == 'o') ||
                         (i == 4 && (letter == 'p' || letter == 'i'));
            some |= wanted[i];
        }
    }
    wanted[0] |= !some;
    const char* before = "";
    for (size_t i = 0; letters[i]; i++) {
        if (wanted[i]) {
            putf("%s%s", before, values[i]);
            before = " ";
        }
    }
    put_byte('\n');
    return 0;
}

int which_main(int argc, char** argv) {
    int status = argc > 1 ? 0 : 1;
    for (int i = 1; i < argc; i++) {
        if (tool_find(argv[i]) || builtin_find(argv[i])) {
            putf("%s: built into this toolbox\n", argv[i]);
        } else {
            status = 1;
        }
    }
    return status;
}

int clear_main(int argc, char** argv) {
    (void)argc, (void)argv;
    put("\033[H\033[2J\033[3J");
    return 0;
}
