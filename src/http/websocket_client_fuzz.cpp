#include "http/websocket_client.h"

#include "base/fuzz.h"

namespace skiff::http {

SKIFF_FUZZ(http_websocket_client) {
    constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";
    const auto checked = check_websocket_answer(bytes, kKey);
    if (!checked) {
        fuzz::check_error(checked.error());
        return;
    }
    SKIFF_ASSERT(bytes.find(websocket_accept(kKey)) != std::string_view::npos);
}

}  // namespace skiff::http
