#include "wire/runner_page.h"

#include <algorithm>
#include <numeric>

#include "base/text.h"

namespace skiff::wire {

std::string initial_page(std::span<const std::uint64_t> inodes, std::uint64_t slot_bytes_max) {
    RunnerPage page{};
    page.magic = kRunnerPageMagic;
    page.version = 1;
    page.log_slots = static_cast<std::uint32_t>(std::min(inodes.size(), kLogSlotsMax));
    page.log_slot_bytes_max = slot_bytes_max;
    for (std::uint32_t i = 0; i < page.log_slots; ++i) {
        page.slots[i].inode = inodes[i];
    }
    std::string bytes(kPageMessageOffset, '\0');
    std::memcpy(bytes.data(), &page, sizeof page);
    return bytes;
}

Result<PageView> parse_page(std::string_view bytes) {
    if (bytes.size() < kPageMessageOffset || bytes.size() > kRunnerPageBytes) {
        return fail(Code::corrupt, "a runner's page of {} bytes", bytes.size());
    }
    RunnerPage page;
    std::memcpy(&page, bytes.data(), sizeof page);
    if (page.magic != kRunnerPageMagic || page.version != 1) {
        return fail(Code::corrupt, "not a runner's page");
    }
    if (page.phase > static_cast<std::uint32_t>(RunnerPhase::ended) ||
        page.log_slots > kLogSlotsMax || page.outcome > 5 ||
        (page.log_slots > 0 && page.log_current >= page.log_slots)) {
        return fail(Code::corrupt, "a runner's page is out of its bounds");
    }
    PageView view;
    view.phase = static_cast<RunnerPhase>(page.phase);
    view.current = page.log_current;
    view.slot_bytes_max = page.log_slot_bytes_max;
    view.lines = page.log_lines;
    view.lines_lost = page.log_lines_lost;
    view.log_wait_us = page.log_wait_us;
    view.slots.assign(page.slots.begin(), page.slots.begin() + page.log_slots);
    view.settled = page.log_sequence % 2 == 0;
    view.ordered_monotonic_ns = page.ordered_monotonic_ns;
    view.running_monotonic_ns = page.running_monotonic_ns;
    view.started_ns = page.started_ns;
    view.finished_ns = page.finished_ns;
    if (view.phase == RunnerPhase::ended) {
        view.outcome = page.outcome;
        view.exit_code = page.exit_code;
        const std::size_t length =
            std::min({static_cast<std::size_t>(page.message_bytes), kExitMessageBytesMax,
                      bytes.size() - kPageMessageOffset});
        view.message = bounded_utf8(bytes.substr(kPageMessageOffset, length), kExitMessageBytesMax);
    }
    view.memory_bytes_peak = page.memory_bytes_peak;
    view.memory_bytes_refused = page.memory_bytes_refused;
    view.memory_bytes_limit = page.memory_bytes_limit;
    view.memory_bytes_now = page.memory_bytes_now;
    view.features = page.features;
    view.counters = page.counters;
    return view;
}

std::vector<std::uint32_t> slots_in_order(const PageView& page) {
    std::vector<std::uint32_t> order;
    for (std::uint32_t i = 0; i < page.slots.size(); ++i) {
        if (page.slots[i].turn > 0) {
            order.push_back(i);
        }
    }
    std::ranges::sort(order, {}, [&](std::uint32_t i) { return page.slots[i].turn; });
    return order;
}

Exited exited_from_page(const PageView& page) {
    Exited exited;
    exited.started_ns = page.started_ns;
    exited.finished_ns = page.finished_ns;
    exited.memory_bytes_peak = page.memory_bytes_peak;
    exited.message = page.message;
    exited.exit_code = 137;
    exited.kind = ExitKind::killed;
    switch (page.outcome) {
        case 1:
            exited.kind = ExitKind::exited;
            exited.exit_code = page.exit_code & 0xff;
            exited.message.clear();
            break;
        case 2:
            exited.kind = ExitKind::trapped;
            exited.exit_code = 134;
            break;
        case 3:
            exited.kind = ExitKind::out_of_memory;
            break;
        case 4:
            exited.kind = ExitKind::host_panic;
            exited.exit_code = 134;
            break;
        case 5:
            exited.kind = ExitKind::start_failed;
            exited.exit_code = 128;
            break;
        default:
            exited.message = "its end was not seen by anybody";
            break;
    }
    return exited;
}

}  // namespace skiff::wire
