/* attack-03: a command of WASI 0.3 that attacks one limit by what only that version has. Verbs:
 *
 *   subtasks       timers of an hour, none of which is waited for: the refusal is a trap
 *   streams        streams of which no end is given back: likewise
 *   threads NAME   thousands of look-ups at the same time, each of which holds a thread of the host
 */
#include "command3.h"

#include <stdio.h>
#include <string.h>

#include "output_03.h"

#define HOUR (3600ull * 1000000000)

static void print_count(unsigned long count, const char* unit) {
    char line[80];
    int length = snprintf(line, sizeof line, "%lu %s\n", count, unit);
    write_bytes(&out, (const uint8_t*)line, (size_t)length);
}

// Says at every doubling how far it is.
static void progress(unsigned long made, const char* unit) {
    if (made >= 1024 && (made & (made - 1)) == 0) {
        print_count(made, unit);
    }
}

static void attack_subtasks(command3_string_t argument) {
    (void)argument;
    for (unsigned long made = 1;; made++) {
        wasi_clocks_monotonic_clock_wait_for(HOUR);
        progress(made, "subtasks");
    }
}

static void attack_streams(command3_string_t argument) {
    (void)argument;
    for (unsigned long made = 1;; made++) {
        wasi_cli_stdout_stream_u8_writer_t writer;
        wasi_cli_stdout_stream_u8_new(&writer);
        progress(made, "streams");
    }
}

static void attack_threads(command3_string_t name) {
    enum { kLookups = 4096 };
    static wasi_sockets_ip_name_lookup_result_list_ip_address_error_code_t results[kLookups];
    command3_waitable_set_t waiting = command3_waitable_set_new();
    unsigned long asked = 0, found = 0;
    for (int i = 0; i < kLookups; i++) {
        uint32_t status = wasi_sockets_ip_name_lookup_resolve_addresses(name, &results[i]);
        if (COMMAND3_SUBTASK_STATE(status) != COMMAND3_SUBTASK_RETURNED) {
            command3_waitable_join(COMMAND3_SUBTASK_HANDLE(status), waiting);
            asked++;
        }
    }
    print_count(asked, "look-ups at a time");
    while (asked > 0) {
        command3_event_t event;
        command3_waitable_set_wait(waiting, &event);
        command3_waitable_join(event.waitable, 0);
        command3_subtask_drop(event.waitable);
        asked--;
    }
    for (int i = 0; i < kLookups; i++) {
        found += !results[i].is_err;
    }
    print_count(found, "found");
}

bool exports_wasi_cli_run_run(void) {
    static const struct {
        const char* name;
        void (*run)(command3_string_t argument);
    } kVerbs[] = {
        {"subtasks", attack_subtasks},
        {"streams", attack_streams},
        {"threads", attack_threads},
    };
    command3_list_string_t arguments;
    wasi_cli_environment_get_arguments(&arguments);
    static const command3_string_t kNone = {NULL, 0};
    const command3_string_t argument = arguments.len > 2 ? arguments.ptr[2] : kNone;
    bool known = false;
    for (size_t i = 0; i < sizeof kVerbs / sizeof kVerbs[0] && arguments.len > 1; i++) {
        const command3_string_t verb = arguments.ptr[1];
        if (verb.len == strlen(kVerbs[i].name) && memcmp(verb.ptr, kVerbs[i].name, verb.len) == 0) {
            kVerbs[i].run(argument);
            known = true;
        }
    }
    close_output(&out);
    close_output(&err);
    return known;
}
