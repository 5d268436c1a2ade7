#include "http/status.h"

namespace skiff::http {

std::optional<Code> code_of_status(int status) {
    switch (status) {
        case 401:
            return Code::unauthenticated;
        case 403:
            return Code::denied;
        case 404:
            return Code::not_found;
        default:
            return status == 429 || status >= 500 ? std::optional(Code::unavailable) : std::nullopt;
    }
}

}  // namespace skiff::http
