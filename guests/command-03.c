/* command-03: a command of WASI 0.3. Its arguments are verbs, done in order:
 *
 *   print TEXT, eprint TEXT   a line on stdout or stderr
 *   args                      its arguments, one line each
 *   env NAME                  the value of a variable, or "not set"
 *   sleep MS                  waits
 *   mkdir PATH                makes a folder below the first one it has, and prints 0 or the error's number
 *   exit N                    ends with that code
 *   fail                      ends with the error result of `run`
 *   trap                      executes an unreachable instruction
 *
 * It waits in both ways that 0.3 has: sleeping gives the control back to the host until it calls
 * the callback, writing blocks inside the guest.
 */
#include "command3.h"

#include <string.h>

#include "output_03.h"

#define MILLISECOND 1000000ull

static command3_list_string_t arguments;
static size_t next_argument;
static command3_waitable_set_t waiting;

static bool is(command3_string_t text, const char* word) {
    return text.len == strlen(word) && memcmp(text.ptr, word, text.len) == 0;
}

static command3_string_t take_argument(void) {
    static const command3_string_t kNone = {NULL, 0};
    return next_argument < arguments.len ? arguments.ptr[next_argument++] : kNone;
}

static unsigned long take_number(void) {
    command3_string_t text = take_argument();
    unsigned long number = 0;
    for (size_t i = 0; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++) {
        number = number * 10 + (unsigned long)(text.ptr[i] - '0');
    }
    return number;
}

static void print_env(command3_string_t name) {
    command3_list_tuple2_string_string_t all;
    wasi_cli_environment_get_environment(&all);
    command3_string_t value;
    command3_string_set(&value, "not set");
    for (size_t i = 0; i < all.len; i++) {
        if (all.ptr[i].f0.len == name.len && memcmp(all.ptr[i].f0.ptr, name.ptr, name.len) == 0) {
            value = all.ptr[i].f1;
        }
    }
    write_line(&out, value);
}

static void make_folder(command3_string_t path) {
    wasi_filesystem_preopens_list_tuple2_own_descriptor_string_t folders;
    wasi_filesystem_preopens_get_directories(&folders);
    wasi_filesystem_types_error_code_t error = {.tag = 0};
    char digits[] = {'0', '0', '\0'};
    if (folders.len > 0 && !wasi_filesystem_types_method_descriptor_create_directory_at(
                               wasi_filesystem_types_borrow_descriptor(folders.ptr[0].f0), &path, &error)) {
        digits[0] = (char)('0' + error.tag / 10);
        digits[1] = (char)('0' + error.tag % 10);
    }
    command3_string_t text = {(uint8_t*)digits, 2};
    write_line(&out, text);
}

static command3_callback_code_t finish(bool failed) {
    close_output(&out);
    close_output(&err);
    exports_wasi_cli_run_result_void_void_t result = {.is_err = failed};
    exports_wasi_cli_run_run_return(result);
    return COMMAND3_CALLBACK_CODE_EXIT;
}

// Starts to sleep; false when the time is over already.
static bool start_sleep(unsigned long ms) {
    uint32_t status = wasi_clocks_monotonic_clock_wait_for(ms * MILLISECOND);
    if (COMMAND3_SUBTASK_STATE(status) == COMMAND3_SUBTASK_RETURNED) {
        return false;
    }
    command3_waitable_join(COMMAND3_SUBTASK_HANDLE(status), waiting);
    return true;
}

// Does verbs until one has to wait or all are done.
static command3_callback_code_t go_on(void) {
    while (next_argument < arguments.len) {
        command3_string_t verb = take_argument();
        if (is(verb, "print")) {
            write_line(&out, take_argument());
        } else if (is(verb, "eprint")) {
            write_line(&err, take_argument());
        } else if (is(verb, "args")) {
            for (size_t i = 1; i < arguments.len; i++) {
                write_line(&out, arguments.ptr[i]);
            }
        } else if (is(verb, "env")) {
            print_env(take_argument());
        } else if (is(verb, "sleep")) {
            if (start_sleep(take_number())) {
                return COMMAND3_CALLBACK_CODE_WAIT(waiting);
            }
        } else if (is(verb, "mkdir")) {
            make_folder(take_argument());
        } else if (is(verb, "exit")) {
            close_output(&out);
            close_output(&err);
            wasi_cli_exit_exit_with_code((uint8_t)take_number());
        } else if (is(verb, "fail")) {
            return finish(true);
        } else if (is(verb, "trap")) {
            __builtin_trap();
        } else {
            command3_string_t text;
            command3_string_set(&text, "unknown verb:");
            write_line(&err, text);
            write_line(&err, verb);
            return finish(true);
        }
    }
    return finish(false);
}

command3_callback_code_t exports_wasi_cli_run_run(void) {
    waiting = command3_waitable_set_new();
    wasi_cli_environment_get_arguments(&arguments);
    next_argument = 1;  // The first is the program's name.
    return go_on();
}

command3_callback_code_t exports_wasi_cli_run_run_callback(command3_event_t* event) {
    if (event->event == COMMAND3_EVENT_CANCEL) {
        command3_task_cancel();
        return COMMAND3_CALLBACK_CODE_EXIT;
    }
    // The sleep is over.
    command3_waitable_join(event->waitable, 0);
    command3_subtask_drop(event->waitable);
    return go_on();
}
