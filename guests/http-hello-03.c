/* http-hello-03: http-hello as a service of WASI 0.3 (guests/README.md has the list of paths).
 *
 * Whatever waits gives the control back to the host, so one instance serves many requests at a
 * time: `struct call` is all that a request keeps, and `go_on` is a coroutine over it. Only
 * printing blocks.
 */
#include "http3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_errors.h"
#include "http_path.h"

#define MILLISECOND 1000000ull
#define CHUNK_BYTES 65536

typedef wasi_http_types_stream_u8_t byte_stream;
typedef wasi_http_types_future_result_option_own_trailers_error_code_t trailers_future;
typedef wasi_http_types_tuple2_stream_u8_future_result_option_own_trailers_error_code_t
    incoming_body;

struct taken {
    wasi_http_types_future_result_void_error_code_writer_t writer;
    http3_waitable_status_t status;
};

// One request. The part before `at` says what is to be done, the rest how far that is.
struct call {
    uint16_t status;
    char text[4096];  // The answer when there is no `source`.
    size_t length;
    unsigned long repeat;  // How often to send it; each time with its number for `numbered`.
    bool numbered;
    unsigned long before_ms, between_ms, headers_kib;
    bool has_source;
    byte_stream source;  // The answer is what is read from it.
    bool fetch, trap_after, trailers, error;
    wasi_http_types_own_request_t outgoing;

    int at;         // Where the coroutine goes on; its line.
    uint32_t code;  // The result that it waited for.
    http3_waitable_set_t set;
    uint32_t subtask;
    wasi_http_client_result_own_response_error_code_t fetched;
    wasi_http_types_stream_u8_writer_t body;
    wasi_http_types_future_result_option_own_trailers_error_code_writer_t tail;
    wasi_http_types_result_option_own_trailers_error_code_t tail_value;
    unsigned long round;
    const uint8_t* piece;
    size_t piece_length;
    bool source_ended;
    struct taken taken[2];  // Of the request and of what was fetched.
    int taken_count;
    uint8_t* buffer;
};

// Requests that this instance has seen.
static unsigned long seen;

static void must(bool ok) {
    if (!ok) {
        __builtin_trap();
    }
}

static void set_text(struct call* call, uint16_t status, const char* text) {
    call->status = status;
    call->length = strlen(text) < sizeof call->text ? strlen(text) : sizeof call->text - 1;
    memcpy(call->text, text, call->length);
}

static void set_number(struct call* call, uint16_t status, const char* format,
                       unsigned long number) {
    call->status = status;
    call->length = (size_t)snprintf(call->text, sizeof call->text, format, number);
}

static bool try_header(wasi_http_types_own_fields_t fields, const char* name, const char* value) {
    wasi_http_types_field_name_t key;
    http3_string_set(&key, name);
    wasi_http_types_field_value_t bytes = {(uint8_t*)value, strlen(value)};
    wasi_http_types_header_error_t error;
    return wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(fields), &key, &bytes,
                                                &error);
}

static void add_header(wasi_http_types_own_fields_t fields, const char* name, const char* value) {
    must(try_header(fields, name, value));
}

// A future that says that a body was taken well. The host reads it in its own time: what was begun
// here is waited for at the very end.
static wasi_http_types_future_result_void_error_code_t promise_to_take(struct call* call) {
    static const wasi_http_types_result_void_error_code_t kTaken = {.is_err = false};
    struct taken* taken = &call->taken[call->taken_count++];
    wasi_http_types_future_result_void_error_code_t reader =
        wasi_http_types_future_result_void_error_code_new(&taken->writer);
    taken->status = wasi_http_types_future_result_void_error_code_write(taken->writer, &kTaken);
    return reader;
}

static incoming_body take_body(struct call* call, wasi_http_types_own_request_t request) {
    incoming_body body;
    wasi_http_types_static_request_consume_body(request, promise_to_take(call), &body);
    return body;
}

static byte_stream take_response(struct call* call, wasi_http_types_own_response_t response) {
    incoming_body body;
    wasi_http_types_static_response_consume_body(response, promise_to_take(call), &body);
    wasi_http_types_future_result_option_own_trailers_error_code_drop_readable(body.f1);
    return body.f0;
}

static void list_headers(struct call* call, wasi_http_types_own_request_t request) {
    wasi_http_types_own_headers_t fields =
        wasi_http_types_method_request_get_headers(wasi_http_types_borrow_request(request));
    wasi_http_types_list_tuple2_field_name_field_value_t all;
    wasi_http_types_method_fields_copy_all(wasi_http_types_borrow_fields(fields), &all);
    call->status = 200;
    for (size_t i = 0; i < all.len; i++) {
        size_t room = sizeof call->text - call->length;
        int more = snprintf(call->text + call->length, room, "%.*s: %.*s\n", (int)all.ptr[i].f0.len,
                            (const char*)all.ptr[i].f0.ptr, (int)all.ptr[i].f1.len,
                            (const char*)all.ptr[i].f1.ptr);
        if (more < 0 || (size_t)more >= room) {
            break;
        }
        call->length += (size_t)more;
    }
    wasi_http_types_list_tuple2_field_name_field_value_free(&all);
    wasi_http_types_fields_drop_own(fields);
}

static void find_variable(struct call* call, const char* name) {
    http3_list_tuple2_string_string_t all;
    wasi_cli_environment_get_environment(&all);
    set_text(call, 404, "not set\n");
    for (size_t i = 0; i < all.len; i++) {
        if (all.ptr[i].f0.len == strlen(name) &&
            memcmp(all.ptr[i].f0.ptr, name, strlen(name)) == 0) {
            call->status = 200;
            call->length = (size_t)snprintf(call->text, sizeof call->text, "%.*s",
                                            (int)all.ptr[i].f1.len, (const char*)all.ptr[i].f1.ptr);
        }
    }
    http3_list_tuple2_string_string_free(&all);
}

// The folder that the path is in is the preopened one with the longest name that begins it.
static void open_file(struct call* call, const char* path) {
    wasi_filesystem_preopens_list_tuple2_own_descriptor_string_t folders;
    wasi_filesystem_preopens_get_directories(&folders);
    size_t best = 0, best_length = 0;
    for (size_t i = 0; i < folders.len; i++) {
        http3_string_t name = folders.ptr[i].f1;
        if (name.len > 0 && name.len - 1 > best_length && strlen(path) >= name.len - 1 &&
            memcmp(path, name.ptr + 1, name.len - 1) == 0) {
            best = i;
            best_length = name.len - 1;
        }
    }
    set_text(call, 404, "cannot open it\n");
    if (best_length == 0) {
        return;
    }
    const char* rest = path + best_length;
    http3_string_t relative;
    http3_string_set(&relative, *rest == '/' ? rest + 1 : rest);
    wasi_filesystem_types_own_descriptor_t file;
    wasi_filesystem_types_error_code_t error;
    if (!wasi_filesystem_types_method_descriptor_open_at(
            wasi_filesystem_types_borrow_descriptor(folders.ptr[best].f0), 0, &relative, 0,
            WASI_FILESYSTEM_TYPES_DESCRIPTOR_FLAGS_READ, &file, &error)) {
        return;
    }
    wasi_filesystem_types_tuple2_stream_u8_future_result_void_error_code_t contents;
    wasi_filesystem_types_method_descriptor_read_via_stream(
        wasi_filesystem_types_borrow_descriptor(file), 0, &contents);
    wasi_filesystem_types_future_result_void_error_code_drop_readable(contents.f1);
    wasi_filesystem_types_descriptor_drop_own(file);
    call->status = 200;
    call->has_source = true;
    call->source = contents.f0;
}

static void say(const char* text) {
    wasi_cli_stdout_stream_u8_writer_t writer;
    wasi_cli_stdout_future_result_void_error_code_t done =
        wasi_cli_stdout_write_via_stream(wasi_cli_stdout_stream_u8_new(&writer));
    char line[2048];
    int length = snprintf(line, sizeof line, "%s\n", text);
    http3_waitable_set_t set = http3_waitable_set_new();
    http3_event_t event;
    if (wasi_cli_stdout_stream_u8_write(writer, (const uint8_t*)line, (size_t)length) ==
        HTTP3_WAITABLE_STATUS_BLOCKED) {
        http3_waitable_join(writer, set);
        http3_waitable_set_wait(set, &event);
    }
    wasi_cli_stdout_stream_u8_drop_writable(writer);
    wasi_cli_stdout_result_void_error_code_t result;
    if (wasi_cli_stdout_future_result_void_error_code_read(done, &result) ==
        HTTP3_WAITABLE_STATUS_BLOCKED) {
        http3_waitable_join(done, set);
        http3_waitable_set_wait(set, &event);
    }
    wasi_cli_stdout_future_result_void_error_code_drop_readable(done);
    http3_waitable_set_drop(set);
}

static wasi_http_types_own_request_options_t make_options(unsigned long timeout_ms) {
    wasi_http_types_own_request_options_t options = wasi_http_types_constructor_request_options();
    wasi_http_types_borrow_request_options_t set = wasi_http_types_borrow_request_options(options);
    wasi_http_types_duration_t timeout = timeout_ms * MILLISECOND;
    wasi_http_types_request_options_error_t error;
    if (timeout > 0) {
        must(wasi_http_types_method_request_options_set_connect_timeout(set, &timeout, &error));
        must(wasi_http_types_method_request_options_set_first_byte_timeout(set, &timeout, &error));
        must(wasi_http_types_method_request_options_set_between_bytes_timeout(set, &timeout,
                                                                              &error));
    }
    return options;
}

// `url=URL`, with `&timeout=MS` at its end for all three timeouts. The body of a POST is handed on.
static bool plan_fetch(struct call* call, char* rest, wasi_http_types_own_request_t request) {
    char* option = strstr(rest, "&timeout=");
    unsigned long timeout_ms = option != NULL ? strtoul(option + 9, NULL, 10) : 0;
    if (option != NULL) {
        *option = '\0';
    }
    decode_percent(rest);
    struct url url;
    if (strncmp(rest, "url=", 4) != 0 || !split_url(rest + 4, &url)) {
        set_text(call, 400, "usage: /fetch?url=http://HOST[:PORT]/PATH[&timeout=MS]\n");
        return false;
    }
    wasi_http_types_method_t method;
    wasi_http_types_method_request_get_method(wasi_http_types_borrow_request(request), &method);
    bool post = method.tag == WASI_HTTP_TYPES_METHOD_POST;
    incoming_body body = take_body(call, request);
    if (!post) {
        wasi_http_types_stream_u8_drop_readable(body.f0);
    }
    wasi_http_types_own_request_options_t options = make_options(timeout_ms);
    wasi_http_types_tuple2_own_request_future_result_void_error_code_t made;
    wasi_http_types_static_request_new(wasi_http_types_constructor_fields(), post ? &body.f0 : NULL,
                                       body.f1, &options, &made);
    wasi_http_types_future_result_void_error_code_drop_readable(made.f1);
    wasi_http_types_borrow_request_t to = wasi_http_types_borrow_request(made.f0);
    wasi_http_types_scheme_t scheme = {.tag = url.tls ? WASI_HTTP_TYPES_SCHEME_HTTPS
                                                      : WASI_HTTP_TYPES_SCHEME_HTTP};
    http3_string_t authority = {(uint8_t*)url.authority, url.authority_bytes};
    char path[2048];
    snprintf(path, sizeof path, "%s%s", url.path[0] == '/' ? "" : "/", url.path);
    http3_string_t path_text;
    http3_string_set(&path_text, path);
    must(wasi_http_types_method_request_set_method(to, &method));
    must(wasi_http_types_method_request_set_scheme(to, &scheme));
    must(wasi_http_types_method_request_set_authority(to, &authority));
    must(wasi_http_types_method_request_set_path_with_query(to, &path_text));
    wasi_http_types_method_free(&method);
    call->fetch = true;
    call->outgoing = made.f0;
    return true;
}

static _Noreturn void spin(void) {
    for (volatile unsigned turns = 0;; turns++) {
    }
}

static void plan_bytes(struct call* call, const char* rest) {
    unsigned long bytes = strtoul(rest, NULL, 10);
    call->status = 200;
    memset(call->text, 'x', sizeof call->text);
    // Pieces of one length: the number is rounded up to a multiple of it.
    call->length = bytes < sizeof call->text ? bytes : sizeof call->text;
    call->repeat = (bytes + call->length - 1) / (call->length > 0 ? call->length : 1);
}

static void plan_trouble(struct call* call, const char* path) {
    const char* rest;
    if (after_verb(path, "trap") != NULL) {
        __builtin_trap();
    } else if (after_verb(path, "spin") != NULL) {
        spin();
    } else if (after_verb(path, "trap-after") != NULL) {
        set_text(call, 200, "this is not all\n");
        call->trap_after = true;
    } else if ((rest = after_verb(path, "error")) != NULL) {
        set_text(call, 500, rest);
        call->error = true;
    } else {
        set_text(call, 200, "Hello from Skiff!\n");
    }
}

static void plan_plain(struct call* call, const char* path) {
    const char* rest;
    if ((rest = after_verb(path, "status")) != NULL) {
        set_number(call, (uint16_t)atoi(rest), "status %lu\n", strtoul(rest, NULL, 10));
    } else if ((rest = after_verb(path, "sleep")) != NULL) {
        call->before_ms = strtoul(rest, NULL, 10);
        set_number(call, 200, "slept %lu ms\n", call->before_ms);
    } else if ((rest = after_verb(path, "env")) != NULL) {
        find_variable(call, rest);
    } else if ((rest = after_verb(path, "grow")) != NULL) {
        unsigned long mib = strtoul(rest, NULL, 10);
        unsigned long got = grow(mib);
        set_number(call, got == mib ? 200 : 507,
                   got == mib ? "grew %lu MiB\n" : "refused after %lu MiB\n", got);
    } else if (after_verb(path, "count") != NULL) {
        set_number(call, 200, "%lu\n", seen);
    } else if ((rest = after_verb(path, "file")) != NULL) {
        open_file(call, rest);
    } else if ((rest = after_verb(path, "big-headers")) != NULL) {
        set_text(call, 200, "");
        call->headers_kib = strtoul(rest, NULL, 10);
    } else if ((rest = after_verb(path, "bytes")) != NULL) {
        plan_bytes(call, rest);
    } else if ((rest = after_verb(path, "drip")) != NULL) {
        call->status = 200;
        two_numbers(rest, &call->repeat, &call->between_ms);
        call->numbered = true;
    } else if (after_verb(path, "trailers") != NULL) {
        set_text(call, 200, "12 and 30\n");
        call->trailers = true;
    } else if ((rest = after_verb(path, "say")) != NULL) {
        say(rest);
        set_text(call, 200, "said\n");
    } else {
        plan_trouble(call, path);
    }
}

// Decides what to answer. The request is gone after this.
static void plan(struct call* call, wasi_http_types_own_request_t request) {
    http3_string_t given;
    char path[2048] = "";
    if (wasi_http_types_method_request_get_path_with_query(wasi_http_types_borrow_request(request),
                                                           &given)) {
        snprintf(path, sizeof path, "%.*s", (int)given.len, (const char*)given.ptr);
        http3_string_free(&given);
    }
    call->repeat = 1;
    char* rest = (char*)after_verb(path, "fetch");
    if (rest != NULL && plan_fetch(call, rest, request)) {
        return;
    }
    if (after_verb(path, "echo") != NULL) {
        incoming_body body = take_body(call, request);
        wasi_http_types_future_result_option_own_trailers_error_code_drop_readable(body.f1);
        call->status = 200;
        call->has_source = true;
        call->source = body.f0;
        return;
    }
    if (after_verb(path, "headers") != NULL) {
        list_headers(call, request);
    } else if (rest == NULL) {
        plan_plain(call, path);
    }
    wasi_http_types_request_drop_own(request);
}

// As many as are taken; the body says how many that were.
static void add_big_headers(struct call* call, wasi_http_types_own_fields_t headers) {
    char value[1025];
    memset(value, 'h', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    unsigned long made = 0;
    while (made < call->headers_kib && try_header(headers, "x-big", value)) {
        made++;
    }
    set_number(call, 200, "%lu KiB of headers\n", made);
}

// Gives the head away; the body follows.
static void send_head(struct call* call) {
    wasi_http_types_own_fields_t headers = wasi_http_types_constructor_fields();
    add_header(headers, "content-type", "text/plain");
    if (call->trailers) {
        add_header(headers, "trailer", "x-sum");
    }
    if (call->headers_kib > 0) {
        add_big_headers(call, headers);
    }
    byte_stream body = wasi_http_types_stream_u8_new(&call->body);
    trailers_future tail =
        wasi_http_types_future_result_option_own_trailers_error_code_new(&call->tail);
    wasi_http_types_tuple2_own_response_future_result_void_error_code_t made;
    wasi_http_types_static_response_new(headers, &body, tail, &made);
    wasi_http_types_future_result_void_error_code_drop_readable(made.f1);
    must(wasi_http_types_method_response_set_status_code(wasi_http_types_borrow_response(made.f0),
                                                         call->status));
    exports_wasi_http_handler_result_own_response_error_code_t result = {.is_err = false};
    result.val.ok = made.f0;
    exports_wasi_http_handler_handle_return(result);
}

static void send_error(struct call* call) {
    exports_wasi_http_handler_result_own_response_error_code_t result = {.is_err = true};
    result.val.err.tag = WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR;
    result.val.err.val.internal_error.is_some = true;
    result.val.err.val.internal_error.val = (http3_string_t){(uint8_t*)call->text, call->length};
    exports_wasi_http_handler_handle_return(result);
}

static void use_fetched(struct call* call) {
    if (!call->fetched.is_err) {
        wasi_http_types_own_response_t response = call->fetched.val.ok;
        call->status = wasi_http_types_method_response_get_status_code(
            wasi_http_types_borrow_response(response));
        call->has_source = true;
        call->source = take_response(call, response);
        return;
    }
    wasi_http_types_error_code_t* error = &call->fetched.val.err;
    http3_string_t more = {NULL, 0};
    if (error->tag == WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR &&
        error->val.internal_error.is_some) {
        more = error->val.internal_error.val;
    }
    call->status = 502;
    call->length = (size_t)snprintf(
        call->text, sizeof call->text, "error: %s%s%.*s\n", http_error_name(error->tag),
        more.len > 0 ? ": " : "", (int)(more.len < 2048 ? more.len : 2048), (const char*)more.ptr);
    wasi_http_types_error_code_free(error);
}

static void fill_tail(struct call* call) {
    call->tail_value.is_err = false;
    call->tail_value.val.ok.is_some = false;
    if (call->trailers) {
        call->tail_value.val.ok.is_some = true;
        call->tail_value.val.ok.val = wasi_http_types_constructor_fields();
        add_header(call->tail_value.val.ok.val, "x-sum", "42");
    }
}

// Gives the control to the host until something happened to `handle`; `call->code` then says what.
#define AWAIT(call, handle)                           \
    do {                                              \
        http3_waitable_join((handle), (call)->set);   \
        (call)->at = __LINE__;                        \
        return HTTP3_CALLBACK_CODE_WAIT((call)->set); \
        case __LINE__:                                \
            http3_waitable_join((handle), 0);         \
    } while (false)

// Waits for an async call that has begun.
#define AWAIT_SUBTASK(call, status)                                                               \
    if (((call)->code = (status), HTTP3_SUBTASK_STATE((call)->code) != HTTP3_SUBTASK_RETURNED)) { \
        (call)->subtask = HTTP3_SUBTASK_HANDLE((call)->code);                                     \
        AWAIT(call, (call)->subtask);                                                             \
        http3_subtask_drop((call)->subtask);                                                      \
    }                                                                                             \
    (void)0

// Waits for a stream or future operation that has begun.
#define AWAIT_COPY(call, status, handle)                                            \
    if (((call)->code = (status), (call)->code == HTTP3_WAITABLE_STATUS_BLOCKED)) { \
        AWAIT(call, handle);                                                        \
    }                                                                               \
    (void)0

static bool is_over(struct call* call) {
    return call->has_source ? call->source_ended : call->round >= call->repeat;
}

// What to send next, when it is not read from the source.
static void make_piece(struct call* call) {
    if (call->numbered) {
        call->length = (size_t)snprintf(call->text, sizeof call->text, "%lu\n", call->round);
    }
    call->piece = (const uint8_t*)call->text;
    call->piece_length = call->length;
}

static void use_read(struct call* call) {
    call->piece = call->buffer;
    call->piece_length = HTTP3_WAITABLE_COUNT(call->code);
    call->source_ended = HTTP3_WAITABLE_STATE(call->code) != HTTP3_WAITABLE_COMPLETED;
}

static void use_written(struct call* call) {
    call->piece += HTTP3_WAITABLE_COUNT(call->code);
    call->piece_length -= HTTP3_WAITABLE_COUNT(call->code);
    if (HTTP3_WAITABLE_STATE(call->code) != HTTP3_WAITABLE_COMPLETED) {
        // Nobody reads any more.
        call->piece_length = 0;
        call->source_ended = true;
        call->round = call->repeat;
    }
}

// A coroutine: nothing of it lives in local variables.
static http3_callback_code_t go_on(struct call* call) {
    switch (call->at) {
        case 0:
            if (call->before_ms > 0) {
                AWAIT_SUBTASK(call,
                              wasi_clocks_monotonic_clock_wait_for(call->before_ms * MILLISECOND));
            }
            if (call->fetch) {
                AWAIT_SUBTASK(call, wasi_http_client_send(call->outgoing, &call->fetched));
                use_fetched(call);
            }
            if (call->error) {
                send_error(call);
                return HTTP3_CALLBACK_CODE_EXIT;
            }
            send_head(call);
            for (; !is_over(call); call->round++) {
                if (call->has_source) {
                    AWAIT_COPY(
                        call,
                        wasi_http_types_stream_u8_read(call->source, call->buffer, CHUNK_BYTES),
                        call->source);
                    use_read(call);
                } else {
                    if (call->between_ms > 0 && call->round > 0) {
                        AWAIT_SUBTASK(call, wasi_clocks_monotonic_clock_wait_for(call->between_ms *
                                                                                 MILLISECOND));
                    }
                    make_piece(call);
                }
                while (call->piece_length > 0) {
                    AWAIT_COPY(call,
                               wasi_http_types_stream_u8_write(call->body, call->piece,
                                                               call->piece_length),
                               call->body);
                    use_written(call);
                }
            }
            must(!call->trap_after);
            wasi_http_types_stream_u8_drop_writable(call->body);
            if (call->has_source) {
                wasi_http_types_stream_u8_drop_readable(call->source);
            }
            fill_tail(call);
            AWAIT_COPY(call,
                       wasi_http_types_future_result_option_own_trailers_error_code_write(
                           call->tail, &call->tail_value),
                       call->tail);
            wasi_http_types_future_result_option_own_trailers_error_code_drop_writable(call->tail);
            for (; call->taken_count > 0; call->taken_count--) {
                AWAIT_COPY(call, call->taken[call->taken_count - 1].status,
                           call->taken[call->taken_count - 1].writer);
                wasi_http_types_future_result_void_error_code_drop_writable(
                    call->taken[call->taken_count - 1].writer);
            }
    }
    return HTTP3_CALLBACK_CODE_EXIT;
}

static http3_callback_code_t run(struct call* call) {
    http3_callback_code_t code = go_on(call);
    if (code == HTTP3_CALLBACK_CODE_EXIT) {
        http3_waitable_set_drop(call->set);
        free(call->buffer);
        free(call);
    }
    return code;
}

http3_callback_code_t exports_wasi_http_handler_handle(
    exports_wasi_http_handler_own_request_t request) {
    struct call* call = calloc(1, sizeof *call);
    must(call != NULL);
    seen++;
    call->set = http3_waitable_set_new();
    http3_context_set_0(call);
    plan(call, request);
    if (call->has_source || call->fetch) {
        call->buffer = malloc(CHUNK_BYTES);
        must(call->buffer != NULL);
    }
    return run(call);
}

http3_callback_code_t exports_wasi_http_handler_handle_callback(http3_event_t* event) {
    struct call* call = http3_context_get_0();
    if (event->event == HTTP3_EVENT_CANCEL) {
        // What is under way ends with the instance.
        http3_task_cancel();
        return HTTP3_CALLBACK_CODE_EXIT;
    }
    call->code = event->code;
    return run(call);
}
