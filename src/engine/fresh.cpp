#include "engine/fresh.h"

#include <sys/mman.h>
#include <sys/random.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>

#include "base/sanitizer.h"

namespace skiff::engine {

namespace {

#if defined(__x86_64__)
// The C library keeps both words at fixed places of the thread's control block, on this
// architecture only. The lowest byte of a canary is zero, so that no string can carry it.
[[gnu::no_stack_protector]] void set_thread_secrets(std::uint64_t canary, std::uint64_t guard) {
    asm volatile("movq %0, %%fs:0x28" ::"r"(canary & ~0xffULL));
    asm volatile("movq %0, %%fs:0x30" ::"r"(guard));
}
#else
void set_thread_secrets(std::uint64_t, std::uint64_t) {}
#endif

// Addresses without memory.
void* reserve(std::size_t bytes) {
    return ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

constexpr int kHolesMax = 64;  // of one size

constexpr std::size_t kBlockMax = 64UL << 10;  // larger holes are not left by the keeper's birth
constexpr int kBlocksMax = 100'000;

}  // namespace

void fill_heap() {
    if constexpr (kAddressSanitizer || kThreadSanitizer) {
        return;  // the heap of a sanitizer has no holes of this kind, and grows without end
    }
    // Larger than any hole, so it lies behind them all.
    void* const end = std::malloc(kBlockMax + kBlockMax / 2);
    int blocks = 0;
    for (std::size_t size = kBlockMax; size >= 16; size -= std::max(size / 16, std::size_t{16})) {
        void* block = nullptr;
        // What lies in a hole is kept, for good.
        while ((block = std::malloc(size)) != nullptr && std::less<>{}(block, end) &&
               ++blocks < kBlocksMax) {
        }
        std::free(block);
    }
    std::free(end);
}

void draw_fresh_secrets() {
    std::uint64_t random[3] = {};
    if (::getrandom(random, sizeof random, 0) != sizeof random) {
        return;
    }
    set_thread_secrets(random[0], random[1]);
    // Up to 4 TiB of nothing: no memory, one entry in the kernel's list. New mappings go below it.
    constexpr std::uint64_t kPages = 1ULL << 30;
    const std::size_t bytes = (1 + random[2] % kPages) * 4096;
    const void* gap = reserve(bytes);
    // What is small would still fall into a hole between two libraries, at the same place in every
    // fork: they are closed, the larger ones first.
    for (std::size_t hole = 4UL << 20; hole >= 64UL << 10; hole /= 2) {
        for (int i = 0; i < kHolesMax; ++i) {
            void* filled = reserve(hole);
            if (filled == MAP_FAILED || filled < gap) {
                (void)::munmap(filled, hole);
                break;
            }
        }
    }
}

}  // namespace skiff::engine
