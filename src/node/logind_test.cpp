#include "node/logind.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "async/scope.h"
#include "node/fake_logind.h"

namespace skiff::node {
namespace {

using fakes::Bus;
using fakes::FakeLogind;
using ::testing::HasSubstr;

class LogindTest : public ::testing::Test {
protected:
    void SetUp() override {
        if (bus.address().empty()) {
            GTEST_SKIP() << "needs dbus-daemon";
        }
    }
    Bus bus;
    async::Reactor reactor;
};

TEST_F(LogindTest, HoldsTheShutdownBackAndHearsOfIt) {
    FakeLogind fake(bus.address());
    auto logind = Logind::connect(bus.address());
    ASSERT_TRUE(logind) << logind.error().message;
    EXPECT_EQ((*logind)->delay_max(), std::chrono::seconds(5));
    ASSERT_TRUE((*logind)->hold_back());
    EXPECT_EQ(fake.what, "shutdown skiff delay");
    EXPECT_FALSE(fake.is_let_go(0));
    fake.say(1);
    auto change = async::run_to_end(reactor, (*logind)->next());
    ASSERT_TRUE(change);
    EXPECT_EQ(*change, Logind::Change::begins);
    (*logind)->let_go();
    EXPECT_TRUE(fake.is_let_go(5000));
    fake.say(0);
    change = async::run_to_end(reactor, (*logind)->next());
    ASSERT_TRUE(change);
    EXPECT_EQ(*change, Logind::Change::called_off);
}

TEST_F(LogindTest, SaysWhenThereIsNone) {
    auto logind = Logind::connect(bus.address());
    ASSERT_FALSE(logind);
    EXPECT_EQ(logind.error().code, Code::unavailable);
    EXPECT_THAT(logind.error().message, HasSubstr("logind"));
    EXPECT_FALSE(Logind::connect("unix:path=/nowhere/bus"));
}

}  // namespace
}  // namespace skiff::node
