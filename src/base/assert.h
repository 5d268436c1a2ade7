// What to do about bugs: SKIFF_ASSERT aborts always, SKIFF_BUG aborts in tests and is counted in
// production.
#pragma once

#include <cstdint>
#include <source_location>
#include <string_view>

namespace skiff {

[[noreturn]] void assert_failed(std::string_view expression, std::string_view detail,
                                std::source_location where = std::source_location::current());

// Reports a doubtful invariant. Aborts in a test build; else logs (at the 1st, 2nd, 4th, 8th …
// time) and counts.
void bug(std::string_view what, std::source_location where = std::source_location::current());

// How often bug() was called in this process; published as a metric.
std::uint64_t bug_count();

}  // namespace skiff

// A caller or the code itself is wrong: the process dies, is restarted, and the pods live on.
#define SKIFF_ASSERT(expression, ...)                                           \
    do {                                                                        \
        if (!(expression)) [[unlikely]] {                                       \
            ::skiff::assert_failed(#expression, std::string_view{__VA_ARGS__}); \
        }                                                                       \
    } while (false)

#define SKIFF_BUG(what) ::skiff::bug(what)
