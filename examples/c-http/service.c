/* An HTTP service in C: counts the words of what is posted to it, and greets whoever asks by name.
 *
 * There is no server in here. The host calls `handle` once for each request; by default every request
 * gets a fresh instance, so nothing is shared between them and no memory has to be freed.
 */
#include "service.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef wasi_http_types_own_response_outparam_t response_slot;

// Sends a whole answer.
static void answer(response_slot slot, uint16_t status, const char* text) {
    wasi_http_types_own_fields_t headers = wasi_http_types_constructor_fields();
    wasi_http_types_field_name_t name;
    service_string_set(&name, "content-type");
    wasi_http_types_field_value_t value = {(uint8_t*)"text/plain", strlen("text/plain")};
    wasi_http_types_header_error_t header_error;
    wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(headers), &name, &value,
                                         &header_error);

    wasi_http_types_own_outgoing_response_t response =
        wasi_http_types_constructor_outgoing_response(headers);
    wasi_http_types_borrow_outgoing_response_t borrowed =
        wasi_http_types_borrow_outgoing_response(response);
    wasi_http_types_method_outgoing_response_set_status_code(borrowed, status);
    wasi_http_types_own_outgoing_body_t body;
    wasi_http_types_method_outgoing_response_body(borrowed, &body);
    wasi_http_types_result_own_outgoing_response_error_code_t result = {.is_err = false};
    result.val.ok = response;
    wasi_http_types_static_response_outparam_set(slot, &result);

    wasi_io_streams_own_output_stream_t stream;
    wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body), &stream);
    // One call takes at most 4096 bytes.
    service_list_u8_t bytes = {(uint8_t*)text, strlen(text)};
    wasi_io_streams_stream_error_t stream_error;
    wasi_io_streams_method_output_stream_blocking_write_and_flush(
        wasi_io_streams_borrow_output_stream(stream), &bytes, &stream_error);
    wasi_io_streams_output_stream_drop_own(stream);
    wasi_http_types_error_code_t error;
    wasi_http_types_static_outgoing_body_finish(body, NULL, &error);
}

// Reads the body to its end, however long it is, and keeps nothing of it.
static unsigned long count_words(wasi_http_types_borrow_incoming_request_t request) {
    wasi_http_types_own_incoming_body_t body;
    wasi_io_streams_own_input_stream_t stream;
    if (!wasi_http_types_method_incoming_request_consume(request, &body) ||
        !wasi_http_types_method_incoming_body_stream(wasi_http_types_borrow_incoming_body(body),
                                                     &stream)) {
        return 0;
    }
    unsigned long words = 0;
    bool inside = false;
    service_list_u8_t piece;
    wasi_io_streams_stream_error_t error;
    while (wasi_io_streams_method_input_stream_blocking_read(
        wasi_io_streams_borrow_input_stream(stream), 65536, &piece, &error)) {
        for (size_t i = 0; i < piece.len; i++) {
            bool letter = !isspace(piece.ptr[i]);
            words += letter && !inside;
            inside = letter;
        }
        service_list_u8_free(&piece);
    }
    return words;
}

void exports_wasi_http_incoming_handler_handle(
    exports_wasi_http_incoming_handler_own_incoming_request_t request,
    exports_wasi_http_incoming_handler_own_response_outparam_t slot) {
    wasi_http_types_borrow_incoming_request_t borrowed =
        wasi_http_types_borrow_incoming_request(request);
    service_string_t path = {(uint8_t*)"/", 1};
    wasi_http_types_method_incoming_request_path_with_query(borrowed, &path);
    wasi_http_types_method_t method;
    wasi_http_types_method_incoming_request_method(borrowed, &method);

    char text[256];
    if (method.tag == WASI_HTTP_TYPES_METHOD_POST) {
        snprintf(text, sizeof text, "%lu words\n", count_words(borrowed));
        answer(slot, 200, text);
    } else if (path.len > 7 && path.len < 200 && memcmp(path.ptr, "/hello/", 7) == 0) {
        const char* greeting = getenv("GREETING");
        snprintf(text, sizeof text, "%.40s, %.*s!\n", greeting != NULL ? greeting : "Hello",
                 (int)path.len - 7, (const char*)path.ptr + 7);
        answer(slot, 200, text);
    } else {
        answer(slot, 404, "GET /hello/NAME, or POST a text\n");
    }
}
