/* attack-component: a component of WASI 0.2 that attacks one limit (guests/README.md has the list).
 */
#include "attacker.h"

#include "attack.h"

// Timers, none of which is ever given back. The refusal is a trap.
static void attack_handles(void) {
    for (unsigned long made = 1;; made++) {
        wasi_clocks_monotonic_clock_subscribe_duration(3600ull * 1000000000);
        progress("handles", made);
    }
}

static void attack_sockets(void) {
    unsigned long made = 0;
    wasi_sockets_tcp_create_socket_own_tcp_socket_t socket;
    wasi_sockets_tcp_create_socket_error_code_t error;
    while (wasi_sockets_tcp_create_socket_create_tcp_socket(0, &socket, &error)) {
        made++;
        progress("sockets", made);
    }
    printf("sockets: error %u\n", error);
    report("sockets", made, "sockets");
}

// The host has to make a list of that length before it can be refused room for it.
static void attack_random(void) {
    printf("random-huge: asking for 4095 MiB\n");
    fflush(stdout);
    attack_list_u8_t bytes;
    wasi_random_random_get_random_bytes(4095ull * MIB, &bytes);
    printf("random-huge: got %zu MiB\n", bytes.len / MIB);
    attack_list_u8_free(&bytes);
}

// One call with a list of a million handles, all lent.
static void attack_poll(void) {
    enum { kEntries = 1 << 20 };
    wasi_io_poll_own_pollable_t timer = wasi_clocks_monotonic_clock_subscribe_duration(0);
    wasi_io_poll_borrow_pollable_t* list = malloc(kEntries * sizeof *list);
    if (list == NULL) {
        report("poll", 0, "calls");
        return;
    }
    for (int i = 0; i < kEntries; i++) {
        list[i] = wasi_io_poll_borrow_pollable(timer);
    }
    wasi_io_poll_list_borrow_pollable_t all = {list, kEntries};
    attack_list_u32_t ready;
    printf("poll: %d handles\n", kEntries);
    fflush(stdout);
    wasi_io_poll_poll(&all, &ready);
    printf("poll: %zu ready\n", ready.len);
    attack_list_u32_free(&ready);
    free(list);
    wasi_io_poll_pollable_drop_own(timer);
}

// Header fields, each with a value of 64 KiB, until they are refused.
static void attack_fields(void) {
    static uint8_t value[WASM_PAGE_BYTES];
    memset(value, 'v', sizeof value);
    wasi_http_types_own_fields_t fields = wasi_http_types_constructor_fields();
    wasi_http_types_field_name_t name;
    attack_string_set(&name, "x-attack");
    wasi_http_types_field_value_t bytes = {value, sizeof value};
    wasi_http_types_header_error_t error;
    unsigned long made = 0;
    while (made < 1 << 20 && wasi_http_types_method_fields_append(
                                 wasi_http_types_borrow_fields(fields), &name, &bytes, &error)) {
        made++;
        progress("fields", made);
    }
    report("fields", made, "values");
    wasi_http_types_fields_drop_own(fields);
}

int main(int argc, char** argv) {
    static const struct verb kVerbs[] = {
        {"handles", attack_handles}, {"sockets", attack_sockets}, {"random-huge", attack_random},
        {"poll", attack_poll},       {"fields", attack_fields},
    };
    return run_attack(kVerbs, sizeof kVerbs / sizeof kVerbs[0], argc, argv);
}
