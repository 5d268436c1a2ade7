/* http-min: the smallest HTTP service, for measuring servers. `/echo` sends the request's body
 * back; any other path answers "Hello from Skiff!".
 *
 * It imports nothing but wasi:http, so its instance has one small memory and no adapter.
 */
#include "http.h"
#include "http_answer.h"

static bool wants_echo(wasi_http_types_borrow_incoming_request_t request) {
    http_string_t path;
    if (!wasi_http_types_method_incoming_request_path_with_query(request, &path)) {
        return false;
    }
    bool echo = path.len == 5 && memcmp(path.ptr, "/echo", 5) == 0;
    http_string_free(&path);
    return echo;
}

void exports_wasi_http_incoming_handler_handle(
    exports_wasi_http_incoming_handler_own_incoming_request_t request,
    exports_wasi_http_incoming_handler_own_response_outparam_t slot) {
    wasi_http_types_borrow_incoming_request_t borrowed =
        wasi_http_types_borrow_incoming_request(request);
    if (wants_echo(borrowed)) {
        answer_echo(slot, borrowed);
    } else {
        answer_text(slot, 200, "Hello from Skiff!\n");
    }
    wasi_http_types_incoming_request_drop_own(request);
}
