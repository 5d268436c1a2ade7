/* toolbox: a POSIX shell and the tools of a debugging session in one process, as a Wasm guest.
 *
 * WASI has no fork, no exec, no pipe and no dup. So a command is a C function; a descriptor is an
 * entry of `fds`, which points to a counted `struct file`; a pipe is a file that lives in memory;
 * and a subshell is the shell's state, saved and put back (README.md).
 *
 * Memory: what a command needs while it runs comes from the pool `scratch` and is given back all at
 * once by whoever started the command (scratch_mark, scratch_release). What outlives a command
 * (variables, functions, open files) is malloc'ed. A tool may therefore return from anywhere.
 *
 * Errors: there is no longjmp either. A tool says what is wrong (complain) and returns its status.
 * The shell sets `sh.unwind`; everything that loops looks at it, or at broken().
 */
#pragma once

#include <regex.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

enum {
    kFds = 10,                  /* descriptors a script can name: one digit */
    kPipeBytesMax = 32 << 20,   /* what a pipe or $( ) holds */
    kLineBytesMax = 16 << 20,   /* of a text file; also a script, a variable */
    kScriptBytesMax = 16 << 20, /* read from a file */
    kFieldsMax = 100000,        /* words of one command after expansion */
    kRunDepthMax = 400,         /* nested commands, functions, substitutions */
    kParseDepthMax = 100,       /* nested constructs in one script */
    kDoubtsMax = 1000,
    kTreeDepthMax = 128, /* nested folders */
    kPathMax = 4096,
    kPatternBytesMax = 16384,
    kRepetitionsMax = 10000,
    kKilledStatus = 141, /* as of SIGPIPE */
};

#define PRINTF_LIKE(a, b) __attribute__((format(printf, a, b)))

/* ---- mem.c ---- */

struct chunk;
struct pool {
    struct chunk* top;
};
struct mark {
    struct chunk* chunk;
    size_t used;
};
struct str { /* grows in scratch; s[n] is 0 once str_text was called */
    char* s;
    size_t n, room;
};

extern struct pool scratch;

void* pool_get(struct pool* pool, size_t size); /* zeroed; ends the process when memory is out */
char* pool_copy(struct pool* pool, const char* text, size_t size);
void pool_free(struct pool* pool);
struct mark scratch_mark(void);
void scratch_release(struct mark mark);
void* scratch_get(size_t size);
char* scratch_copy(const char* text);
char* scratch_format(const char* format, ...) PRINTF_LIKE(1, 2);
void* keep(size_t size); /* malloc that does not fail */
char* keep_copy(const char* text);
void str_byte(struct str* str, char byte);
void str_add(struct str* str, const char* bytes, size_t size);
void str_fill(struct str* str, char byte, size_t size);
void str_text(struct str* str, const char* text);
char* str_end(struct str* str); /* the text, terminated */

/* ---- io.c ---- */

struct file;
extern struct file* fds[kFds];
extern bool output_failed; /* some write failed since it was last cleared */

void io_start(void);
struct file* file_of(int fd); /* owns fd */
struct file* file_pipe(
    void); /* written first, then read; more than kPipeBytesMax ends the writer */
struct file* file_null(void);
struct file* file_text(const char* text, size_t size);
struct file* file_hold(struct file* file);
void file_drop(struct file* file); /* the last one flushes and closes; NULL is fine */
struct file* file_open(const char* path, int flags);         /* NULL: errno */
ssize_t file_read(struct file* file, char* to, size_t size); /* -1: errno; NULL file: EBADF */
bool file_write(struct file* file, const char* bytes, size_t size);
bool file_flush(struct file* file);
bool file_terminal(struct file* file);
int file_handle(struct file* file);                    /* the descriptor behind it; -1: none */
off_t file_skip_to_end(struct file* file, off_t back); /* -1: cannot seek */
void flush_all(void);
/* A line without its newline into `line`; false at the end of the file. `*ended` (may be NULL)
 * tells whether there was a newline. A failing file is reported under `name` and sets *status to 1.
 */
struct reader {
    struct file* file;
    const char* name;
    int* status;
    bool ended;
};
bool read_line(struct reader* reader, struct str* line);
/* Opens an operand for reading, "-" is standard input; complains. NULL: could not. */
struct file* open_operand(const char* path);
struct str read_all(struct file* file, const char* name, size_t max, int* status);

/* To standard output. */
void put(const char* text);
void put_bytes(const char* bytes, size_t size);
void put_byte(char byte);
void putf(const char* format, ...) PRINTF_LIKE(1, 2);
/* `NAME: text` on standard error; NAME is the running command's. */
void complain(const char* format, ...) PRINTF_LIKE(1, 2);
void complain_errno(const char* subject); /* NAME: subject: strerror(errno) */
bool broken(void);                        /* nobody wants more output: stop */

/* ---- shell.c: state ---- */

enum unwind { kUnwindNone, kUnwindBreak, kUnwindContinue, kUnwindReturn, kUnwindExit };

enum { kVarBuckets = 64 };
struct var {
    struct var* next;
    char* name;
    char* value; /* NULL: not set */
    bool exported, readonly;
};
struct function {
    struct function* next;
    char* name;
    struct node* body;
    struct unit* unit;
};
struct local { /* what a variable was before `local` */
    struct local* next;
    char* name;
    char* value;
    bool exported;
};
struct shell {
    struct var* vars[kVarBuckets];
    struct function* functions;
    struct local* locals; /* of the running function */
    char** args;          /* $1… */
    int arg_count;
    const char* name; /* $0 */
    char* exit_trap;
    int status;      /* $? */
    int substituted; /* status of the last $( ) of the running command; -1: none */
    enum unwind unwind;
    int unwind_loops; /* break N */
    int loops;        /* around the running command */
    int calls;        /* functions and sourced files around it */
    int guarded;      /* conditions around it: errexit does not apply */
    int depth;
    int getopts_at; /* within a cluster of options */
    bool errexit, nounset, xtrace, noglob, pipefail;
    bool interactive;
    bool killed;  /* the running command wrote into a full pipe */
    bool leaving; /* exit was called: also an interactive shell ends */
};
extern struct shell sh;
extern const char* tool_name; /* for complain() */

const char* var_get(const char* name); /* NULL: not set */
struct var* var_find(const char* name);
bool var_set(const char* name, const char* value); /* false: readonly, complained */
void var_export(const char* name);
bool var_unset(const char* name);
char** var_environment(void); /* NAME=VALUE of exported ones, sorted, in scratch */
void var_list(const char* prefix, bool exported, bool readonly); /* as commands */
bool is_name(const char* text, size_t size);
struct function* function_find(const char* name);
void function_set(const char* name, struct node* body, struct unit* unit);
void function_unset(const char* name);
void args_set(char** args, int count); /* copies */
struct snapshot;
struct snapshot* shell_save(void); /* what a subshell may change: state, folder, descriptors */
void shell_restore(struct snapshot* snapshot); /* status stays */
void shell_fail(int status);                   /* unwinds the (sub)shell, or back to the prompt */
void local_add(const char* name);
void locals_restore(struct local* until);
void function_drop_all(void);

/* ---- lex.c, parse.c ---- */

struct source { /* text that may grow at its end */
    char* text;
    size_t size, at;
    bool (*more)(struct source*); /* false: that was all. NULL likewise */
    int line;
};
struct word {
    struct word* next;
    const char* text; /* raw: with its quotes and expansions */
};
enum redir_kind { kRedirIn, kRedirOut, kRedirAppend, kRedirBoth, kRedirDup, kRedirHere };
struct redir {
    struct redir* next;
    enum redir_kind kind;
    int fd;
    const char* word; /* path, descriptor, or the here document's text */
    const char* delimiter;
    bool literal, strip_tabs; /* here document */
    struct redir* pending;
};
struct arm { /* of case */
    struct arm* next;
    struct word* patterns;
    struct node* body;
};
enum node_kind {
    kNodeCommand,
    kNodePipe,
    kNodeAndOr,
    kNodeSubshell,
    kNodeGroup,
    kNodeIf,
    kNodeFor,
    kNodeWhile,
    kNodeUntil,
    kNodeCase,
    kNodeFunction,
};
enum link { kLinkFirst, kLinkAnd, kLinkOr };
struct node {
    enum node_kind kind;
    struct node* next; /* of a list */
    enum link link;    /* in an and-or list: to the one before */
    bool negated;      /* a pipeline with ! */
    bool listed;       /* for: has a list (in); if: it is an elif */
    struct node *a, *b, *c;
    struct word *words, *assigns;
    struct redir* redirs;
    struct arm* arms;
    const char* name;
    struct unit* unit; /* that it was parsed in */
};
struct unit { /* what was parsed together lives together */
    int refs;
    struct pool pool;
    int doubts; /* $(( read as $( ( after all */
};
enum token {
    kTokEof,
    kTokNewline,
    kTokWord,
    kTokIoNumber,
    kTokSemi,
    kTokSemiSemi,
    kTokAmp,
    kTokAndAnd,
    kTokOrOr,
    kTokPipe,
    kTokOpen,
    kTokClose,
    kTokLess,
    kTokGreat,
    kTokAppend,
    kTokHere,
    kTokHereDash,
    kTokLessAmp,
    kTokGreatAmp,
    kTokLessGreat,
    kTokClobber,
};
struct parser {
    struct source* src;
    struct unit* unit;
    enum token tok; /* the next one, if `peeked` */
    bool peeked;
    const char* word;
    struct redir* pending; /* here documents whose text comes after the line */
    int depth;
    bool failed;     /* complained; every token is Eof from here */
    bool arithmetic; /* what scan_dollar passed last was $(( )) */
    bool quiet;
};

struct unit* unit_new(void);
void unit_drop(struct unit* unit);
enum token tok_peek(struct parser* p);
enum token tok_next(struct parser* p);
bool parse_failed(struct parser* p, const char* format, ...) PRINTF_LIKE(2, 3);
int src_char(struct source* src, size_t ahead); /* -1: the end */
/* Each begins at the construct's first character and ends behind it. */
bool scan_double_quotes(struct parser* p);
bool scan_dollar(struct parser* p, bool quoted);
bool scan_backquotes(struct parser* p);
struct node* parse_line(struct parser* p);        /* NULL: nothing (more), or failed */
struct node* parse_until_close(struct parser* p); /* the list of $( ), behind its ) */

/* ---- expand.c, glob.c, arith.c ---- */

enum { kPlain, kQuoted, kSplit, kBreak, kPresent }; /* what a byte of an expansion is */
struct expansion {
    struct str text, flags;
};
struct fields {
    char** items; /* NULL-terminated */
    size_t count, room;
};
void fields_add(struct fields* fields, char* item);
bool expand_fields(const char* raw, struct fields* into);
char* expand_one(const char* raw); /* no splitting, no globbing; NULL: failed */
bool expand_pattern(const char* raw, struct expansion* into);
char* expand_here(const char* raw);
/* flags NULL: every byte is unquoted. A backslash that is not quoted quotes. */
bool pattern_matches(const char* pattern, const char* flags, size_t n, const char* s, size_t m);
bool pattern_matches_text(const char* pattern, const char* text);
bool pattern_magic(const char* text, const char* flags, size_t n);
/* The paths that match, sorted; false: none. */
bool glob_add(const char* text, const char* flags, size_t n, struct fields* into);
bool arith(const char* text, int64_t* value); /* false: complained */

/* ---- redirect.c ---- */

struct saved_fds {
    struct file* fds[kFds];
};
void fds_save(struct saved_fds* saved);
void fds_restore(struct saved_fds* saved);
void fds_forget(struct saved_fds* saved);
void fd_set_file(int fd, struct file* file);  /* takes over the file */
bool redirect_all(const struct redir* redir); /* false: complained, status set */

/* ---- exec.c, builtin.c, main.c ---- */

typedef int (*tool_main)(int argc, char** argv);
struct tool {
    const char* name;
    tool_main run;
};
int run_list(struct node* list);
int run_command(int argc, char** argv); /* function, builtin or tool */
int run_tool(int argc, char** argv, bool* found);
int run_source(struct source* src); /* until its end or an unwinding */
int run_text(const char* text);
int run_script(const char* path, int argc, char** argv);    /* as a subshell; argv[0] is $0 */
struct str run_substitution(const char* text, size_t size); /* its output without last newlines */
tool_main builtin_find(const char* name);
bool builtin_special(const char* name);
tool_main tool_find(const char* name);
extern const struct tool tools[];
int shell_main(int argc, char** argv);
bool shell_options(int argc, char** argv, int* at); /* as of `set`; *at: the first that is none */
void end_of_shell(void);                            /* runs what trap … EXIT asked for */
const char* base_of(const char* path);

/* ---- meta.c: what WASI does not tell ---- */

enum { kGroupsMax = 64 };
struct identity {
    unsigned uid, gid;
    unsigned groups[kGroupsMax];
    size_t group_count;
};
/* As stat and lstat, with modes, owners and blocks. */
int status_of(const char* path, bool follow, struct stat* status);
bool may_access(const char* path, int rights); /* R_OK, W_OK, X_OK together; false: errno */
bool mode_set(const char* path, mode_t mode);  /* false: errno */
bool filesystem_of(const char* path, unsigned long* magic);
void identity_get(struct identity* into);

/* ---- tool_mode.c ---- */

void mode_text(mode_t mode, char text[11]);
/* MODE as chmod takes it, applied to a mode that is; false: it is none. */
bool mode_parse(const char* text, mode_t now, bool folder, mode_t* mode);
const char* user_name(long long id); /* NULL: the container has none for it */
const char* group_name(long long id);
bool user_id(const char* text, long long* id); /* by name or number */
bool group_id(const char* text, long long* id);

/* ---- options.c ---- */

struct long_option {
    const char* name;
    int letter; /* 0: accepted and ignored */
};
struct options {
    int argc;
    char** argv;
    const char*
        spec; /* letters; a following ':' wants an argument; '+' first: stop at an operand */
    const struct long_option* longs;
    int at;
    const char* cluster;
    char* argument;
    char** operands;
    int operand_count;
};
struct options options_of(int argc, char** argv, const char* spec);
int options_next(struct options* options); /* a letter, 0 at the end, '?' when complained */
bool parse_number(const char* text, long long* value);              /* decimal, whole text */
bool parse_size(const char* text, long long* value);                /* with k, M, G behind */
bool regex_compile(regex_t* regex, const char* pattern, int flags); /* false: complained */
char* human_size(unsigned long long bytes);                         /* in scratch */
char* absolute_path(const char* path);                 /* . and .. taken out by text; in scratch */
char* join_path(const char* folder, const char* name); /* in scratch */
int compare_text(const void* a, const void* b);        /* of char* */
/* Backslash sequences read. octal_zero: \0NNN as in echo, else \NNN. *stop is set at \c. */
char* decode_escapes(const char* text, size_t* size, bool octal_zero, bool* stop);

/* A folder's names, sorted, without . and ..; false: complained. */
bool folder_names(const char* path, struct fields* names);
/* Calls visit for path and, if it is a folder and visit said kWalkInto, for all below. */
enum walk { kWalkInto, kWalkSkip, kWalkStop };
struct walker {
    enum walk (*visit)(struct walker*, const char* path, const struct stat* status, int depth);
    enum walk (*leave)(struct walker*, const char* path, const struct stat* status, int depth);
    bool follow;
    bool top_followed; /* a link given as operand is followed */
    int status;
    void* context;
};
enum walk walk_tree(struct walker* walker, const char* path);
char kind_letter(const struct stat* status);
void put_time(const char* format, time_t at, bool utc);
