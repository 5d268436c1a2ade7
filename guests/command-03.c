/* command-03: a command of WASI 0.3. Its arguments are verbs, done in order:
 *
 *   print TEXT, eprint TEXT   a line on stdout or stderr
 *   args                      its arguments, one line each
 *   env NAME                  the value of a variable, or "not set"
 *   sleep MS                  waits
 *   exit N                    ends with that code
 *   fail                      ends with the error result of `run`
 *   trap                      executes an unreachable instruction
 *
 * It waits in both ways that 0.3 has: sleeping gives the control back to the host until it calls
 * the callback, writing blocks inside the guest.
 */
#include "command03.h"

#include <stdlib.h>
#include <string.h>

#define MILLISECOND 1000000ull

typedef wasi_cli_stdout_stream_u8_writer_t stream_writer;

struct output {
    bool open;
    stream_writer writer;
    uint32_t done;  // A future: whether all was written.
};

static struct output out, err;
static command03_list_string_t arguments;
static size_t next_argument;
static command03_waitable_set_t waiting;

static void wait_inside(uint32_t waitable, command03_event_t* event) {
    command03_waitable_set_t set = command03_waitable_set_new();
    command03_waitable_join(waitable, set);
    command03_waitable_set_wait(set, event);
    command03_waitable_join(waitable, 0);
    command03_waitable_set_drop(set);
}

static void open_output(struct output* to) {
    if (!to->open) {
        wasi_cli_stdout_stream_u8_t reader = wasi_cli_stdout_stream_u8_new(&to->writer);
        to->done = to == &out ? wasi_cli_stdout_write_via_stream(reader)
                              : wasi_cli_stderr_write_via_stream(reader);
        to->open = true;
    }
}

static void write_bytes(struct output* to, const uint8_t* data, size_t length) {
    open_output(to);
    while (length > 0) {
        uint32_t status = wasi_cli_stdout_stream_u8_write(to->writer, data, length);
        if (status == COMMAND03_WAITABLE_STATUS_BLOCKED) {
            command03_event_t event;
            wait_inside(to->writer, &event);
            status = event.code;
        }
        if (COMMAND03_WAITABLE_STATE(status) != COMMAND03_WAITABLE_COMPLETED) {
            return;  // Nobody reads any more.
        }
        data += COMMAND03_WAITABLE_COUNT(status);
        length -= COMMAND03_WAITABLE_COUNT(status);
    }
}

static void write_line(struct output* to, command03_string_t text) {
    // In one piece: other writers may share the terminal.
    uint8_t* line = malloc(text.len + 1);
    memcpy(line, text.ptr, text.len);
    line[text.len] = '\n';
    write_bytes(to, line, text.len + 1);
    free(line);
}

// Returns when the host has written everything.
static void close_output(struct output* to) {
    if (!to->open) {
        return;
    }
    wasi_cli_stdout_stream_u8_drop_writable(to->writer);
    wasi_cli_stdout_result_void_error_code_t result;
    uint32_t status =
        to == &out ? wasi_cli_stdout_future_result_void_error_code_read(to->done, &result)
                   : wasi_cli_stderr_future_result_void_error_code_read(to->done, (void*)&result);
    if (status == COMMAND03_WAITABLE_STATUS_BLOCKED) {
        command03_event_t event;
        wait_inside(to->done, &event);
    }
    to->open = false;
}

static bool is(command03_string_t text, const char* word) {
    return text.len == strlen(word) && memcmp(text.ptr, word, text.len) == 0;
}

static command03_string_t take_argument(void) {
    static const command03_string_t kNone = {NULL, 0};
    return next_argument < arguments.len ? arguments.ptr[next_argument++] : kNone;
}

static unsigned long take_number(void) {
    command03_string_t text = take_argument();
    unsigned long number = 0;
    for (size_t i = 0; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++) {
        number = number * 10 + (unsigned long)(text.ptr[i] - '0');
    }
    return number;
}

static void print_env(command03_string_t name) {
    command03_list_tuple2_string_string_t all;
    wasi_cli_environment_get_environment(&all);
    command03_string_t value;
    command03_string_set(&value, "not set");
    for (size_t i = 0; i < all.len; i++) {
        if (all.ptr[i].f0.len == name.len && memcmp(all.ptr[i].f0.ptr, name.ptr, name.len) == 0) {
            value = all.ptr[i].f1;
        }
    }
    write_line(&out, value);
}

static command03_callback_code_t finish(bool failed) {
    close_output(&out);
    close_output(&err);
    exports_wasi_cli_run_result_void_void_t result = {.is_err = failed};
    exports_wasi_cli_run_run_return(result);
    return COMMAND03_CALLBACK_CODE_EXIT;
}

// Starts to sleep; false when the time is over already.
static bool start_sleep(unsigned long ms) {
    uint32_t status = wasi_clocks_monotonic_clock_wait_for(ms * MILLISECOND);
    if (COMMAND03_SUBTASK_STATE(status) == COMMAND03_SUBTASK_RETURNED) {
        return false;
    }
    command03_waitable_join(COMMAND03_SUBTASK_HANDLE(status), waiting);
    return true;
}

// Does verbs until one has to wait or all are done.
static command03_callback_code_t go_on(void) {
    while (next_argument < arguments.len) {
        command03_string_t verb = take_argument();
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
                return COMMAND03_CALLBACK_CODE_WAIT(waiting);
            }
        } else if (is(verb, "exit")) {
            close_output(&out);
            close_output(&err);
            wasi_cli_exit_exit_with_code((uint8_t)take_number());
        } else if (is(verb, "fail")) {
            return finish(true);
        } else if (is(verb, "trap")) {
            __builtin_trap();
        } else {
            command03_string_t text;
            command03_string_set(&text, "unknown verb:");
            write_line(&err, text);
            write_line(&err, verb);
            return finish(true);
        }
    }
    return finish(false);
}

command03_callback_code_t exports_wasi_cli_run_run(void) {
    waiting = command03_waitable_set_new();
    wasi_cli_environment_get_arguments(&arguments);
    next_argument = 1;  // The first is the program's name.
    return go_on();
}

command03_callback_code_t exports_wasi_cli_run_run_callback(command03_event_t* event) {
    if (event->event == COMMAND03_EVENT_CANCEL) {
        command03_task_cancel();
        return COMMAND03_CALLBACK_CODE_EXIT;
    }
    // The sleep is over.
    command03_waitable_join(event->waitable, 0);
    command03_subtask_drop(event->waitable);
    return go_on();
}
