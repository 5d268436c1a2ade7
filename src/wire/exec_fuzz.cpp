#include "base/fuzz.h"
#include "wire/exec.h"

namespace skiff::wire {

SKIFF_FUZZ(wire_exec) {
    if (const auto answer = decode_exec_answer(bytes)) {
        SKIFF_ASSERT(decode_exec_answer(encode_exec_answer(*answer)).has_value());
    }
    const auto request = decode_exec_request(bytes);
    if (!request) {
        fuzz::check_error(request.error());
        return;
    }
    const auto text = encode_exec_request(*request);
    if (text) {
        const auto again = decode_exec_request(*text);
        SKIFF_ASSERT(again && *again == *request);
    }
}

}  // namespace skiff::wire
