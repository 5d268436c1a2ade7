#include "app/memory.h"

#include <malloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/text.h"
#include "os/file.h"

namespace skiff::app {

namespace {

constexpr auto kLook = std::chrono::seconds(1);
constexpr std::size_t kStir = 64UL << 10;    // less than this moves at rest, too
constexpr std::size_t kWorthIt = 1UL << 20;  // bytes that have become free since the last time

// Unmaps the pages of the code that the line of /proc/self/maps is about. Nothing writes to code,
// so its pages are the file's: the next instruction on one of them maps it again.
void let_go(std::string_view line) {
    const auto words = split(line, ' ');
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    if (words.size() < 6 || words[1] != "r-xp" || !words.back().starts_with('/')) {
        return;
    }
    const auto* const last = words[0].data() + words[0].size();
    const auto first = std::from_chars(words[0].data(), last, begin, 16);
    if (first.ec == std::errc() && first.ptr != last &&
        std::from_chars(first.ptr + 1, last, end, 16).ec == std::errc() && begin < end) {
        // Best effort: the worst is that it stays mapped.
        (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    }
}

void let_go_of_code() {
    auto maps = os::read_file("/proc/self/maps", 1_MiB);
    if (maps) {
        for (std::string_view line : split(*maps, '\n')) {
            let_go(line);
        }
    }
}

}  // namespace

void share_one_heap() {
    // It can only refuse a parameter that it does not know.
    (void)::mallopt(M_ARENA_MAX, 1);
}

async::Task<void> return_memory(async::BlockingPool& pool) {
    // Free after the last time: parts of pages that hold something. Nullopt before the first.
    std::optional<std::size_t> kept;
    std::size_t before = 0;
    while (co_await async::sleep_for(kLook)) {
        const std::size_t free = ::mallinfo2().fordblks;
        const bool quiet = free <= before + kStir;
        before = free;
        if (kept) {
            kept = std::min(*kept, free);
        }
        if (!quiet || (kept && free < *kept + kWorthIt)) {
            continue;
        }
        auto trim = []() -> Result<void> {
            ::malloc_trim(0);
            let_go_of_code();
            return {};
        };
        auto trimmed = co_await pool.run(trim);
        if (trimmed) {
            kept = ::mallinfo2().fordblks;
        }
    }
}

}  // namespace skiff::app
