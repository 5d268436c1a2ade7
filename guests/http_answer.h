/* What HTTP guests of WASI 0.2 share: answering, and moving bodies. Include it after "http.h", the
 * bindings of a world called `http` (guests/wit).
 *
 * A stream that fails means that the other side is gone: what is left to say is dropped in silence.
 * Anything else that should not happen traps.
 */
#pragma once

#include <string.h>

#define CHUNK_BYTES 65536

typedef wasi_http_types_own_response_outparam_t answer_slot;

// A response that has begun: its head is sent, its body is being written.
struct answer {
    wasi_http_types_own_outgoing_body_t body;
    wasi_io_streams_own_output_stream_t stream;
};

static inline void must(bool ok) {
    if (!ok) {
        __builtin_trap();
    }
}

static inline bool try_header(wasi_http_types_own_fields_t fields, const char* name,
                              const char* value) {
    wasi_http_types_field_name_t key;
    http_string_set(&key, name);
    wasi_http_types_field_value_t bytes = {(uint8_t*)value, strlen(value)};
    wasi_http_types_header_error_t error;
    return wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(fields), &key, &bytes,
                                                &error);
}

static inline void add_header(wasi_http_types_own_fields_t fields, const char* name,
                              const char* value) {
    must(try_header(fields, name, value));
}

// The body must be taken before the response is given away, and its stream may be taken after.
static inline struct answer begin_answer(answer_slot slot, uint16_t status,
                                         wasi_http_types_own_fields_t headers) {
    struct answer answer;
    wasi_http_types_own_outgoing_response_t response =
        wasi_http_types_constructor_outgoing_response(headers);
    wasi_http_types_borrow_outgoing_response_t borrowed =
        wasi_http_types_borrow_outgoing_response(response);
    must(wasi_http_types_method_outgoing_response_set_status_code(borrowed, status));
    must(wasi_http_types_method_outgoing_response_body(borrowed, &answer.body));
    wasi_http_types_result_own_outgoing_response_error_code_t result = {.is_err = false};
    result.val.ok = response;
    wasi_http_types_static_response_outparam_set(slot, &result);
    must(wasi_http_types_method_outgoing_body_write(
        wasi_http_types_borrow_outgoing_body(answer.body), &answer.stream));
    return answer;
}

static inline struct answer begin_text(answer_slot slot, uint16_t status) {
    wasi_http_types_own_fields_t headers = wasi_http_types_constructor_fields();
    add_header(headers, "content-type", "text/plain");
    return begin_answer(slot, status, headers);
}

// The error may own a handle, which the instance would keep for ever.
static inline void drop_error(wasi_io_streams_stream_error_t* error) {
    if (error->tag == WASI_IO_STREAMS_STREAM_ERROR_LAST_OPERATION_FAILED) {
        wasi_io_error_error_drop_own(error->val.last_operation_failed);
    }
}

// Writes all of it, as fast as the other side takes it. Fails when the other side is gone.
static inline bool write_all(wasi_io_streams_own_output_stream_t stream, const uint8_t* data,
                             size_t length) {
    wasi_io_streams_borrow_output_stream_t to = wasi_io_streams_borrow_output_stream(stream);
    wasi_io_streams_stream_error_t error;
    while (length > 0) {
        uint64_t room;
        if (!wasi_io_streams_method_output_stream_check_write(to, &room, &error)) {
            drop_error(&error);
            return false;
        }
        if (room == 0) {
            wasi_io_poll_own_pollable_t ready = wasi_io_streams_method_output_stream_subscribe(to);
            wasi_io_poll_method_pollable_block(wasi_io_poll_borrow_pollable(ready));
            wasi_io_poll_pollable_drop_own(ready);
            continue;
        }
        http_list_u8_t part = {(uint8_t*)data, room < length ? (size_t)room : length};
        if (!wasi_io_streams_method_output_stream_write(to, &part, &error)) {
            drop_error(&error);
            return false;
        }
        data += part.len;
        length -= part.len;
    }
    return true;
}

static inline bool write_text(struct answer answer, const char* text) {
    return write_all(answer.stream, (const uint8_t*)text, strlen(text));
}

static inline void flush(struct answer answer) {
    wasi_io_streams_stream_error_t error;
    if (!wasi_io_streams_method_output_stream_blocking_flush(
            wasi_io_streams_borrow_output_stream(answer.stream), &error)) {
        drop_error(&error);
    }
}

// The stream is a child of the body: it must go first.
static inline void end_body(wasi_io_streams_own_output_stream_t stream,
                            wasi_http_types_own_outgoing_body_t body,
                            wasi_http_types_own_trailers_t* trailers) {
    wasi_http_types_error_code_t error;
    wasi_io_streams_output_stream_drop_own(stream);
    if (!wasi_http_types_static_outgoing_body_finish(body, trailers, &error)) {
        wasi_http_types_error_code_free(&error);
    }
}

// A body that is dropped unfinished tells the other side that it is not whole.
static inline void cut_body(wasi_io_streams_own_output_stream_t stream,
                            wasi_http_types_own_outgoing_body_t body) {
    wasi_io_streams_output_stream_drop_own(stream);
    wasi_http_types_outgoing_body_drop_own(body);
}

static inline void answer_text(answer_slot slot, uint16_t status, const char* text) {
    struct answer answer = begin_text(slot, status);
    write_text(answer, text);
    end_body(answer.stream, answer.body, NULL);
}

// Copies a body piece by piece, each as soon as it has come. Fails when it broke off, on either
// side.
static inline bool copy_body(wasi_http_types_own_incoming_body_t from,
                             wasi_io_streams_own_output_stream_t to) {
    wasi_io_streams_own_input_stream_t stream;
    must(wasi_http_types_method_incoming_body_stream(wasi_http_types_borrow_incoming_body(from),
                                                     &stream));
    bool whole = true;
    while (whole) {
        http_list_u8_t piece;
        wasi_io_streams_stream_error_t error;
        if (!wasi_io_streams_method_input_stream_blocking_read(
                wasi_io_streams_borrow_input_stream(stream), CHUNK_BYTES, &piece, &error)) {
            whole = error.tag == WASI_IO_STREAMS_STREAM_ERROR_CLOSED;
            drop_error(&error);
            break;
        }
        whole = write_all(to, piece.ptr, piece.len);
        http_list_u8_free(&piece);
    }
    wasi_io_streams_input_stream_drop_own(stream);
    wasi_http_types_incoming_body_drop_own(from);
    return whole;
}

// The request's body as the answer's.
static inline void answer_echo(answer_slot slot,
                               wasi_http_types_borrow_incoming_request_t request) {
    wasi_http_types_own_incoming_body_t body;
    must(wasi_http_types_method_incoming_request_consume(request, &body));
    struct answer answer = begin_text(slot, 200);
    if (copy_body(body, answer.stream)) {
        end_body(answer.stream, answer.body, NULL);
    } else {
        cut_body(answer.stream, answer.body);
    }
}
