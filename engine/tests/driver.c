/*
 * The three callers of skiff_engine.h in one small C program: makes an engine, compiles a file,
 * forks, loads the artifact in the child and runs it there. Used by the tests and to measure what a
 * runner costs.
 *
 *   (all: -e RUNTIME, a skiff_runtime)
 *   driver run [-r ROOT] [-m MEMORY_BYTES] [-f FUNCTION] FILE [ARG...]   ends as the guest ends
 *   driver inspect FILE
 *   driver selftest                     the interface as C sees it, in short; 0 when all is well
 *   driver bench [-w] COUNT FILE [ARG...]   COUNT runners at once that stay asleep (-w: that wait
 *                                       in their first output): start time and private memory
 *   driver serve [-p PORT] [-n REUSE] [-j CONCURRENT] [-t REQUEST_MS] FILE [ARG...]
 *                                       a server until SIGTERM, then its counters
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "skiff_engine.h"

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void die(const char* what, const skiff_text* error) {
    fprintf(stderr, "driver: %s: %s\n", what, error->data ? error->data : "no text");
    exit(125);
}

/* Shared between the driver and its runners: when they got how far. */
struct shared {
    double forked_ms, loaded_ms;
    _Atomic(double) first_output_ms;
    _Atomic(int) outputs;
    int holds; /* at its first output a guest goes no further */
};

static ssize_t write_through(void* context, int stream, const uint8_t* bytes, size_t size) {
    struct shared* shared = context;
    if (shared) {
        atomic_store(&shared->first_output_ms, now_ms());
        atomic_fetch_add(&shared->outputs, 1);
        while (shared->holds) {
            pause();
        }
        return (ssize_t)size;
    }
    return write(stream, bytes, size);
}

static uint8_t* read_file(const char* path, size_t* size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        perror(path);
        exit(125);
    }
    *size = (size_t)status.st_size;
    uint8_t* bytes = malloc(*size + 1);
    for (size_t done = 0; done < *size;) {
        ssize_t count = read(fd, bytes + done, *size - done);
        if (count <= 0) {
            perror(path);
            exit(125);
        }
        done += (size_t)count;
    }
    close(fd);
    return bytes;
}

/* Makes an artifact file of Wasm bytes. */
static int compile_bytes(const skiff_engine* engine, const uint8_t* wasm, size_t size) {
    int fd = memfd_create("artifact", MFD_CLOEXEC);
    skiff_bytes artifact;
    skiff_text error;
    if (skiff_engine_compile(engine, wasm, size, &artifact, &error) != SKIFF_OK) {
        die("compile", &error);
    }
    for (size_t done = 0; done < artifact.size;) {
        ssize_t count = write(fd, artifact.data + done, artifact.size - done);
        if (count <= 0) {
            perror("artifact");
            _exit(125);
        }
        done += (size_t)count;
    }
    skiff_bytes_free(&artifact);
    return fd;
}

/* What the engine for the file must be made for. */
static uint32_t purpose_of(uint32_t runtime, const char* path) {
    size_t size;
    uint8_t* wasm = read_file(path, &size);
    skiff_inspection found;
    skiff_text error;
    if (skiff_inspect(runtime, wasm, size, &found, &error) != SKIFF_OK) {
        die("inspect", &error);
    }
    uint32_t purpose = found.purpose;
    skiff_inspection_free(&found);
    free(wasm);
    return purpose;
}

/* Compiles in a child, as Skiff does, so that the parent stays as clean as a keeper. */
static int compile_to_file(const skiff_engine* engine, const char* path) {
    int fd = memfd_create("artifact", MFD_CLOEXEC);
    pid_t child = fork();
    if (child == 0) {
        size_t size = 0;
        uint8_t* wasm = read_file(path, &size);
        int made = compile_bytes(engine, wasm, size);
        uint8_t buffer[65536];
        ssize_t count;
        lseek(made, 0, SEEK_SET);
        while ((count = read(made, buffer, sizeof buffer)) > 0) {
            if (write(fd, buffer, (size_t)count) != count) {
                _exit(125);
            }
        }
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (status != 0) {
        exit(125);
    }
    return fd;
}

static int run(const skiff_engine* engine, int artifact, const skiff_grant* grant) {
    skiff_text error;
    skiff_module* module = NULL;
    if (skiff_engine_load(engine, artifact, &module, &error) != SKIFF_OK) {
        die("load", &error);
    }
    if (grant->write_context) {
        ((struct shared*)grant->write_context)->loaded_ms = now_ms();
    }
    prctl(PR_SET_NAME,
          "driver-runner"); /* a landmark in traces: after this line the locks are shut */
    skiff_outcome outcome;
    skiff_module_run(module, grant, &outcome);
    if (outcome.kind != SKIFF_EXITED) {
        fprintf(stderr, "driver: outcome %u: %s\n", outcome.kind, outcome.message.data);
    }
    int code = outcome.kind == SKIFF_EXITED          ? outcome.exit_code
               : outcome.kind == SKIFF_OUT_OF_MEMORY ? 137
                                                     : 134;
    skiff_outcome_free(&outcome);
    return code;
}

static int inspect(uint32_t runtime, const char* path) {
    size_t size = 0;
    uint8_t* wasm = read_file(path, &size);
    skiff_inspection found;
    skiff_text error;
    skiff_code code = skiff_inspect(runtime, wasm, size, &found, &error);
    printf("kind %u wasi %u flags 0x%x memory %llu\n", found.kind, found.wasi, found.flags,
           (unsigned long long)found.memory_bytes_min);
    printf("imports:\n%s\nexports:\n%s\n", found.imports.data ? found.imports.data : "",
           found.exports.data ? found.exports.data : "");
    if (code != SKIFF_OK) {
        printf("code %d: %s\n", (int)code, error.data);
    }
    return (int)code;
}

/* Sum of a field of /proc/PID/smaps_rollup in kB. */
static long rollup_kb(pid_t pid, const char* field) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE* file = fopen(path, "re");
    char line[256];
    long sum = 0;
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, field, strlen(field)) == 0) {
            sum += strtol(line + strlen(field), NULL, 10);
        }
    }
    if (file) {
        fclose(file);
    }
    return sum;
}

static int by_size(const void* a, const void* b) {
    double x = *(const double*)a, y = *(const double*)b;
    return (x > y) - (x < y);
}

/* The guest has to write something first and, unless it is held there, to sleep then for longer than
 * this takes. */
static int bench(const skiff_engine* engine, int artifact, skiff_grant* grant, int count,
                 int holds) {
    struct shared* shared = mmap(NULL, (size_t)count * sizeof *shared, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t* pids = calloc((size_t)count, sizeof *pids);
    double* started = calloc((size_t)count, sizeof *started);
    double* forked = calloc((size_t)count, sizeof *forked);
    double* loaded = calloc((size_t)count, sizeof *loaded);
    for (int i = 0; i < count; i++) {
        grant->write_context = &shared[i];
        shared[i].holds = holds;
        double begin = now_ms();
        pids[i] = fork();
        if (pids[i] == 0) {
            shared[i].forked_ms = now_ms();
            _exit(run(engine, artifact, grant));
        }
        int status = 0;
        while (atomic_load(&shared[i].outputs) == 0) {
            if (waitpid(pids[i], &status, WNOHANG) == pids[i]) {
                fprintf(stderr, "driver: runner %d ended before it wrote: 0x%x\n", i, status);
                return 125;
            }
            nanosleep(&(struct timespec){0, 20000}, NULL);
        }
        started[i] = atomic_load(&shared[i].first_output_ms) - begin;
        forked[i] = shared[i].forked_ms - begin;
        loaded[i] = shared[i].loaded_ms - shared[i].forked_ms;
    }
    long dirty = 0, threads = 0;
    for (int i = 0; i < count; i++) {
        dirty += rollup_kb(pids[i], "Private_Dirty:");
        threads += 1;
    }
    qsort(started, (size_t)count, sizeof *started, by_size);
    qsort(forked, (size_t)count, sizeof *forked, by_size);
    qsort(loaded, (size_t)count, sizeof *loaded, by_size);
    printf("p50 of fork %.2f ms, of load %.2f ms\n", forked[count / 2], loaded[count / 2]);
    printf("runners %ld start_ms p50 %.2f p99 %.2f private_dirty_kb %ld\n", threads,
           started[count / 2], started[count * 99 / 100], dirty / count);
    if (getenv("DRIVER_HOLD")) {
        printf("first runner %d\n", (int)pids[0]);
        fflush(stdout);
        getchar();
    }
    for (int i = 0; i < count; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    return 0;
}

static int stop_event;

static void order_stop(int signal_number) {
    (void)signal_number;
    uint64_t one = 1;
    if (write(stop_event, &one, sizeof one) < 0) {
        _exit(125);
    }
}

/* Serves in this process: it made no engine that a keeper would have. */
static int serve(int artifact, skiff_grant* grant, skiff_engine_config config, skiff_server server,
                 uint16_t port) {
    skiff_text error;
    skiff_engine* engine;
    skiff_module* module;
    config.instances_max = 1000;
    if (skiff_engine_new(&config, &engine, &error) != SKIFF_OK ||
        skiff_engine_load(engine, artifact, &module, &error) != SKIFF_OK) {
        die("serve", &error);
    }
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int one = 1;
    server.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(server.listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(server.listen_fd, (struct sockaddr*)&address, size) != 0 ||
        listen(server.listen_fd, 1024) != 0) {
        perror("driver: listen");
        return 125;
    }
    getsockname(server.listen_fd, (struct sockaddr*)&address, &size);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    signal(SIGTERM, order_stop);
    signal(SIGPIPE, SIG_IGN);
    skiff_counters counters = {0};
    grant->counters = &counters;
    grant->stop_fd = stop_event;
    grant->stdin_fd = -1;
    skiff_outcome outcome;
    skiff_module_serve(module, grant, &server, &outcome);
    const uint64_t* classes = counters.responses;
    printf("responses %llu %llu %llu %llu %llu instances %llu traps %llu peak %llu\n",
           (unsigned long long)classes[0], (unsigned long long)classes[1],
           (unsigned long long)classes[2], (unsigned long long)classes[3],
           (unsigned long long)classes[4], (unsigned long long)counters.instances,
           (unsigned long long)counters.traps, (unsigned long long)outcome.memory_bytes_peak);
    if (outcome.kind != SKIFF_EXITED) {
        fprintf(stderr, "driver: outcome %u: %s\n", outcome.kind, outcome.message.data);
    }
    return outcome.kind == SKIFF_EXITED ? outcome.exit_code : 134;
}

/* (import "wasi_snapshot_preview1" "proc_exit") called with 3 by `_start`. */
static const uint8_t kExits3[] = {
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x02, 0x60, 0x01, 0x7f,
    0x00, 0x60, 0x00, 0x00, 0x02, 0x24, 0x01, 0x16, 0x77, 0x61, 0x73, 0x69, 0x5f, 0x73,
    0x6e, 0x61, 0x70, 0x73, 0x68, 0x6f, 0x74, 0x5f, 0x70, 0x72, 0x65, 0x76, 0x69, 0x65,
    0x77, 0x31, 0x09, 0x70, 0x72, 0x6f, 0x63, 0x5f, 0x65, 0x78, 0x69, 0x74, 0x00, 0x00,
    0x03, 0x02, 0x01, 0x01, 0x07, 0x0a, 0x01, 0x06, 0x5f, 0x73, 0x74, 0x61, 0x72, 0x74,
    0x00, 0x01, 0x0a, 0x08, 0x01, 0x06, 0x00, 0x41, 0x03, 0x10, 0x00, 0x0b};

/* The same with the import "env" "exit", which nobody provides. */
static const uint8_t kNeedsEnv[] = {
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x02, 0x60, 0x01, 0x7f, 0x00,
    0x60, 0x00, 0x00, 0x02, 0x0c, 0x01, 0x03, 0x65, 0x6e, 0x76, 0x04, 0x65, 0x78, 0x69, 0x74,
    0x00, 0x00, 0x03, 0x02, 0x01, 0x01, 0x07, 0x0a, 0x01, 0x06, 0x5f, 0x73, 0x74, 0x61, 0x72,
    0x74, 0x00, 0x01, 0x0a, 0x08, 0x01, 0x06, 0x00, 0x41, 0x03, 0x10, 0x00, 0x0b};

static int failures;

static void expect(int ok, const char* what) {
    if (!ok) {
        fprintf(stderr, "driver: failed: %s\n", what);
        failures++;
    }
}

static int selftest(const skiff_engine* engine, const skiff_grant* grant) {
    skiff_text text;
    skiff_text error;
    skiff_inspection found;
    expect(skiff_compatibility_key(&text, &error) == SKIFF_OK && text.size == 32,
           "the compatibility key has 32 digits");
    skiff_text_free(&text);
    expect(text.data == NULL, "a freed text is empty");
    skiff_text_free(&text);

    int artifact = compile_bytes(engine, kExits3, sizeof kExits3);
    pid_t child = fork();
    if (child == 0) {
        _exit(run(engine, artifact, grant));
    }
    int status = 0;
    waitpid(child, &status, 0);
    expect(WIFEXITED(status) && WEXITSTATUS(status) == 3, "a forked runner ends with code 3");

    skiff_code code = skiff_inspect(SKIFF_RUNTIME_WASMTIME, kNeedsEnv, sizeof kNeedsEnv, &found, &error);
    expect(code == SKIFF_UNSUPPORTED, "an import nobody has is SKIFF_UNSUPPORTED");
    expect(error.data && strstr(error.data, "env exit"), "the text names the import");
    expect(found.kind == SKIFF_CORE && found.flags == SKIFF_HAS_START, "inspected all the same");
    skiff_inspection_free(&found);
    skiff_text_free(&error);

    code = skiff_inspect(SKIFF_RUNTIME_WASMTIME, (const uint8_t*)"#!/bin/sh", 9, &found, &error);
    expect(code == SKIFF_INVALID && strstr(error.data, "script"), "a script is recognised");
    skiff_text_free(&error);

    /* A caller compiled against a header whose grant ended before `write`. */
    skiff_grant shorter = *grant;
    shorter.size = offsetof(skiff_grant, write);
    skiff_module* module = NULL;
    expect(skiff_engine_load(engine, artifact, &module, &error) == SKIFF_OK, "load");
    skiff_outcome outcome;
    skiff_module_run(module, &shorter, &outcome);
    expect(outcome.kind == SKIFF_START_FAILED, "members beyond the caller's size are not read");
    skiff_outcome_free(&outcome);
    skiff_module_free(module);
    close(artifact);
    return failures == 0 ? 0 : 1;
}

int main(int argc, char** argv) {
    skiff_grant grant = {
        .size = sizeof grant, .stdin_fd = 0, .stop_fd = -1, .ca_fd = -1, .coredump_fd = -1,
        .egress_mode = SKIFF_EGRESS_ALL, .write = write_through};
    skiff_engine_config config = {.size = sizeof config};
    skiff_server server = {.size = sizeof server};
    uint16_t port = 0;
    const char* env[] = {"GREETING=hello from the driver", "PWD=/"};
    grant.env = env;
    grant.env_count = 2;
    int count = 0, holds = 0, option;
    const char* verb = argc > 1 ? argv[1] : "";
    optind = 2;
    while ((option = getopt(argc, argv, "+r:m:f:e:p:n:j:t:w")) != -1) {
        switch (option) {
            case 'r':
                grant.root = optarg;
                break;
            case 'm':
                grant.memory_bytes_max = strtoull(optarg, NULL, 10);
                break;
            case 'f':
                grant.entry = optarg;
                break;
            case 'e':
                config.runtime = (uint32_t)atoi(optarg);
                break;
            case 'p':
                port = (uint16_t)atoi(optarg);
                break;
            case 'n':
                server.reuse_count = (uint32_t)atoi(optarg);
                break;
            case 'j':
                server.reuse_concurrent = (uint32_t)atoi(optarg);
                break;
            case 't':
                server.request_ms_max = strtoull(optarg, NULL, 10);
                break;
            case 'w':
                holds = 1;
                break;
            default:
                return 125;
        }
    }
    if (strcmp(verb, "bench") == 0 && optind < argc) {
        count = atoi(argv[optind++]);
    }
    int testing = strcmp(verb, "selftest") == 0;
    if (optind >= argc && !testing) {
        fprintf(stderr, "usage: driver selftest|run|inspect|bench|serve ... FILE [ARG...]\n");
        return 125;
    }
    grant.args = (const char* const*)argv + optind;
    grant.args_count = (size_t)(argc - optind);
    skiff_engine* engine = NULL;
    skiff_text error;
    double begin = now_ms();
    config.purpose = testing ? SKIFF_PURPOSE_COMMAND : purpose_of(config.runtime, argv[optind]);
    if (skiff_engine_new(&config, &engine, &error) != SKIFF_OK) {
        die("engine", &error);
    }
    if (getenv("DRIVER_VERBOSE")) {
        fprintf(stderr, "%s, made in %.2f ms\n", skiff_engine_version(), now_ms() - begin);
    }
    if (testing) {
        return selftest(engine, &grant);
    }
    if (strcmp(verb, "inspect") == 0) {
        return inspect(config.runtime, argv[optind]);
    }
    int artifact = compile_to_file(engine, argv[optind]);
    if (strcmp(verb, "serve") == 0) {
        return serve(artifact, &grant, config, server, port);
    }
    if (count > 0) {
        return bench(engine, artifact, &grant, count, holds);
    }
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        _exit(run(engine, artifact, &grant));
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
