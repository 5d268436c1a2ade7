/* attack: a core module that attacks one limit (guests/README.md has the list). */
#include <wasi/api.h>

#include "attacker.h"

// One call that has to fill all memory that there is, several times.
static void attack_random(void) {
    for (size_t step = 1024; step > 0; step /= 2) {
        while (__builtin_wasm_memory_grow(0, step) != (size_t)-1) {
        }
    }
    size_t end = __builtin_wasm_memory_size(0) * WASM_PAGE_BYTES;
    unsigned char* own = malloc(1);
    // What is below is the guest's own; from there on everything is fresh.
    unsigned char* from = (unsigned char*)(((size_t)own + MIB) & ~(size_t)(MIB - 1));
    for (int round = 0; round < 16; round++) {
        __wasi_errno_t error = __wasi_random_get(from, end - (size_t)from);
        if (error != 0) {
            printf("random-huge: error %u\n", error);
            report("random-huge", 0, "MiB");
            return;
        }
        printf("random-huge: %zu MiB in one call\n", (end - (size_t)from) / MIB);
        fflush(stdout);
    }
    free(own);
}

// Calls whose arguments the host might copy: lists of very many entries, and a path of megabytes.
static void attack_hostcall(void) {
    enum { kEntries = 1 << 18 };
    __wasi_subscription_t* waits = calloc(kEntries, sizeof *waits);
    __wasi_event_t* events = calloc(kEntries, sizeof *events);
    __wasi_ciovec_t* pieces = calloc(kEntries, sizeof *pieces);
    char* path = malloc(16 * MIB);
    if (waits == NULL || events == NULL || pieces == NULL || path == NULL) {
        report("hostcall", 0, "calls");
        return;
    }
    for (int i = 0; i < kEntries; i++) {
        waits[i].u.tag = __WASI_EVENTTYPE_CLOCK;
        waits[i].u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
        pieces[i].buf = (const uint8_t*)path;
        pieces[i].buf_len = 0;
    }
    memset(path, 'p', 16 * MIB);
    path[16 * MIB - 1] = '\0';
    __wasi_size_t count;
    printf("poll_oneoff: error %u\n", __wasi_poll_oneoff(waits, events, kEntries, &count));
    printf("fd_write: error %u\n", __wasi_fd_write(2, pieces, kEntries, &count));
    __wasi_filestat_t stat;
    printf("path_filestat_get: error %u\n", __wasi_path_filestat_get(3, 0, path, &stat));
    fflush(stdout);
    free(path);
    free(pieces);
    free(events);
    free(waits);
}

int main(int argc, char** argv) {
    static const struct verb kVerbs[] = {
        {"random-huge", attack_random},
        {"hostcall", attack_hostcall},
    };
    return run_attack(kVerbs, sizeof kVerbs / sizeof kVerbs[0], argc, argv);
}
