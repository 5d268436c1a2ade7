#include "base/assert.h"

#include <fmt/format.h>

#include <atomic>
#include <bit>
#include <cstdio>
#include <cstdlib>

#include "base/log.h"

namespace skiff {

static std::atomic<std::uint64_t> g_bugs{0};

void assert_failed(std::string_view expression, std::string_view detail,
                   std::source_location where) {
    fmt::print(stderr, "{}:{}: assertion failed: {}{}{}\n", where.file_name(), where.line(),
               expression, detail.empty() ? "" : ": ", detail);
    std::abort();
}

void bug(std::string_view what, std::source_location where) {
#ifdef SKIFF_TEST_BUILD
    assert_failed("SKIFF_BUG", what, where);
#else
    std::uint64_t count = ++g_bugs;
    if (std::has_single_bit(count)) {
        log::error("doubtful invariant", log::kv("what", what), log::kv("count", count),
                   log::kv("at", fmt::format("{}:{}", where.file_name(), where.line())));
    }
#endif
}

std::uint64_t bug_count() {
    return g_bugs.load();
}

}  // namespace skiff
