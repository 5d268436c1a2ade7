#include "engine/fresh.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

namespace skiff::engine {
namespace {

TEST(FreshSecrets, PutEachForksNewMemoryElsewhere) {
    std::set<void*> places;
    constexpr int kForks = 8;
    for (int i = 0; i < kForks; ++i) {
        int ends[2];
        ASSERT_EQ(::pipe(ends), 0);
        const pid_t pid = ::fork();
        if (pid == 0) {
            draw_fresh_secrets();
            void* place = ::mmap(nullptr, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
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

}  // namespace
}  // namespace skiff::engine
