#include "engine/runner_policy.h"

#include <gtest/gtest.h>

namespace skiff::engine {
namespace {

wire::Grant grant_of(wire::Purpose purpose) {
    wire::Grant grant;
    grant.container_id = "a";
    grant.identity.host_base = 1 << 16;
    grant.purpose = purpose;
    return grant;
}

std::uint64_t open_files(wire::Purpose purpose) {
    const auto policy = policy_of(grant_of(purpose), {}, Privilege::full, Lifetime::independent);
    return policy ? policy->limits.open_files_max : 0;
}

TEST(RunnerPolicy, ConnectionsOfAServerTakeNoDescriptorsFromItsGuest) {
    const auto guests = grant_of(wire::Purpose::command).limits.open_files_max;
    EXPECT_EQ(open_files(wire::Purpose::command), guests);
    EXPECT_EQ(open_files(wire::Purpose::server), guests + kConnectionsMax);
}

}  // namespace
}  // namespace skiff::engine
