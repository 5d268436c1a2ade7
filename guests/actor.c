/* actor: a guest that does what its arguments say, for tests and for trying things out.
 *
 * The arguments are a script: verbs with their operands, joined by `;` or `--`.
 *     actor print hello ';' write /data/x 42 ';' sleep 2.5 ';' exit 3
 * Without arguments the script is the environment variable ACTOR_SCRIPT, split at blanks.
 * A verb that fails says so on stderr (`write /data/x: Permission denied (EACCES)`) and ends the
 * guest with 1. guests/README.md lists the verbs.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { kWordsMax = 4096, kPage = 65536 };

struct verb {
    const char* name;
    int operands_min; /* fewer are an error of the script: exit 2 */
    void (*run)(int count, char** words);
};

static int run_script(int count, char** words);

static const char* errno_name(int code) {
    switch (code) {
        case EACCES:
            return "EACCES";
        case EBADF:
            return "EBADF";
        case EDQUOT:
            return "EDQUOT";
        case EEXIST:
            return "EEXIST";
        case EFBIG:
            return "EFBIG";
        case EISDIR:
            return "EISDIR";
        case ENOENT:
            return "ENOENT";
        case ENOSPC:
            return "ENOSPC";
        case ENOTCAPABLE:
            return "ENOTCAPABLE";
        case ENOTDIR:
            return "ENOTDIR";
        case ENOTEMPTY:
            return "ENOTEMPTY";
        case EPERM:
            return "EPERM";
        case EROFS:
            return "EROFS";
        default:
            return "other";
    }
}

/* Flushes before it exits: what was printed earlier in the script must not be lost. */
static _Noreturn void fail(const char* verb, const char* subject) {
    int code = errno;
    fflush(stdout);
    fprintf(stderr, "%s %s: %s (%s)\n", verb, subject, strerror(code), errno_name(code));
    exit(1);
}

static void pause_for(double seconds) {
    struct timespec left = {.tv_sec = (time_t)seconds};
    left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
    fflush(stdout);
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

static long long nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void say(FILE* stream, int count, char** words) {
    for (int i = 0; i < count; i++) {
        fprintf(stream, "%s%s", i > 0 ? " " : "", words[i]);
    }
    fputc('\n', stream);
    fflush(stream);
}

static void verb_print(int count, char** words) {
    say(stdout, count, words);
}
static void verb_eprint(int count, char** words) {
    say(stderr, count, words);
}

static void copy_out(const char* verb, const char* subject, int file) {
    char block[4096];
    ssize_t got;
    fflush(stdout);
    while ((got = read(file, block, sizeof block)) > 0) {
        fwrite(block, 1, (size_t)got, stdout);
    }
    if (got < 0) {
        fail(verb, subject);
    }
    fflush(stdout);
}

static void verb_read(int count, char** words) {
    (void)count;
    int file = open(words[0], O_RDONLY);
    if (file < 0) {
        fail("read", words[0]);
    }
    copy_out("read", words[0], file);
    close(file);
}

static void verb_stdin(int count, char** words) {
    (void)count, (void)words;
    copy_out("stdin", "-", 0);
}

static void put(const char* verb, int how, int count, char** words) {
    int file = open(words[0], O_WRONLY | O_CREAT | how, 0666);
    if (file < 0) {
        fail(verb, words[0]);
    }
    for (int i = 1; i < count; i++) {
        size_t length = strlen(words[i]);
        if ((i > 1 && write(file, " ", 1) != 1) ||
            write(file, words[i], length) != (ssize_t)length) {
            fail(verb, words[0]);
        }
    }
    if (write(file, "\n", 1) != 1 || close(file) != 0) {
        fail(verb, words[0]);
    }
}

static void verb_write(int count, char** words) {
    put("write", O_TRUNC, count, words);
}
static void verb_append(int count, char** words) {
    put("append", O_APPEND, count, words);
}

/* One line, its words and the real time in ns: in one write, as several guests share the file. */
static void verb_stamp(int count, char** words) {
    char line[512];
    int length = 0;
    for (int i = 1; i < count && length < (int)sizeof line; i++) {
        length += snprintf(line + length, sizeof line - (size_t)length, "%s ", words[i]);
    }
    if (length < (int)sizeof line) {
        length += snprintf(line + length, sizeof line - (size_t)length, "%lld\n",
                           nanoseconds(CLOCK_REALTIME));
    }
    int file = open(words[0], O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (length >= (int)sizeof line || file < 0 || write(file, line, (size_t)length) != length) {
        fail("stamp", words[0]);
    }
    close(file);
}

static void verb_mkdir(int count, char** words) {
    (void)count;
    if (mkdir(words[0], 0777) != 0) {
        fail("mkdir", words[0]);
    }
}

static void verb_remove(int count, char** words) {
    (void)count;
    if (unlink(words[0]) != 0 && rmdir(words[0]) != 0) {
        fail("remove", words[0]);
    }
}

static int by_name(const void* left, const void* right) {
    return strcmp(*(char* const*)left, *(char* const*)right);
}

static void verb_ls(int count, char** words) {
    (void)count;
    DIR* folder = opendir(words[0]);
    if (folder == NULL) {
        fail("ls", words[0]);
    }
    char* names[kWordsMax];
    int found = 0;
    for (struct dirent* entry; found < kWordsMax && (entry = readdir(folder)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            names[found++] = strdup(entry->d_name);
        }
    }
    closedir(folder);
    qsort(names, (size_t)found, sizeof names[0], by_name);
    for (int i = 0; i < found; i++) {
        puts(names[i]);
        free(names[i]);
    }
    fflush(stdout);
}

static void verb_stat(int count, char** words) {
    (void)count;
    struct stat its;
    if (stat(words[0], &its) != 0) {
        fail("stat", words[0]);
    }
    const char* kind = S_ISDIR(its.st_mode) ? "directory" : S_ISREG(its.st_mode) ? "file" : "other";
    printf("%s %s %lld\n", words[0], kind, (long long)its.st_size);
    fflush(stdout);
}

static void verb_exists(int count, char** words) {
    (void)count;
    struct stat its;
    if (stat(words[0], &its) != 0) {
        fail("exists", words[0]);
    }
}

static void verb_missing(int count, char** words) {
    (void)count;
    struct stat its;
    if (stat(words[0], &its) == 0) {
        errno = EEXIST;
        fail("missing", words[0]);
    }
}

static void verb_wait_file(int count, char** words) {
    (void)count;
    struct stat its;
    while (stat(words[0], &its) != 0) {
        pause_for(0.05);
    }
}

/* `write` makes a file before it writes, and ends it with a line feed: until then its text is not
 * whole. */
static void verb_wait_text(int count, char** words) {
    (void)count;
    for (char last = '\0'; last != '\n';) {
        int file = open(words[0], O_RDONLY);
        if (file < 0 || lseek(file, -1, SEEK_END) < 0 || read(file, &last, 1) != 1 ||
            last != '\n') {
            pause_for(0.05);
        }
        close(file);
    }
}

static void verb_env(int count, char** words) {
    for (int i = 0; i < count; i++) {
        const char* value = getenv(words[i]);
        printf("%s%s%s\n", words[i], value ? "=" : " is not set", value ? value : "");
    }
    fflush(stdout);
}

extern char** environ;

static void verb_environ(int count, char** words) {
    (void)count, (void)words;
    for (char** entry = environ; *entry != NULL; entry++) {
        puts(*entry);
    }
    fflush(stdout);
}

static int all_count;
static char** all_words;

static void verb_args(int count, char** words) {
    (void)count, (void)words;
    for (int i = 0; i < all_count; i++) {
        printf("[%d] %s\n", i, all_words[i]);
    }
    fflush(stdout);
}

static void verb_cwd(int count, char** words) {
    (void)count, (void)words;
    const char* from_environment = getenv("PWD");
    char folder[4096];
    puts(from_environment ? from_environment : getcwd(folder, sizeof folder) ? folder : "?");
    fflush(stdout);
}

static void verb_terminal(int count, char** words) {
    (void)count, (void)words;
    for (int stream = 0; stream < 3; stream++) {
        printf("%d %s\n", stream, isatty(stream) ? "terminal" : "none");
    }
    fflush(stdout);
}

static void verb_exit(int count, char** words) {
    (void)count;
    fflush(stdout);
    _Exit(atoi(words[0]));
}

static void verb_trap(int count, char** words) {
    (void)count, (void)words;
    fflush(stdout);
    __builtin_trap();
}

static void verb_abort(int count, char** words) {
    (void)count, (void)words;
    fflush(stdout);
    abort();
}

/* For ever, or for as many seconds of the wall clock as said. */
static void verb_spin(int count, char** words) {
    double seconds = count > 0 ? atof(words[0]) : 0;
    long long end = nanoseconds(CLOCK_MONOTONIC) + (long long)(seconds * 1e9);
    volatile uint64_t turns = 0;
    do {
        for (int i = 0; i < 1000000; i++) {
            turns++;
        }
    } while (seconds <= 0 || nanoseconds(CLOCK_MONOTONIC) < end);
    printf("spun %llu\n", (unsigned long long)turns);
    fflush(stdout);
}

/* Grows the memory a MiB at a time and touches every page; returns the MiB that were granted. */
static int grow(int mebibytes) {
    for (int done = 0; done < mebibytes; done++) {
        size_t before = __builtin_wasm_memory_grow(0, 16);
        if (before == SIZE_MAX) {
            return done;
        }
        for (size_t page = 0; page < 256; page++) {
            ((volatile char*)(before * kPage))[page * 4096] = 1;
        }
    }
    return mebibytes;
}

static void verb_grow(int count, char** words) {
    (void)count;
    int wanted = atoi(words[0]), granted = grow(wanted);
    printf("grew %d of %d MiB, memory is %zu MiB\n", granted, wanted,
           __builtin_wasm_memory_size(0) / 16);
    fflush(stdout);
    if (granted < wanted) {
        abort();
    }
}

static void verb_try_grow(int count, char** words) {
    (void)count;
    int wanted = atoi(words[0]);
    printf("grew %d of %d MiB\n", grow(wanted), wanted);
    fflush(stdout);
}

/* LINES lines of BYTES bytes each (line feed included), numbered so that a lost one shows. */
static void verb_flood(int count, char** words) {
    (void)count;
    long lines = atol(words[0]), bytes = atol(words[1]);
    char* line = malloc((size_t)(bytes < 16 ? 16 : bytes) + 1);
    for (long number = 0; number < lines; number++) {
        int head = sprintf(line, "%09ld ", number);
        for (long at = head; at < bytes - 1; at++) {
            line[at] = (char)('a' + (number + at) % 26);
        }
        long end = bytes - 1 > head ? bytes - 1 : head;
        line[end] = '\n';
        fwrite(line, 1, (size_t)end + 1, stdout);
    }
    fflush(stdout);
    free(line);
}

static void verb_sleep(int count, char** words) {
    (void)count;
    pause_for(atof(words[0]));
}

static void verb_hold(int count, char** words) {
    (void)count, (void)words;
    for (;;) {
        pause_for(3600);
    }
}

static void verb_clock(int count, char** words) {
    (void)count, (void)words;
    printf("%lld\n", nanoseconds(CLOCK_REALTIME));
    fflush(stdout);
}

static void verb_random(int count, char** words) {
    (void)count;
    unsigned char bytes[256];
    size_t wanted = (size_t)atoi(words[0]) < sizeof bytes ? (size_t)atoi(words[0]) : sizeof bytes;
    if (getentropy(bytes, wanted) != 0) {
        fail("random", words[0]);
    }
    for (size_t i = 0; i < wanted; i++) {
        printf("%02x", bytes[i]);
    }
    putchar('\n');
    fflush(stdout);
}

/* Runs the rest of the words, to the end of the script, every SECONDS for ever. */
static void verb_loop(int count, char** words) {
    for (;;) {
        run_script(count - 1, words + 1);
        pause_for(atof(words[0]));
    }
}

static const struct verb kVerbs[] = {
    {"abort", 0, verb_abort},
    {"append", 2, verb_append},
    {"args", 0, verb_args},
    {"clock", 0, verb_clock},
    {"cwd", 0, verb_cwd},
    {"env", 1, verb_env},
    {"environ", 0, verb_environ},
    {"eprint", 0, verb_eprint},
    {"exists", 1, verb_exists},
    {"exit", 1, verb_exit},
    {"flood", 2, verb_flood},
    {"grow", 1, verb_grow},
    {"hold", 0, verb_hold},
    {"loop", 2, verb_loop},
    {"ls", 1, verb_ls},
    {"missing", 1, verb_missing},
    {"mkdir", 1, verb_mkdir},
    {"print", 0, verb_print},
    {"random", 1, verb_random},
    {"read", 1, verb_read},
    {"remove", 1, verb_remove},
    {"sleep", 1, verb_sleep},
    {"spin", 0, verb_spin},
    {"stamp", 2, verb_stamp},
    {"stat", 1, verb_stat},
    {"stdin", 0, verb_stdin},
    {"terminal", 0, verb_terminal},
    {"trap", 0, verb_trap},
    {"try-grow", 1, verb_try_grow},
    {"wait-file", 1, verb_wait_file},
    {"wait-text", 1, verb_wait_text},
    {"write", 2, verb_write},
};

static bool is_joint(const char* word) {
    return strcmp(word, ";") == 0 || strcmp(word, "--") == 0;
}

static void run_verb(int count, char** words) {
    for (size_t i = 0; i < sizeof kVerbs / sizeof kVerbs[0]; i++) {
        if (strcmp(kVerbs[i].name, words[0]) == 0 && count - 1 >= kVerbs[i].operands_min) {
            kVerbs[i].run(count - 1, words + 1);
            return;
        }
    }
    fflush(stdout);
    fprintf(stderr, "actor: no such verb, or too few operands: %s\n", words[0]);
    exit(2);
}

static int run_script(int count, char** words) {
    int start = 0;
    while (start < count) {
        int end = start;
        /* `loop` takes the whole rest, joints included. */
        bool takes_rest = strcmp(words[start], "loop") == 0;
        while (end < count && (takes_rest || !is_joint(words[end]))) {
            end++;
        }
        if (end > start) {
            run_verb(end - start, words + start);
        }
        start = end + 1;
    }
    return 0;
}

int main(int argc, char** argv) {
    all_count = argc;
    all_words = argv;
    if (argc > 1) {
        return run_script(argc - 1, argv + 1);
    }
    const char* script = getenv("ACTOR_SCRIPT");
    if (script == NULL) {
        puts("actor: nothing to do (no arguments, no ACTOR_SCRIPT)");
        return 0;
    }
    static char* words[kWordsMax];
    int count = 0;
    for (char* word = strtok(strdup(script), " \t\n"); word != NULL && count < kWordsMax;
         word = strtok(NULL, " \t\n")) {
        words[count++] = word;
    }
    return run_script(count, words);
}
