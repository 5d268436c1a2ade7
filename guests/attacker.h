/* What guests that attack limits share. Each verb takes all that it can get; when it is refused
 * more, it says what it had by then, gives it back, and the guest ends with 0. What kills the guest
 * says nothing here. `VERB again MS` never ends: it keeps what it has, touches it, and MS
 * milliseconds after each refusal asks for more.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WASM_PAGE_BYTES 65536
#define MIB (1 << 20)

// Set by `again`: then a verb that nothing refuses has to end as well, for its next round.
static bool in_rounds;

static void report(const char* what, unsigned long reached, const char* unit) {
    printf("%s: refused after %lu %s\n", what, reached, unit);
    fflush(stdout);
}

// For what may end in a trap: says at every doubling how far it is.
static void progress(const char* what, unsigned long reached) {
    if (reached >= 1024 && (reached & (reached - 1)) == 0) {
        printf("%s: %lu so far\n", what, reached);
        fflush(stdout);
    }
}

// Memory page by page, each one touched. A later round touches all that there are.
static void attack_memory(void) {
    for (size_t page = 1; page < __builtin_wasm_memory_size(0); page++) {
        volatile char* first = (volatile char*)(page * WASM_PAGE_BYTES);
        *first = *first;
    }
    unsigned long pages = 0;
    for (;;) {
        size_t before = __builtin_wasm_memory_grow(0, 1);
        if (before == (size_t)-1) {
            break;
        }
        *(volatile char*)(before * WASM_PAGE_BYTES) = 1;
        pages++;
    }
    report("memory", pages / 16, "MiB");
}

// Folders, none of which is ever closed.
static void attack_fds(void) {
    unsigned long opened = 0;
    while (open("/", O_RDONLY | O_DIRECTORY) >= 0) {
        opened++;
        progress("fds", opened);
    }
    printf("fds: %s\n", strerror(errno));
    report("fds", opened, "files");
}

static __externref_t references[0];

// Like memory: a later round touches one element of each of the machine's pages.
static void attack_tables(void) {
    const unsigned page_elements = 512;
    for (unsigned at = 0; at < __builtin_wasm_table_size(references); at += page_elements) {
        __builtin_wasm_table_set(references, at, __builtin_wasm_ref_null_extern());
    }
    unsigned long elements = 0;
    // Large steps first: what is refused then may still be had in smaller ones.
    for (int step = 1 << 20; step > 0; step /= 2) {
        while (__builtin_wasm_table_grow(references, __builtin_wasm_ref_null_extern(), step) !=
               -1) {
            elements += (unsigned long)step;
        }
    }
    report("tables", elements, "elements");
}

// Not to be turned into a loop: each call needs what the one below it returns.
static unsigned deeper(volatile unsigned* parent) {
    volatile unsigned own[16];
    own[0] = *parent + 1;
    if (own[0] == 0) {
        return 0;  // Not before four thousand million calls.
    }
    return deeper(own) + own[0];
}

static void attack_stack(void) {
    printf("stack: recursing\n");
    fflush(stdout);
    volatile unsigned first = 0;
    printf("%u\n", deeper(&first));
}

static void attack_logs(void) {
    static char lines[WASM_PAGE_BYTES];
    memset(lines, 'x', sizeof lines);
    for (size_t at = 127; at < sizeof lines; at += 128) {
        lines[at] = '\n';
    }
    unsigned long pieces = 0;
    while (fwrite(lines, 1, sizeof lines, stdout) == sizeof lines) {
        pieces++;
    }
    fprintf(stderr, "logs: refused after %lu MiB\n", pieces / 16);
}

static void spin(unsigned turns_max) {
    for (volatile unsigned turns = 0; turns < turns_max; turns++) {
    }
    printf("spin: %u turns\n", turns_max);
    fflush(stdout);
}

static void attack_spin(void) {
    do {
        spin(1u << 26);
    } while (!in_rounds);
}

// Nothing but some milliseconds of a core: as much as another verb needs to be refused.
static void attack_burst(void) {
    spin(1u << 22);
}

struct verb {
    const char* name;
    void (*run)(void);
};

static const struct verb* find_verb(const struct verb* verbs, size_t count, const char* name) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, verbs[i].name) == 0) {
            return &verbs[i];
        }
    }
    return NULL;
}

// Runs the verb of that name, again and again if that is asked for; fails when there is none.
static int run_attack(const struct verb* verbs, size_t count, int argc, char** argv) {
    static const struct verb kShared[] = {
        {"memory", attack_memory}, {"tables", attack_tables}, {"fds", attack_fds},
        {"stack", attack_stack},   {"logs", attack_logs},     {"spin", attack_spin},
        {"burst", attack_burst},
    };
    const char* name = argc > 1 ? argv[1] : "";
    const struct verb* verb = find_verb(kShared, sizeof kShared / sizeof kShared[0], name);
    if (verb == NULL) {
        verb = find_verb(verbs, count, name);
    }
    if (verb == NULL) {
        fprintf(stderr, "unknown attack: %s\n", name);
        return 2;
    }
    in_rounds = argc == 4 && strcmp(argv[2], "again") == 0;
    verb->run();
    while (in_rounds) {
        usleep((useconds_t)atoi(argv[3]) * 1000);
        verb->run();
    }
    return 0;
}
