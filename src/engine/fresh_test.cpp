#include "engine/fresh.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

namespace skiff::engine {
namespace {

// As large as the code of a module, small and large.
class FreshSecrets : public ::testing::TestWithParam<std::size_t> {};

TEST_P(FreshSecrets, PutEachForksNewMemoryElsewhere) {
    const std::size_t size = GetParam();
    std::set<void*> places;
    constexpr int kForks = 8;
    for (int i = 0; i < kForks; ++i) {
        int ends[2];
        ASSERT_EQ(::pipe(ends), 0);
        const pid_t pid = ::fork();
        if (pid == 0) {
            draw_fresh_secrets();
            void* place = ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            (void)!::write(ends[1], &place, sizeof place);
            ::_exit(0);
        }
        void* place = nullptr;
        ASSERT_EQ(::read(ends[0], &place, sizeof place), static_cast<ssize_t>(sizeof place));
        places.insert(place);
        ::close(ends[0]);
        ::close(ends[1]);
        ::waitpid(pid, nullptr, 0);
    }
    EXPECT_EQ(places.size(), kForks);
}

INSTANTIATE_TEST_SUITE_P(Sizes, FreshSecrets, ::testing::Values(64 << 10, 1 << 20, 32 << 20));

}  // namespace
}  // namespace skiff::engine
