/* What commands of WASI 0.3 share: waiting, stdout and stderr. Include it after "command3.h", the
 * bindings of a world called `command3` (guests/wit). Everything here blocks.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

typedef wasi_cli_stdout_stream_u8_writer_t stream_writer;

struct output {
    bool open;
    stream_writer writer;
    uint32_t done;  // A future: whether all was written.
};

static struct output out, err;

// Blocks until something happened to one waitable; the event then says what.
static inline void wait_inside(uint32_t waitable, command3_event_t* event) {
    command3_waitable_set_t set = command3_waitable_set_new();
    command3_waitable_join(waitable, set);
    command3_waitable_set_wait(set, event);
    command3_waitable_join(waitable, 0);
    command3_waitable_set_drop(set);
}

static inline void open_output(struct output* to) {
    if (!to->open) {
        wasi_cli_stdout_stream_u8_t reader = wasi_cli_stdout_stream_u8_new(&to->writer);
        to->done = to == &out ? wasi_cli_stdout_write_via_stream(reader)
                              : wasi_cli_stderr_write_via_stream(reader);
        to->open = true;
    }
}

// Writes all, or as much as is read.
static inline void write_bytes(struct output* to, const uint8_t* data, size_t length) {
    open_output(to);
    while (length > 0) {
        uint32_t status = wasi_cli_stdout_stream_u8_write(to->writer, data, length);
        if (status == COMMAND3_WAITABLE_STATUS_BLOCKED) {
            command3_event_t event;
            wait_inside(to->writer, &event);
            status = event.code;
        }
        if (COMMAND3_WAITABLE_STATE(status) != COMMAND3_WAITABLE_COMPLETED) {
            return;  // Nobody reads any more.
        }
        data += COMMAND3_WAITABLE_COUNT(status);
        length -= COMMAND3_WAITABLE_COUNT(status);
    }
}

static inline void write_line(struct output* to, command3_string_t text) {
    // In one piece: other writers may share the terminal.
    uint8_t* line = malloc(text.len + 1);
    memcpy(line, text.ptr, text.len);
    line[text.len] = '\n';
    write_bytes(to, line, text.len + 1);
    free(line);
}

// Returns when the host has written everything.
static inline void close_output(struct output* to) {
    if (!to->open) {
        return;
    }
    wasi_cli_stdout_stream_u8_drop_writable(to->writer);
    wasi_cli_stdout_result_void_error_code_t result;
    uint32_t status =
        to == &out ? wasi_cli_stdout_future_result_void_error_code_read(to->done, &result)
                   : wasi_cli_stderr_future_result_void_error_code_read(to->done, (void*)&result);
    if (status == COMMAND3_WAITABLE_STATUS_BLOCKED) {
        command3_event_t event;
        wait_inside(to->done, &event);
    }
    to->open = false;
}
