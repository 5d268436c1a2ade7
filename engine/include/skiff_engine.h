/*
 * The C interface of Skiff's WebAssembly engine (a Rust static library over Wasmtime).
 *
 * The engine obeys and the caller decides: nothing here knows of Kubernetes, of logs' format or of
 * policy. What a guest may have is a flat value, `skiff_grant`. Three kinds of process call this
 * header:
 *
 *   keeper     skiff_engine_new() once, then only fork(). The call starts no thread, makes no event
 * loop, draws no random number, compiles and loads nothing, so that its copy in a child is clean.
 *   runner     (a forked child of the keeper) skiff_engine_load() while /proc and executable
 * mappings are still allowed, then, after the last lock (chroot, uid, Landlock, seccomp that
 * forbids PROT_EXEC), skiff_engine_run_command(). It reports and returns; the process then ends.
 *   compiler   skiff_engine_new(), skiff_engine_compile(), write the artifact, end.
 *
 * Rules that hold for every function:
 *   - No panic and no C++ exception crosses this border. A panic inside is SKIFF_INTERNAL (or the
 * outcome SKIFF_HOST_PANIC); the engine must not be used again after it, the process should end.
 *   - Not thread safe, except that distinct engines are independent. One thread per process is the
 * norm.
 *   - Pointers given by the caller are borrowed for the time of the call only, unless said
 * otherwise.
 *   - A `skiff_text*`, `skiff_bytes*`, `skiff_inspection*` or `skiff_outcome*` out parameter is
 * overwritten without being read; free what it got with the function named at its type. Freeing a
 * zeroed value or one that a failed call left empty is allowed.
 *   - Structures with a first member `size` are set to sizeof(the structure) by the caller; a
 * caller compiled against an older header may pass a shorter one, absent members then count as
 * zero.
 */
#ifndef SKIFF_ENGINE_H
#define SKIFF_ENGINE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An engine: compiler settings and the linkers of all host functions. Made by skiff_engine_new().
 */
typedef struct skiff_engine skiff_engine;

/* Native code of one core module or component, mapped from an artifact. Made by
 * skiff_engine_load(). */
typedef struct skiff_module skiff_module;

/* Bytes owned by the library; free with skiff_bytes_free(). `data` is never NULL when `size` > 0.
 */
typedef struct skiff_bytes {
    uint8_t* data;
    size_t size;
} skiff_bytes;

/* UTF-8 text owned by the library, `size` bytes and one NUL that is not counted; data is NULL when
 * there is none. Free with skiff_text_free(). */
typedef struct skiff_text {
    char* data;
    size_t size;
} skiff_text;

void skiff_bytes_free(skiff_bytes* bytes);
void skiff_text_free(skiff_text* text);

/* What a call came to. Every code but SKIFF_OK comes with an error text: one line, no final period,
 * fit for a user's eyes (`kubectl describe`). */
typedef enum skiff_code {
    SKIFF_OK = 0,
    /* The bytes are no valid Wasm; the text says what they look like. */
    SKIFF_INVALID = 1,
    /* Wasm, but it needs an import or a feature that nobody here has. */
    SKIFF_UNSUPPORTED = 2,
    /* The artifact was made by another engine, for another CPU or setting: compile again. */
    SKIFF_INCOMPATIBLE = 3,
    /* Reading or mapping the artifact failed. */
    SKIFF_IO = 4,
    /* A fault of the engine itself (a panic) or of its caller (a bad argument). */
    SKIFF_INTERNAL = 5
} skiff_code;

/* What an engine is made for: the setting is part of every artifact's compatibility key. */
typedef enum skiff_purpose {
    /* A guest that owns its process: no epoch checks in its code, SIGKILL bounds it. */
    SKIFF_PURPOSE_COMMAND = 0
} skiff_purpose;

typedef struct skiff_engine_config {
    uint32_t size;
    uint32_t purpose; /* a skiff_purpose */
    /* Stack of a guest in bytes; 0 means 512 KiB. A guest's deeper recursion is a trap. The stack
     * is the calling thread's own for core modules: RLIMIT_STACK must exceed it by 256 KiB at
     * least. */
    uint64_t stack_bytes_max;
} skiff_engine_config;

/* Makes an engine with its linkers (about 1 ms). `config` may be NULL: all defaults. */
skiff_code skiff_engine_new(const skiff_engine_config* config, skiff_engine** engine,
                            skiff_text* error);

/* Frees an engine and its linkers; NULL is allowed. Modules loaded by it stay valid. */
void skiff_engine_free(skiff_engine* engine);

/* A word (lower-case hexadecimal) that changes whenever an artifact of this engine could not be
 * used by another one: engine version, the CPU's features, settings. Part of a compiled artifact's
 * cache key. */
skiff_code skiff_engine_compatibility_key(const skiff_engine* engine, skiff_text* key,
                                          skiff_text* error);

/* The engine's name and version for people, as in "wasmtime 48.0.8". Static, never NULL. */
const char* skiff_engine_version(void);

typedef enum skiff_kind { SKIFF_CORE = 1, SKIFF_COMPONENT = 2 } skiff_kind;

/* Bits of skiff_inspection.flags. */
enum {
    /* Core: exports the function `_start` (a command). */
    SKIFF_HAS_START = 1u << 0,
    /* Core: exports the function `_initialize` (a reactor). */
    SKIFF_HAS_INITIALIZE = 1u << 1,
    /* Component: exports `wasi:cli/run` 0.2 (a command). */
    SKIFF_HAS_RUN = 1u << 2,
    /* Component: exports `wasi:http/incoming-handler` 0.2 (a server). */
    SKIFF_HAS_HTTP_02 = 1u << 3,
    /* Component: exports `wasi:http/handler` 0.3 (a server). */
    SKIFF_HAS_HTTP_03 = 1u << 4,
    /* Imports `skiff` `terminating` (core) or `skiff:pod/lifecycle` (component): a guest that
     * handles stopping. */
    SKIFF_HANDLES_STOP = 1u << 5,
    /* Imports an interface that makes sockets or looks up names. A guest without this bit needs no
     * network at all. Core modules never have it: WASI 0.1 cannot open a socket. */
    SKIFF_USES_SOCKETS = 1u << 6
};

/* What a module is, as far as a caller has to know before it starts one. */
typedef struct skiff_inspection {
    /* A skiff_kind. */
    uint32_t kind;
    /* The highest WASI level imported or exported: 0 none, 1 for 0.1, 2 for 0.2, 3 for 0.3. */
    uint32_t wasi;
    /* SKIFF_HAS_* and the others above. */
    uint32_t flags;
    /* Bytes that the largest memory has before the first instruction (core modules; 0 for
     * components, whose memories are not visible before they run). */
    uint64_t memory_bytes_min;
    /* One per line: of core modules "module name", of components "wasi:cli/exit@0.2.3". At most
     * 10,000 lines; line breaks in names are shown as '?'. */
    skiff_text imports;
    /* One per line: of core modules "name", of components as above or a plain name. */
    skiff_text exports;
} skiff_inspection;

/* Frees the texts of an inspection, not the structure. */
void skiff_inspection_free(skiff_inspection* inspection);

/* Compiles a core module or a component to native code (for commands of 25 MB: 10 s, 270 MB).
 * Checks the imports before it compiles: those that no linker of this engine provides are
 * SKIFF_UNSUPPORTED, and the text names the first ten of them with module and name or interface and
 * version. `artifact` is what skiff_engine_load() wants to find in its file. `inspection` may be
 * NULL. */
skiff_code skiff_engine_compile(const skiff_engine* engine, const uint8_t* wasm, size_t wasm_size,
                                skiff_bytes* artifact, skiff_inspection* inspection,
                                skiff_text* error);

/* Inspects without compiling: milliseconds. Checks the imports as skiff_engine_compile() does; when
 * they are what fails, `inspection` is filled all the same. */
skiff_code skiff_engine_inspect(const skiff_engine* engine, const uint8_t* wasm, size_t wasm_size,
                                skiff_inspection* inspection, skiff_text* error);

/* Maps an artifact from an open, readable file (0.4 to 1.6 ms). TRUSTS ITS CONTENT: the file must
 * come from skiff_engine_compile() and must have been out of others' reach since. `fd` stays the
 * caller's and may be closed afterwards. Needs PROT_EXEC mappings and, for components, a mounted
 * /proc: call it before locks. The file must not lie on a noexec mount. */
skiff_code skiff_engine_load(const skiff_engine* engine, int fd, skiff_module** module,
                             skiff_text* error);

/* What the loaded module is; the same answer as skiff_engine_inspect() gave for its source. */
skiff_code skiff_module_inspect(const skiff_engine* engine, const skiff_module* module,
                                skiff_inspection* inspection, skiff_text* error);

void skiff_module_free(skiff_module* module);

/* Takes `size` > 0 bytes that the guest wrote to its stdout (`stream` 1) or stderr (2). Called on
 * the guest's thread, the one that called skiff_engine_run_command(), in the order the guest wrote,
 * also in the midst of a line. Returns how many bytes it took (at least 1; the rest is offered
 * again), or a negative errno: the guest then sees the stream as closed. May block; the guest waits
 * meanwhile. */
typedef ssize_t (*skiff_write_fn)(void* context, int stream, const uint8_t* bytes, size_t size);

/* Bits of skiff_grant.flags. */
enum {
    SKIFF_STDIN_TTY = 1u << 0, /* the guest is told that the stream is a terminal */
    SKIFF_STDOUT_TTY = 1u << 1,
    SKIFF_STDERR_TTY = 1u << 2
};

/* Everything that a guest may have; what is not named here it has not. All texts are
 * NUL-terminated; bytes that are not UTF-8 are replaced by U+FFFD, for WASI knows only Unicode. */
typedef struct skiff_grant {
    uint32_t size;
    uint32_t flags; /* SKIFF_*_TTY */

    /* Argument vector, args[0] the program's name; may be NULL when args_count is 0. */
    const char* const* args;
    size_t args_count;
    /* "NAME=value"; an entry without '=' is ignored. */
    const char* const* env;
    size_t env_count;

    /* Folder of the host, as the runner sees it now, that the guest sees as "/" (its only preopen,
     * with all rights: the kernel's mounts and permissions say what is read-only). NULL: no files
     * at all. */
    const char* root;
    /* What `wasi:cli/environment.initial-cwd` answers; NULL: nothing. Core modules get PWD by
     * `env`. */
    const char* initial_cwd;
    /* The export to call instead of the default entry (`_start`, or `wasi:cli/run`): a function
     * without parameters; `_initialize` is called before it if the module has one. NULL: the
     * default entry. An i32 result of a core function and an error result of a component's is the
     * exit code. */
    const char* entry;

    /* Read for the guest's stdin; -1: stdin is at its end. The descriptor stays the
     * caller's. One that is O_NONBLOCK works as well; none is made so. */
    int32_t stdin_fd;
    /* Readable once the guest was asked to stop (an eventfd that nobody reads; the stopper sets
     * *stop_flag before it writes). -1: the guest does not handle stopping, its waits are never cut
     * short. Otherwise waits for a clock that are pending at that moment end once as if they were
     * due. */
    int32_t stop_fd;
    /* What `terminating` answers: non-zero means true. May be in a page shared with the stopper and
     * must live as long as the call; read atomically. NULL: always false. */
    const uint32_t* stop_flag;

    skiff_write_fn write; /* required */
    void* write_context;

    /* Cap on the sum of all linear memories, tables (8 bytes an element) and GC heaps of the guest,
     * in bytes; 0: none but the address space. A growth beyond it is refused as WebAssembly defines
     * it. */
    uint64_t memory_bytes_max;
    /* Cap on the bytes that one call of `random_get` or `get-random-bytes` may ask for; 0: 64 MiB.
     */
    uint64_t random_bytes_max;
    /* Cap on the bytes that one host call may copy out of a component (lists, strings); 0: 128 MiB.
     */
    uint64_t hostcall_bytes_max;
    /* Cap on host-side resources that a guest may hold (open files, streams, pollables); 0: 65536.
     */
    uint32_t handles_max;
    /* Cap on threads for blocking file operations of a component; 0: 4. None is made for core
     * modules. */
    uint32_t blocking_threads_max;
    /* Cap on skiff_outcome.message in bytes, cut at a character; 0: 4096. */
    uint32_t message_bytes_max;
} skiff_grant;

/* How a guest ended. */
typedef enum skiff_outcome_kind {
    /* It returned from its entry or called exit; exit_code says how. */
    SKIFF_EXITED = 1,
    /* A trap: message has it, with the guest's backtrace. */
    SKIFF_TRAPPED = 2,
    /* It ended abnormally (trap or exit code > 0) after a refused growth, or its first memory is
     * larger than the limit already. */
    SKIFF_OUT_OF_MEMORY = 3,
    /* A panic of the engine; message has it. */
    SKIFF_HOST_PANIC = 4,
    /* No instruction of its entry ran: a missing export or import, a root that is not there. */
    SKIFF_START_FAILED = 5
} skiff_outcome_kind;

typedef struct skiff_outcome {
    uint32_t kind; /* a skiff_outcome_kind */
    /* SKIFF_EXITED and, if the guest called exit, SKIFF_OUT_OF_MEMORY: 0 to 255, what it said
     * modulo 256; -1 otherwise. */
    int32_t exit_code;
    /* Empty for SKIFF_EXITED; else for people, several lines, bounded by the grant. */
    skiff_text message;
    /* The highest sum of memory that was granted. */
    uint64_t memory_bytes_peak;
    /* The sum that the latest refused growth would have made; 0: none was refused. */
    uint64_t memory_bytes_refused;
} skiff_outcome;

void skiff_outcome_free(skiff_outcome* outcome);

/* Runs a command to its end on the calling thread. Needs neither /proc nor executable mappings, may
 * be called after the last lock; engine/README.md lists its system calls. At most once per process:
 * the `engine` may come from before a fork, event loop and random numbers are made here. `outcome`
 * is always filled. Bytes of the guest's last unfinished line have been given to `write` when it
 * returns. */
void skiff_engine_run_command(const skiff_engine* engine, const skiff_module* module,
                              const skiff_grant* grant, skiff_outcome* outcome);

#ifdef __cplusplus
}
#endif

#endif /* SKIFF_ENGINE_H */
