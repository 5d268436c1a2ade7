/*
 * The C interface of Skiff's WebAssembly engines (a Rust static library over Wasmtime and Wasmi).
 *
 * The engine obeys and the caller decides: nothing here knows of Kubernetes, of logs' format or of
 * policy. What a guest may have is a flat value, `skiff_grant`. Three kinds of process call this
 * header:
 *
 *   keeper     skiff_engine_new() once, then only fork(). The call starts no thread, makes no event
 * loop, draws no random number, compiles and loads nothing, so that its copy in a child is clean.
 *   runner     (a forked child of the keeper) perhaps an engine of its own for another purpose or
 * runtime, skiff_engine_load() while /proc and executable mappings are still allowed, then, after
 * the last lock (chroot, uid, Landlock, seccomp that forbids PROT_EXEC), skiff_module_run() or
 * skiff_module_serve(). It reports and returns; the process then ends.
 *   compiler   skiff_inspect(), perhaps skiff_link(), skiff_engine_new() for the purpose that the
 * inspection names, skiff_engine_compile(), write the artifact, end.
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

/* An engine: settings and the host functions of all guests. Made by skiff_engine_new(). */
typedef struct skiff_engine skiff_engine;

/* The code of one core module or component, mapped from an artifact. Made by skiff_engine_load(). */
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
    SKIFF_INTERNAL = 5,
    /* The process has no more memory. */
    SKIFF_EXHAUSTED = 6
} skiff_code;

/* Who executes the guest. */
typedef enum skiff_runtime {
    /* Wasmtime with native code. */
    SKIFF_RUNTIME_WASMTIME = 0,
    /* Wasmtime with Pulley, its portable interpreter: no executable memory is ever mapped. */
    SKIFF_RUNTIME_PULLEY = 1,
    /* Wasmi, an interpreter that needs no compiler: core modules only, no executable memory. */
    SKIFF_RUNTIME_WASMI = 2
} skiff_runtime;

/* What an engine is made for: the setting is part of every artifact. */
typedef enum skiff_purpose {
    /* A guest that owns its process: no epoch checks in its code, SIGKILL bounds it. */
    SKIFF_PURPOSE_COMMAND = 0,
    /* The same for a component of WASI 0.3: with the machinery of concurrent calls. */
    SKIFF_PURPOSE_CONCURRENT = 1,
    /* A server of HTTP requests: many instances, epoch checks that end a request's time. */
    SKIFF_PURPOSE_SERVER = 2
} skiff_purpose;

typedef struct skiff_engine_config {
    uint32_t size;
    uint32_t purpose; /* a skiff_purpose */
    /* Stack of a guest in bytes; 0 means 512 KiB. A guest's deeper recursion is a trap. The stack
     * is the calling thread's own for core modules: RLIMIT_STACK must exceed it by 256 KiB at
     * least. */
    uint64_t stack_bytes_max;
    uint32_t runtime; /* a skiff_runtime */
    /* For a server that will load and serve: how many instances may live at once, their slots are
     * set aside (address space, not memory). 0: instances are made without slots; so it is for
     * compiling. Needs /proc/self/pagemap while the engine is made. */
    uint32_t instances_max;
    /* For instances_max: the most that one instance's memory may grow to; 0: 4 GiB. */
    uint64_t instance_memory_bytes_max;
} skiff_engine_config;

/* Makes an engine with its host functions (about 1 ms). `config` may be NULL: all defaults.
 * SKIFF_UNSUPPORTED: this build has no such runtime. */
skiff_code skiff_engine_new(const skiff_engine_config* config, skiff_engine** engine,
                            skiff_text* error);

/* Frees an engine; NULL is allowed. Modules loaded by it stay valid. */
void skiff_engine_free(skiff_engine* engine);

/* A word (lower-case hexadecimal) that changes whenever an artifact of this library could not be
 * used by another one: versions of the engines, the CPU's features, settings. Part of a compiled
 * artifact's cache key, beside the runtime's name. Milliseconds. */
skiff_code skiff_compatibility_key(skiff_text* key, skiff_text* error);

/* Whether this build has the runtime (a skiff_runtime): one without a compiler has Wasmi only. */
int skiff_has_runtime(uint32_t runtime);

/* The engines' names and versions for people, as in "wasmtime 48.0.8". Static, never NULL. */
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
     * network at all. Core modules have it only for
     * `wasi_experimental_http`: WASI 0.1 cannot open a socket. */
    SKIFF_USES_SOCKETS = 1u << 6,
    /* Component: exports `wasi:cli/run` 0.3 (a command). */
    SKIFF_HAS_RUN_03 = 1u << 7,
    /* Imports outgoing HTTP: `wasi:http/outgoing-handler`, `wasi:http/client` or, of core modules,
     * `wasi_experimental_http`. SKIFF_USES_SOCKETS is set, too: the engine opens the sockets. */
    SKIFF_USES_HTTP = 1u << 8
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
    /* The skiff_purpose of the engine that compiles, loads and runs it. A server by its exports is
     * one, unless it is a command as well. */
    uint32_t purpose;
} skiff_inspection;

/* Frees the texts of an inspection, not the structure. */
void skiff_inspection_free(skiff_inspection* inspection);

/* Inspects without compiling: milliseconds. Checks the imports: those that `runtime` (a
 * skiff_runtime) cannot provide are SKIFF_UNSUPPORTED, and the text names the first ten of them with
 * module and name or interface and version; `inspection` is filled all the same. */
skiff_code skiff_inspect(uint32_t runtime, const uint8_t* wasm, size_t wasm_size,
                         skiff_inspection* inspection, skiff_text* error);

/* A borrowed piece of memory. */
typedef struct skiff_slice {
    const uint8_t* data;
    size_t size;
} skiff_slice;

/* Links components by the rules of `wac plug`: what `socket` imports and a plug exports is
 * connected, in the order of the plugs. SKIFF_INVALID: one of them is no component, nothing of a
 * plug fits, or types differ; the text says which plug (from 1) and which interface.
 * SKIFF_UNSUPPORTED: this build has no compiler. */
skiff_code skiff_link(skiff_slice socket, const skiff_slice* plugs, size_t plugs_count,
                      skiff_bytes* linked, skiff_text* error);

/* Makes an artifact of a core module or a component (for native code of 25 MB: 10 s, 270 MB). The
 * engine's purpose must be the one that skiff_inspect() gives, else SKIFF_INTERNAL. Checks as that
 * does. `artifact` is what skiff_engine_load() wants to find in its file. */
skiff_code skiff_engine_compile(const skiff_engine* engine, const uint8_t* wasm, size_t wasm_size,
                                skiff_bytes* artifact, skiff_text* error);

/* Maps an artifact from an open, readable file (0.4 to 1.6 ms). TRUSTS ITS CONTENT: the file must
 * come from skiff_engine_compile() and must have been out of others' reach since. `fd` stays the
 * caller's and may be closed afterwards. Needs PROT_EXEC mappings (native code) and, for components,
 * a mounted /proc: call it before locks. The file must not lie on a noexec mount. */
skiff_code skiff_engine_load(const skiff_engine* engine, int fd, skiff_module** module,
                             skiff_text* error);

/* What the loaded module is; the same answer as skiff_inspect() gave for its source. */
skiff_code skiff_module_inspect(const skiff_module* module, skiff_inspection* inspection,
                                skiff_text* error);

void skiff_module_free(skiff_module* module);

/* Takes `size` > 0 bytes that the guest wrote to its stdout (`stream` 1) or stderr (2). Called on
 * the guest's thread, the one that called skiff_module_run(), in the order the guest wrote,
 * also in the midst of a line. Returns how many bytes it took (at least 1; the rest is offered
 * again), or a negative errno: the guest then sees the stream as closed. May block; the guest waits
 * meanwhile. */
typedef ssize_t (*skiff_write_fn)(void* context, int stream, const uint8_t* bytes, size_t size);

/* Bits of skiff_grant.flags. */
enum {
    SKIFF_STDIN_TTY = 1u << 0, /* the guest is told that the stream is a terminal */
    SKIFF_STDOUT_TTY = 1u << 1,
    SKIFF_STDERR_TTY = 1u << 2,
    /* It may bind and listen. Without it, and with SKIFF_EGRESS_NONE, there are no sockets. */
    SKIFF_MAY_LISTEN = 1u << 3
};

/* One destination that a guest may connect to. */
typedef struct skiff_egress_rule {
    /* A host name, compared without case; "*.example.com" is any name below it. NULL: `address`. */
    const char* name;
    /* A network: IPv6, or IPv4 mapped to it (::ffff:a.b.c.d), and its bits from the left (0-128).
     * With less than 96 bits it holds no IPv4 address. */
    uint8_t address[16];
    uint32_t prefix_bits;
    uint32_t port; /* 0: every port */
} skiff_egress_rule;

typedef enum skiff_egress_mode {
    SKIFF_EGRESS_NONE = 0, /* nothing, by sockets or HTTP */
    SKIFF_EGRESS_LISTED = 1,
    SKIFF_EGRESS_ALL = 2
} skiff_egress_mode;

/* Requests are counted by the latency of their response's head: bucket i holds those of less than
 * 2^i * 250 us, the last one all others. */
enum { SKIFF_LATENCY_BUCKETS = 18 };

/* What a guest did, counted while it runs; each number is written atomically and by one process. May
 * lie in a shared page. */
typedef struct skiff_counters {
    uint64_t denied; /* connections, look-ups and requests that the grant forbids */
    uint64_t traps;  /* of a server's instances */
    uint64_t instances; /* made by a server */
    uint64_t requests_active;
    uint64_t responses[5]; /* by class: 1xx to 5xx, those of the server's own making, too */
    uint64_t latency_us_sum;
    uint64_t latency[SKIFF_LATENCY_BUCKETS];
    uint64_t received_bytes; /* of request bodies */
    uint64_t sent_bytes;     /* of response bodies */
    uint64_t outgoing;       /* HTTP requests that the guest made */
    uint64_t listens;        /* sockets on which the guest waits for others */
} skiff_counters;

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
    /* What `terminating` answers: non-zero means true, and is how many milliseconds the guest has
     * from then on. May be in a page shared with the stopper and must live as long as the call; read
     * atomically. NULL: always false. */
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

    uint32_t egress_mode; /* a skiff_egress_mode */
    const skiff_egress_rule* egress;
    size_t egress_count;
    /* Hosts that outgoing HTTP may go to besides what `egress` says, compared exactly and without
     * case; Krustlet's allowed-domains. `wasi_experimental_http` may use nothing else. */
    const char* const* http_hosts;
    size_t http_hosts_count;
    /* SKIFF_EGRESS_NONE: no request by `wasi_experimental_http`; LISTED: `http_hosts` narrows
     * all HTTP; ALL: every host ("insecure:allow-all"). */
    uint32_t http_mode;
    /* Whether http_mode was given by the user: else it holds for `wasi_experimental_http` alone. */
    uint32_t http_mode_set;
    /* Outgoing requests at the same time (of `wasi_experimental_http`: open responses); 0: 128. */
    uint32_t http_requests_max;
    /* Certificates (PEM) that outgoing HTTPS trusts: the file `ca_file` as the guest sees it if it
     * is there (NULL: none), else the descriptor `ca_fd` (-1: none), read when first needed. */
    int32_t ca_fd;
    const char* ca_file;
    /* Where a trap's core dump goes, a file that can be written; -1: nowhere. */
    int32_t coredump_fd;
    uint32_t reserved;
    uint64_t coredump_bytes_max; /* 0: 64 MiB; a larger dump is not written and the message says so */
    /* NULL: nothing is counted. Must live as long as the call. */
    skiff_counters* counters;
    /* NULL, or where the caller says from then on how large the cap is that memory_bytes_max began
     * with: read atomically at every growth; 0: as it began, UINT64_MAX: none. What a guest has it
     * keeps. Must live as long as the call. */
    const uint64_t* memory_bytes_now;
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
void skiff_module_run(const skiff_module* module, const skiff_grant* grant, skiff_outcome* outcome);

/* How a server serves. */
typedef struct skiff_server {
    uint32_t size;
    /* A listening TCP socket; stays the caller's, but is made O_NONBLOCK and does not listen any
     * more when the call returns. */
    int32_t listen_fd;
    /* Requests that one instance serves before it is replaced; 0: 1. */
    uint32_t reuse_count;
    /* Of these at the same time (WASI 0.3 only), counted until the response's head; 0: 1. */
    uint32_t reuse_concurrent;
    /* Requests at the same time, all others are answered 503; 0: 1000. */
    uint32_t requests_max;
    uint32_t connections_max; /* 0: 1024; more wait in the socket's backlog */
    uint64_t header_bytes_max; /* of a request; more is answered 431; 0: 64 KiB */
    uint64_t body_bytes_max;   /* of a request; more is answered 413 or cut; 0: no limit */
    uint64_t request_ms_max;   /* until the response's head, then 504; 0: 60 s */
    /* A connection between requests, for a request's head, and for the next piece of a body that the
     * other side is to send or to take; 0: 75 s */
    uint64_t idle_ms_max;
    /* How long, after the stop order of the grant, connections are still accepted. What is in flight
     * then is finished. */
    uint64_t drain_ms;
    /* 0: drain_ms holds whatever time *stop_flag says is left; N: but at most an Nth part of that. */
    uint32_t drain_share;
    uint32_t reserved;
} skiff_server;

/* Serves HTTP/1.1 and HTTP/2 (cleartext) by a component that exports `wasi:http/incoming-handler`
 * 0.2 or `wasi:http/handler` 0.3, on the calling thread, until the grant's stop order; then drains
 * and returns SKIFF_EXITED with 0. Conditions as of skiff_module_run(), and SIGPIPE must be ignored.
 * A guest's traps are written to its stderr and end its instance, never the server.
 * SKIFF_START_FAILED: it is no server, or its first instance cannot be made. */
void skiff_module_serve(const skiff_module* module, const skiff_grant* grant,
                        const skiff_server* server, skiff_outcome* outcome);

#ifdef __cplusplus
}
#endif

#endif /* SKIFF_ENGINE_H */
