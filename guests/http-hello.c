/* http-hello: an HTTP service that tests steer by the request path (guests/README.md has a list).
 * Any other path answers "Hello from Skiff!".
 */
#include "http.h"

#include <stdio.h>
#include <stdlib.h>

#include "http_answer.h"
#include "http_errors.h"
#include "http_path.h"

#define MILLISECOND 1000000ull

struct call {
    wasi_http_types_borrow_incoming_request_t request;
    answer_slot slot;
};

// Requests that this instance has seen.
static unsigned long seen;

static void wait_ms(unsigned long ms) {
    wasi_io_poll_own_pollable_t timer =
        wasi_clocks_monotonic_clock_subscribe_duration(ms * MILLISECOND);
    wasi_io_poll_method_pollable_block(wasi_io_poll_borrow_pollable(timer));
    wasi_io_poll_pollable_drop_own(timer);
}

static void answer_number(answer_slot slot, uint16_t status, const char* format,
                          unsigned long number) {
    char text[96];
    snprintf(text, sizeof text, format, number);
    answer_text(slot, status, text);
}

static void echo(struct call call, char* rest) {
    (void)rest;
    answer_echo(call.slot, call.request);
}

// One line `name: value` for each header, as the guest sees them.
static void headers(struct call call, char* rest) {
    (void)rest;
    wasi_http_types_own_headers_t fields =
        wasi_http_types_method_incoming_request_headers(call.request);
    wasi_http_types_list_tuple2_field_name_field_value_t entries;
    wasi_http_types_method_fields_entries(wasi_http_types_borrow_fields(fields), &entries);
    struct answer answer = begin_text(call.slot, 200);
    for (size_t i = 0; i < entries.len; i++) {
        write_all(answer.stream, entries.ptr[i].f0.ptr, entries.ptr[i].f0.len);
        write_text(answer, ": ");
        write_all(answer.stream, entries.ptr[i].f1.ptr, entries.ptr[i].f1.len);
        write_text(answer, "\n");
    }
    end_body(answer.stream, answer.body, NULL);
    wasi_http_types_list_tuple2_field_name_field_value_free(&entries);
    wasi_http_types_fields_drop_own(fields);
}

static void status(struct call call, char* rest) {
    unsigned long code = strtoul(rest, NULL, 10);
    answer_number(call.slot, (uint16_t)code, "status %lu\n", code);
}

static void trap(struct call call, char* rest) {
    (void)call;
    (void)rest;
    __builtin_trap();
}

static void trap_after(struct call call, char* rest) {
    (void)rest;
    struct answer answer = begin_text(call.slot, 200);
    write_text(answer, "this is not all\n");
    flush(answer);
    __builtin_trap();
}

static void nap(struct call call, char* rest) {
    unsigned long ms = strtoul(rest, NULL, 10);
    wait_ms(ms);
    answer_number(call.slot, 200, "slept %lu ms\n", ms);
}

static void spin(struct call call, char* rest) {
    (void)call;
    (void)rest;
    for (volatile unsigned turns = 0;; turns++) {
    }
}

static void env(struct call call, char* rest) {
    const char* value = getenv(rest);
    answer_text(call.slot, value != NULL ? 200 : 404, value != NULL ? value : "not set\n");
}

// The sum of the body that is sent before it, as the trailer `x-sum`.
static void trailers(struct call call, char* rest) {
    (void)rest;
    wasi_http_types_own_fields_t head = wasi_http_types_constructor_fields();
    add_header(head, "content-type", "text/plain");
    add_header(head, "trailer", "x-sum");
    struct answer answer = begin_answer(call.slot, 200, head);
    write_text(answer, "12 and 30\n");
    wasi_http_types_own_fields_t tail = wasi_http_types_constructor_fields();
    add_header(tail, "x-sum", "42");
    end_body(answer.stream, answer.body, &tail);
}

// KIB kibibytes of headers, or as many as are taken; the body says how many that were.
static void big_headers(struct call call, char* rest) {
    char value[1025];
    memset(value, 'h', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    unsigned long kib = strtoul(rest, NULL, 10), made = 0;
    wasi_http_types_own_fields_t head = wasi_http_types_constructor_fields();
    while (made < kib && try_header(head, "x-big", value)) {
        made++;
    }
    struct answer answer = begin_answer(call.slot, 200, head);
    char text[48];
    snprintf(text, sizeof text, "%lu KiB of headers\n", made);
    write_text(answer, text);
    end_body(answer.stream, answer.body, NULL);
}

static void grow_memory(struct call call, char* rest) {
    unsigned long mib = strtoul(rest, NULL, 10);
    unsigned long got = grow(mib);
    answer_number(call.slot, got == mib ? 200 : 507,
                  got == mib ? "grew %lu MiB\n" : "refused after %lu MiB\n", got);
}

static void count(struct call call, char* rest) {
    (void)rest;
    answer_number(call.slot, 200, "%lu\n", seen);
}

static void file(struct call call, char* rest) {
    char path[1024];
    snprintf(path, sizeof path, "/%s", rest);
    FILE* from = fopen(path, "r");
    if (from == NULL) {
        answer_text(call.slot, 404, "cannot open it\n");
        return;
    }
    struct answer answer = begin_text(call.slot, 200);
    static uint8_t piece[4096];
    size_t length;
    while ((length = fread(piece, 1, sizeof piece, from)) > 0 &&
           write_all(answer.stream, piece, length)) {
    }
    fclose(from);
    end_body(answer.stream, answer.body, NULL);
}

// N bytes, as fast as they are taken.
static void bytes(struct call call, char* rest) {
    static uint8_t piece[CHUNK_BYTES];
    memset(piece, 'x', sizeof piece);
    struct answer answer = begin_text(call.slot, 200);
    unsigned long left = strtoul(rest, NULL, 10);
    while (left > 0) {
        size_t length = left < sizeof piece ? left : sizeof piece;
        if (!write_all(answer.stream, piece, length)) {
            break;
        }
        left -= length;
    }
    end_body(answer.stream, answer.body, NULL);
}

// N numbered lines, MS milliseconds apart.
static void drip(struct call call, char* rest) {
    unsigned long lines, ms;
    two_numbers(rest, &lines, &ms);
    struct answer answer = begin_text(call.slot, 200);
    for (unsigned long line = 0; line < lines; line++) {
        if (line > 0) {
            wait_ms(ms);
        }
        char text[32];
        snprintf(text, sizeof text, "%lu\n", line);
        if (!write_text(answer, text)) {
            break;
        }
        flush(answer);
    }
    end_body(answer.stream, answer.body, NULL);
}

static void say(struct call call, char* rest) {
    printf("%s\n", rest);
    fflush(stdout);
    fprintf(stderr, "%s (stderr)\n", rest);
    answer_text(call.slot, 200, "said\n");
}

// An error instead of a response.
static void error(struct call call, char* rest) {
    wasi_http_types_result_own_outgoing_response_error_code_t result = {.is_err = true};
    result.val.err.tag = WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR;
    result.val.err.val.internal_error.is_some = true;
    http_string_set(&result.val.err.val.internal_error.val, rest);
    wasi_http_types_static_response_outparam_set(call.slot, &result);
}

static void nothing(struct call call, char* rest) {
    (void)rest;
    wasi_http_types_response_outparam_drop_own(call.slot);
}

static void answer_error(answer_slot slot, wasi_http_types_error_code_t* code) {
    struct answer answer = begin_text(slot, 502);
    write_text(answer, "error: ");
    write_text(answer, http_error_name(code->tag));
    if (code->tag == WASI_HTTP_TYPES_ERROR_CODE_INTERNAL_ERROR &&
        code->val.internal_error.is_some) {
        write_text(answer, ": ");
        write_all(answer.stream, code->val.internal_error.val.ptr,
                  code->val.internal_error.val.len);
    }
    write_text(answer, "\n");
    end_body(answer.stream, answer.body, NULL);
    wasi_http_types_error_code_free(code);
}

static wasi_http_types_own_outgoing_request_t make_request(struct url url) {
    wasi_http_types_own_outgoing_request_t request =
        wasi_http_types_constructor_outgoing_request(wasi_http_types_constructor_fields());
    wasi_http_types_borrow_outgoing_request_t to = wasi_http_types_borrow_outgoing_request(request);
    wasi_http_types_scheme_t scheme = {.tag = url.tls ? WASI_HTTP_TYPES_SCHEME_HTTPS
                                                      : WASI_HTTP_TYPES_SCHEME_HTTP};
    http_string_t authority = {(uint8_t*)url.authority, url.authority_bytes};
    char path[2048];
    snprintf(path, sizeof path, "%s%s", url.path[0] == '/' ? "" : "/", url.path);
    http_string_t path_text;
    http_string_set(&path_text, path);
    must(wasi_http_types_method_outgoing_request_set_scheme(to, &scheme));
    must(wasi_http_types_method_outgoing_request_set_authority(to, &authority));
    must(wasi_http_types_method_outgoing_request_set_path_with_query(to, &path_text));
    return request;
}

// Sends the own body of a POST along. Fails with the reason why nothing was sent.
static bool send(struct call call, struct url url, unsigned long timeout_ms,
                 wasi_http_types_own_future_incoming_response_t* future,
                 wasi_http_types_error_code_t* code) {
    wasi_http_types_own_outgoing_request_t request = make_request(url);
    wasi_http_types_method_t method;
    wasi_http_types_method_incoming_request_method(call.request, &method);
    wasi_http_types_own_request_options_t options = wasi_http_types_constructor_request_options();
    wasi_http_types_duration_t timeout = timeout_ms * MILLISECOND;
    wasi_http_types_borrow_request_options_t set = wasi_http_types_borrow_request_options(options);
    if (timeout > 0) {
        must(wasi_http_types_method_request_options_set_connect_timeout(set, &timeout));
        must(wasi_http_types_method_request_options_set_first_byte_timeout(set, &timeout));
        must(wasi_http_types_method_request_options_set_between_bytes_timeout(set, &timeout));
    }
    bool post = method.tag == WASI_HTTP_TYPES_METHOD_POST;
    wasi_http_types_own_incoming_body_t from;
    wasi_http_types_own_outgoing_body_t body;
    wasi_io_streams_own_output_stream_t to;
    if (post) {
        wasi_http_types_borrow_outgoing_request_t out =
            wasi_http_types_borrow_outgoing_request(request);
        must(wasi_http_types_method_outgoing_request_set_method(out, &method));
        must(wasi_http_types_method_incoming_request_consume(call.request, &from));
        must(wasi_http_types_method_outgoing_request_body(out, &body));
        must(wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body),
                                                        &to));
    }
    wasi_http_types_method_free(&method);
    bool sent = wasi_http_outgoing_handler_handle(request, &options, future, code);
    if (post) {
        if (sent && copy_body(from, to)) {
            end_body(to, body, NULL);
        } else {
            cut_body(to, body);
        }
    }
    return sent;
}

// `url=URL`, by `&timeout=MS` at its end with all three timeouts.
static void fetch(struct call call, char* rest) {
    char* option = strstr(rest, "&timeout=");
    unsigned long timeout_ms = option != NULL ? strtoul(option + 9, NULL, 10) : 0;
    if (option != NULL) {
        *option = '\0';
    }
    decode_percent(rest);
    struct url url;
    if (strncmp(rest, "url=", 4) != 0 || !split_url(rest + 4, &url)) {
        answer_text(call.slot, 400, "usage: /fetch?url=http://HOST[:PORT]/PATH[&timeout=MS]\n");
        return;
    }
    wasi_http_types_own_future_incoming_response_t future;
    wasi_http_types_error_code_t code;
    if (!send(call, url, timeout_ms, &future, &code)) {
        answer_error(call.slot, &code);
        return;
    }
    wasi_http_types_borrow_future_incoming_response_t pending =
        wasi_http_types_borrow_future_incoming_response(future);
    wasi_io_poll_own_pollable_t ready =
        wasi_http_types_method_future_incoming_response_subscribe(pending);
    wasi_io_poll_method_pollable_block(wasi_io_poll_borrow_pollable(ready));
    wasi_io_poll_pollable_drop_own(ready);
    wasi_http_types_result_result_own_incoming_response_error_code_void_t result;
    must(wasi_http_types_method_future_incoming_response_get(pending, &result));
    must(!result.is_err);
    wasi_http_types_future_incoming_response_drop_own(future);
    if (result.val.ok.is_err) {
        answer_error(call.slot, &result.val.ok.val.err);
        return;
    }
    wasi_http_types_own_incoming_response_t response = result.val.ok.val.ok;
    wasi_http_types_borrow_incoming_response_t borrowed =
        wasi_http_types_borrow_incoming_response(response);
    wasi_http_types_own_incoming_body_t body;
    must(wasi_http_types_method_incoming_response_consume(borrowed, &body));
    struct answer answer =
        begin_text(call.slot, wasi_http_types_method_incoming_response_status(borrowed));
    if (copy_body(body, answer.stream)) {
        end_body(answer.stream, answer.body, NULL);
    } else {
        cut_body(answer.stream, answer.body);
    }
    wasi_http_types_incoming_response_drop_own(response);
}

static const struct {
    const char* name;
    void (*run)(struct call call, char* rest);
} kVerbs[] = {
    {"big-headers", big_headers},
    {"bytes", bytes},
    {"count", count},
    {"drip", drip},
    {"echo", echo},
    {"env", env},
    {"error", error},
    {"fetch", fetch},
    {"file", file},
    {"grow", grow_memory},
    {"headers", headers},
    {"nothing", nothing},
    {"say", say},
    {"sleep", nap},
    {"spin", spin},
    {"status", status},
    {"trailers", trailers},
    {"trap", trap},
    {"trap-after", trap_after},
};

static void answer_call(struct call call, char* path) {
    for (size_t i = 0; i < sizeof(kVerbs) / sizeof(kVerbs[0]); i++) {
        const char* rest = after_verb(path, kVerbs[i].name);
        if (rest != NULL) {
            kVerbs[i].run(call, (char*)rest);
            return;
        }
    }
    answer_text(call.slot, 200, "Hello from Skiff!\n");
}

void exports_wasi_http_incoming_handler_handle(
    exports_wasi_http_incoming_handler_own_incoming_request_t request,
    exports_wasi_http_incoming_handler_own_response_outparam_t slot) {
    struct call call = {wasi_http_types_borrow_incoming_request(request), slot};
    seen++;
    http_string_t given;
    char path[2048] = "";
    if (wasi_http_types_method_incoming_request_path_with_query(call.request, &given)) {
        snprintf(path, sizeof path, "%.*s", (int)given.len, (const char*)given.ptr);
        http_string_free(&given);
    }
    answer_call(call, path);
    wasi_http_types_incoming_request_drop_own(request);
}
