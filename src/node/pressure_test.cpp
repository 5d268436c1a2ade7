#include "node/pressure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace skiff::node {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class PressureTest : public ::testing::Test {
protected:
    PressureTest() {
        facts.memory_total = 1000_MiB;
        facts.disk_total = 1000_MiB;
        facts.inodes_total = 1000;
        facts.image_disk_total = 1000_MiB;
        facts.image_inodes_total = 1000;
        facts.pids_max = 1000;
        facts.memory_available = 900_MiB;
        facts.disk_available = 900_MiB;
        facts.inodes_available = 900;
        facts.image_disk_available = 900_MiB;
        facts.image_inodes_available = 900;
        facts.pids_used = 100;
        settings.transition_period = seconds(60);
    }
    Pressure make() {
        auto thresholds = thresholds_of(maps);
        EXPECT_TRUE(thresholds) << thresholds.error().message;
        settings.thresholds = *thresholds;
        return Pressure(settings);
    }
    PressureReport at(Pressure& pressure, int second) {
        return pressure.look(facts, SteadyTime(seconds(1000 + second)));
    }

    MachineFacts facts;
    EvictionMaps maps;
    PressureSettings settings;
};

TEST_F(PressureTest, HardThresholdIsDueAtOnceAndItsConditionStays) {
    maps.hard = {{"memory.available", "100Mi"}};
    Pressure pressure = make();
    EXPECT_THAT(at(pressure, 0).conditions, IsEmpty());
    facts.memory_available = 99_MiB;
    PressureReport report = at(pressure, 10);
    EXPECT_THAT(report.conditions, ElementsAre("MemoryPressure"));
    ASSERT_TRUE(report.due);
    EXPECT_EQ(report.resource, "memory");
    EXPECT_EQ(report.quantity, (100_MiB).value);
    EXPECT_EQ(report.available, (99_MiB).value);
    facts.memory_available = 500_MiB;
    report = at(pressure, 20);
    EXPECT_FALSE(report.due);
    EXPECT_THAT(report.conditions, ElementsAre("MemoryPressure"));
    EXPECT_THAT(at(pressure, 69).conditions, ElementsAre("MemoryPressure"));
    EXPECT_THAT(at(pressure, 70).conditions, IsEmpty());
}

TEST_F(PressureTest, SoftThresholdIsDueWhenItLasts) {
    maps.soft = {{"nodefs.available", "20%"}};
    maps.soft_grace = {{"nodefs.available", "30s"}};
    Pressure pressure = make();
    facts.disk_available = 150_MiB;
    PressureReport report = at(pressure, 0);
    EXPECT_THAT(report.conditions, ElementsAre("DiskPressure"));
    EXPECT_FALSE(report.due);
    EXPECT_FALSE(at(pressure, 29).due);
    report = at(pressure, 30);
    ASSERT_TRUE(report.due);
    EXPECT_EQ(report.due->kind, Threshold::Kind::soft);
    facts.disk_available = 900_MiB;
    EXPECT_FALSE(at(pressure, 31).due);
    facts.disk_available = 150_MiB;
    EXPECT_FALSE(at(pressure, 32).due) << "the grace begins anew";
}

TEST_F(PressureTest, ReclaimsMoreThanTheThreshold) {
    maps.hard = {{"nodefs.inodesFree", "10%"}};
    maps.minimum_reclaim = {{"nodefs.inodesFree", "5%"}};
    Pressure pressure = make();
    facts.inodes_available = 120;
    EXPECT_FALSE(at(pressure, 0).due) << "only what was due counts the reclaim in";
    facts.inodes_available = 90;
    EXPECT_EQ(at(pressure, 1).resource, "inodes");
    facts.inodes_available = 120;
    EXPECT_FALSE(pressure.is_relieved(facts));
    EXPECT_TRUE(at(pressure, 2).due);
    facts.inodes_available = 150;
    EXPECT_TRUE(pressure.is_relieved(facts));
    EXPECT_FALSE(at(pressure, 3).due);
}

TEST_F(PressureTest, MemoryGoesFirst) {
    maps.hard = {
        {"imagefs.available", "15%"}, {"memory.available", "5%"}, {"pid.available", "10%"}};
    Pressure pressure = make();
    facts.image_disk_available = 100_MiB;
    facts.pids_used = 950;
    EXPECT_EQ(at(pressure, 0).resource, "ephemeral-storage");
    facts.memory_available = 10_MiB;
    PressureReport report = at(pressure, 1);
    EXPECT_EQ(report.resource, "memory");
    EXPECT_THAT(report.conditions, ElementsAre("MemoryPressure", "DiskPressure", "PIDPressure"));
}

TEST_F(PressureTest, WhatTheMachineDoesNotTellIsNoPressure) {
    maps.hard = {{"nodefs.inodesFree", "5%"}};
    facts.inodes_total = 0;
    facts.inodes_available = 0;
    Pressure pressure = make();
    EXPECT_THAT(at(pressure, 0).conditions, IsEmpty());
}

TEST(ThresholdsOf, NamesWhatIsWrong) {
    EvictionMaps maps;
    maps.hard = {{"memory.free", "1Mi"}};
    EXPECT_THAT(thresholds_of(maps).error().message,
                HasSubstr("evictionHard: memory.free is not a signal of this node"));
    maps.hard = {{"memory.available", "much"}};
    EXPECT_THAT(thresholds_of(maps).error().message, HasSubstr("neither a quantity"));
    maps.hard = {{"memory.available", "0%"}};
    EXPECT_THAT(*thresholds_of(maps), IsEmpty());
    maps.soft = {{"memory.available", "1Gi"}};
    EXPECT_THAT(thresholds_of(maps).error().message, HasSubstr("evictionSoftGracePeriod"));
    maps.soft.clear();
    maps.soft_grace = {{"memory.available", "1m"}};
    EXPECT_THAT(thresholds_of(maps).error().message, HasSubstr("has no evictionSoft"));
}

}  // namespace
}  // namespace skiff::node
