#include "wire/runner_page.h"

#include "base/fuzz.h"
#include "base/text.h"

namespace skiff::wire {

static void check_page(std::string_view bytes) {
    const auto page = parse_page(bytes);
    if (!page) {
        fuzz::check_error(page.error());
        return;
    }
    SKIFF_ASSERT(page->slots.size() <= kLogSlotsMax);
    SKIFF_ASSERT(page->slots.empty() || page->current < page->slots.size());
    SKIFF_ASSERT(page->message.size() <= kExitMessageBytesMax);
    SKIFF_ASSERT(bounded_utf8(page->message, page->message.size()) == page->message);
    const auto order = slots_in_order(*page);
    for (std::size_t i = 0; i < order.size(); ++i) {
        SKIFF_ASSERT(order[i] < page->slots.size());
        SKIFF_ASSERT(i == 0 || page->slots[order[i - 1]].turn <= page->slots[order[i]].turn);
    }
    const Exited exited = exited_from_page(*page);
    SKIFF_ASSERT(exited.exit_code >= 0 && exited.exit_code <= 255);
    SKIFF_ASSERT(decode_exit_file(encode_exit_file(exited)) == exited);
}

// The input is the page's fields, then the message, which a page has further back.
SKIFF_FUZZ(wire_runner_page) {
    check_page(bytes);
    std::string file(kRunnerPageBytes, '\0');
    const std::string_view fields = bytes.substr(0, sizeof(RunnerPage));
    const std::string_view message = bytes.substr(fields.size()).substr(0, kExitMessageBytesMax);
    std::ranges::copy(fields, file.begin());
    std::ranges::copy(message, file.begin() + kPageMessageOffset);
    check_page(file);
}

}  // namespace skiff::wire
