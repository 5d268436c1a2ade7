#include "wire/message.h"

#include "base/fuzz.h"

namespace skiff::wire {

static void check_limits(const Message& message) {
    if (const auto* running = std::get_if<Running>(&message)) {
        SKIFF_ASSERT(running->items.size() <= kRunningItemsMax);
    }
    if (const auto* exited = std::get_if<Exited>(&message)) {
        SKIFF_ASSERT(exited->message.size() <= kExitMessageBytesMax);
        // The checksum of an exit file keeps random bytes out; what it holds is an Exited.
        const auto back = decode_exit_file(encode_exit_file(*exited));
        SKIFF_ASSERT(back && *back == *exited);
    }
}

SKIFF_FUZZ(wire_message) {
    if (auto exited = decode_exit_file(bytes)) {
        SKIFF_ASSERT(decode_exit_file(encode_exit_file(*exited)) == *exited);
    } else {
        fuzz::check_error(exited.error());
    }
    const auto message = decode_message(bytes);
    if (!message) {
        fuzz::check_error(message.error());
        return;
    }
    check_limits(*message);
    const std::string packet = encode_message(*message);
    const auto again = decode_message(packet);
    SKIFF_ASSERT(again && *again == *message);
    SKIFF_ASSERT(encode_message(*again) == packet);
}

}  // namespace skiff::wire
