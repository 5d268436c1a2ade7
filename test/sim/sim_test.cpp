#include <gtest/gtest.h>

#include "simulation.h"

namespace skiff::sim {
namespace {

constexpr std::uint64_t kSeeds = 1000;

TEST(Simulation, BreaksNoRuleInAThousandLives) {
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        Outcome outcome = simulate(seed);
        ASSERT_FALSE(outcome.broken)
            << *outcome.broken << "\nreplay: skiff_sim --seed " << seed << " --trace";
    }
}

// Lives that once broke a rule: restarts that went back after a reboot; an init container that was
// left out; an end without its grace, after a restart of all containers in the pod's end before;
// starts that were cancelled for good, by an end that such a restart overtook.
TEST(Simulation, BreaksNoRuleWhereItOnceDid) {
    for (std::uint64_t seed : {18U, 15752U, 53583U, 69165U, 73781U}) {
        Outcome outcome = simulate(seed);
        EXPECT_FALSE(outcome.broken) << "seed " << seed << ": " << *outcome.broken;
    }
}

TEST(Simulation, RepeatsALifeExactlyFromItsSeed) {
    for (std::uint64_t seed : {7U, 77U, 777U}) {
        Outcome first = simulate(seed);
        Outcome second = simulate(seed);
        EXPECT_GT(first.happenings, 20U);
        EXPECT_EQ(first.happenings, second.happenings);
        EXPECT_EQ(first.pod_hours, second.pod_hours);
    }
}

}  // namespace
}  // namespace skiff::sim
