#include "node/remotedialer.h"

#include "base/fuzz.h"

namespace skiff::node {

SKIFF_FUZZ(node_remotedialer) {
    const auto message = parse_dial_message(bytes);
    if (!message) {
        fuzz::check_error(message.error());
        return;
    }
    SKIFF_ASSERT(message->payload.size() < bytes.size());
    const auto target = parse_dial_target(message->payload);
    if (!target) {
        fuzz::check_error(target.error());
    } else {
        SKIFF_ASSERT(target->port != 0 && !target->host.empty() && !target->protocol.empty());
    }
    if (message->type == DialMessageType::error) {
        return;  // its text is cut
    }
    const std::string again = format_dial_message(*message);
    SKIFF_ASSERT(*parse_dial_message(again) == *message);
}

}  // namespace skiff::node
