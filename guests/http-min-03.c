/* http-min-03: http-min for WASI 0.3. An echo hands the request's body and trailers on as the
 * response's: in 0.3 the guest need not touch them.
 *
 * After the head there is little left to do for a request: `struct call` has the steps. Whatever
 * waits gives the control back to the host.
 */
#include "http3.h"

#include <stdlib.h>
#include <string.h>

static const char kText[] = "Hello from Skiff!\n";

struct call {
    enum { kWriteText, kWriteTrailers, kWriteTaken, kDone } step;
    http3_waitable_set_t set;
    uint32_t handle;  // Of what the step writes to.
    wasi_http_types_future_result_option_own_trailers_error_code_writer_t trailers;
    size_t written;
};

static void must(bool ok) {
    if (!ok) {
        __builtin_trap();
    }
}

static bool wants_echo(wasi_http_types_own_request_t request) {
    http3_string_t path;
    if (!wasi_http_types_method_request_get_path_with_query(wasi_http_types_borrow_request(request),
                                                            &path)) {
        return false;
    }
    bool echo = path.len == 5 && memcmp(path.ptr, "/echo", 5) == 0;
    http3_string_free(&path);
    return echo;
}

static void send_head(wasi_http_types_stream_u8_t body,
                      wasi_http_types_future_result_option_own_trailers_error_code_t trailers) {
    wasi_http_types_own_fields_t headers = wasi_http_types_constructor_fields();
    wasi_http_types_field_name_t name;
    http3_string_set(&name, "content-type");
    wasi_http_types_field_value_t value = {(uint8_t*)"text/plain", strlen("text/plain")};
    wasi_http_types_header_error_t error;
    must(wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(headers), &name, &value,
                                              &error));
    wasi_http_types_tuple2_own_response_future_result_void_error_code_t made;
    wasi_http_types_static_response_new(headers, &body, trailers, &made);
    wasi_http_types_future_result_void_error_code_drop_readable(made.f1);
    exports_wasi_http_handler_result_own_response_error_code_t result = {.is_err = false};
    result.val.ok = made.f0;
    exports_wasi_http_handler_handle_return(result);
}

static void begin_hello(struct call* call, wasi_http_types_own_request_t request) {
    wasi_http_types_request_drop_own(request);
    wasi_http_types_stream_u8_t body = wasi_http_types_stream_u8_new(&call->handle);
    send_head(body,
              wasi_http_types_future_result_option_own_trailers_error_code_new(&call->trailers));
    call->step = kWriteText;
}

static void begin_echo(struct call* call, wasi_http_types_own_request_t request) {
    wasi_http_types_tuple2_stream_u8_future_result_option_own_trailers_error_code_t body;
    wasi_http_types_static_request_consume_body(
        request, wasi_http_types_future_result_void_error_code_new(&call->handle), &body);
    send_head(body.f0, body.f1);
    call->step = kWriteTaken;
}

static http3_waitable_status_t begin_step(struct call* call) {
    static const wasi_http_types_result_void_error_code_t kTaken = {.is_err = false};
    static const wasi_http_types_result_option_own_trailers_error_code_t kNone = {.is_err = false};
    switch (call->step) {
        case kWriteText:
            return wasi_http_types_stream_u8_write(call->handle,
                                                   (const uint8_t*)kText + call->written,
                                                   sizeof kText - 1 - call->written);
        case kWriteTrailers:
            return wasi_http_types_future_result_option_own_trailers_error_code_write(call->handle,
                                                                                      &kNone);
        default:
            return wasi_http_types_future_result_void_error_code_write(call->handle, &kTaken);
    }
}

static void end_step(struct call* call, http3_waitable_status_t status) {
    switch (call->step) {
        case kWriteText:
            call->written += HTTP3_WAITABLE_COUNT(status);
            if (call->written < sizeof kText - 1 &&
                HTTP3_WAITABLE_STATE(status) == HTTP3_WAITABLE_COMPLETED) {
                return;
            }
            wasi_http_types_stream_u8_drop_writable(call->handle);
            call->handle = call->trailers;
            call->step = kWriteTrailers;
            return;
        case kWriteTrailers:
            wasi_http_types_future_result_option_own_trailers_error_code_drop_writable(
                call->handle);
            break;
        default:
            wasi_http_types_future_result_void_error_code_drop_writable(call->handle);
            break;
    }
    call->step = kDone;
}

static http3_callback_code_t go_on(struct call* call) {
    while (call->step != kDone) {
        http3_waitable_status_t status = begin_step(call);
        if (status == HTTP3_WAITABLE_STATUS_BLOCKED) {
            http3_waitable_join(call->handle, call->set);
            return HTTP3_CALLBACK_CODE_WAIT(call->set);
        }
        end_step(call, status);
    }
    http3_waitable_set_drop(call->set);
    free(call);
    return HTTP3_CALLBACK_CODE_EXIT;
}

http3_callback_code_t exports_wasi_http_handler_handle(
    exports_wasi_http_handler_own_request_t request) {
    struct call* call = calloc(1, sizeof *call);
    must(call != NULL);
    call->set = http3_waitable_set_new();
    http3_context_set_0(call);
    if (wants_echo(request)) {
        begin_echo(call, request);
    } else {
        begin_hello(call, request);
    }
    return go_on(call);
}

http3_callback_code_t exports_wasi_http_handler_handle_callback(http3_event_t* event) {
    struct call* call = http3_context_get_0();
    if (event->event == HTTP3_EVENT_CANCEL) {
        http3_task_cancel();
        return HTTP3_CALLBACK_CODE_EXIT;
    }
    http3_waitable_join(call->handle, 0);
    end_step(call, event->code);
    return go_on(call);
}
