#include "app/memory.h"

#include <malloc.h>

#include <algorithm>

namespace skiff::app {

namespace {

constexpr auto kLook = std::chrono::seconds(1);
constexpr std::size_t kStir = 64UL << 10;    // less than this moves at rest, too
constexpr std::size_t kWorthIt = 1UL << 20;  // bytes that have become free since the last time

}  // namespace

async::Task<void> return_memory(async::BlockingPool& pool) {
    std::size_t kept = 0;  // free after the last time: parts of pages that hold something
    std::size_t before = 0;
    while (co_await async::sleep_for(kLook)) {
        const std::size_t free = ::mallinfo2().fordblks;
        const bool quiet = free <= before + kStir;
        before = free;
        kept = std::min(kept, free);
        if (!quiet || free < kept + kWorthIt) {
            continue;
        }
        auto trim = []() -> Result<void> {
            ::malloc_trim(0);
            return {};
        };
        auto trimmed = co_await pool.run(trim);
        if (trimmed) {
            kept = ::mallinfo2().fordblks;
        }
    }
}

}  // namespace skiff::app
