#include "os/cgroup_detail.h"

#include <gtest/gtest.h>

#include <fstream>

namespace skiff::os {
namespace {

using namespace std::chrono_literals;

// Groups as the kernel shows them, in files of its own.
class CgroupDetailTest : public ::testing::Test {
protected:
    CgroupDetailTest() { std::filesystem::create_directories(base_); }
    ~CgroupDetailTest() override { std::filesystem::remove_all(base_); }
    void write(const std::string& name, std::string_view text) {
        auto path = base_ / name;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path) << text;
    }
    const std::filesystem::path base_ =
        std::filesystem::path(::testing::TempDir()) /
        ("cgroup_detail." + std::to_string(::getpid()) + "." +
         ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(CgroupDetailTest, ReadsVersionOne) {
    write("cpu/cpu.stat", "nr_periods 10\nnr_throttled 4\nthrottled_time 1500000000\n");
    write("cpu/cpu.shares", "512\n");
    write("cpu/cpu.cfs_quota_us", "50000\n");
    write("cpu/cpu.cfs_period_us", "100000\n");
    write("cpuacct/cpuacct.usage", "7000000000\n");
    write("cpuacct/cpuacct.stat", "user 500\nsystem 200\n");
    write("memory/memory.usage_in_bytes", "1000\n");
    write("memory/memory.max_usage_in_bytes", "2000\n");
    write("memory/memory.limit_in_bytes", "9223372036854771712\n");
    write("memory/memory.failcnt", "3\n");
    write("memory/memory.stat",
          "rss 1\ntotal_rss 400\ntotal_cache 500\ntotal_mapped_file 50\ntotal_swap 6\n"
          "total_inactive_file 300\ntotal_pgfault 70\ntotal_pgmajfault 8\n");
    write("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
    write("pids/pids.current", "5\n");
    write("pids/cgroup.procs", "100\n101\n");
    CgroupPlace place{{base_ / "pids", base_ / "memory", base_ / "cpuacct", base_ / "cpu"}, {}};
    CgroupDetail detail = cgroup_detail(place);
    EXPECT_EQ(detail.cpu, 7s);
    EXPECT_EQ(detail.cpu_user, 5s);
    EXPECT_EQ(detail.cpu_system, 2s);
    EXPECT_EQ(detail.periods, 10U);
    EXPECT_EQ(detail.periods_throttled, 4U);
    EXPECT_EQ(detail.throttled, 1500ms);
    EXPECT_EQ(detail.cpu_shares, 512U);
    EXPECT_EQ(detail.cpu_quota_us, 50'000);
    EXPECT_EQ(detail.cpu_period_us, 100'000);
    EXPECT_EQ(detail.memory, Bytes{1000});
    EXPECT_EQ(detail.memory_peak, Bytes{2000});
    EXPECT_EQ(detail.memory_limit, std::nullopt);
    EXPECT_EQ(detail.working_set, Bytes{700});
    EXPECT_EQ(detail.anonymous, Bytes{400});
    EXPECT_EQ(detail.file, Bytes{500});
    EXPECT_EQ(detail.swap, Bytes{6});
    EXPECT_EQ(detail.limit_hits, 3U);
    EXPECT_EQ(detail.oom_kills, 2U);
    EXPECT_EQ(detail.major_page_faults, 8U);
    EXPECT_EQ(detail.threads, 5U);
    EXPECT_EQ(detail.processes, 2U);
    EXPECT_EQ(detail.cpu_stalls, std::nullopt);
}

TEST_F(CgroupDetailTest, ReadsVersionTwo) {
    write("cpu.stat",
          "usage_usec 7000000\nuser_usec 5000000\nsystem_usec 2000000\nnr_periods 10\n"
          "nr_throttled 4\nthrottled_usec 1500000\n");
    write("cpu.weight", "20\n");
    write("cpu.max", "50000 100000\n");
    write("memory.current", "1000\n");
    write("memory.peak", "2000\n");
    write("memory.max", "4096\n");
    write("memory.stat",
          "anon 400\nfile 500\nfile_mapped 50\ninactive_file 1300\npgfault 70\npgmajfault 8\n");
    write("memory.swap.current", "6\n");
    write("memory.events", "low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\n");
    write("pids.current", "5\n");
    write("io.pressure",
          "some avg10=1.25 avg60=0.50 avg300=0.00 total=77\n"
          "full avg10=0.00 avg60=0.00 avg300=100.00 total=7\n");
    CgroupDetail detail = cgroup_detail(CgroupPlace{{base_}, {}});
    EXPECT_EQ(detail.cpu, 7s);
    EXPECT_EQ(detail.cpu_user, 5s);
    EXPECT_EQ(detail.throttled, 1500ms);
    EXPECT_EQ(detail.cpu_shares, 500U);
    EXPECT_EQ(detail.cpu_quota_us, 50'000);
    EXPECT_EQ(detail.memory_limit, Bytes{4096});
    EXPECT_EQ(detail.working_set, Bytes{0});
    EXPECT_EQ(detail.file_mapped, Bytes{50});
    EXPECT_EQ(detail.swap, Bytes{6});
    EXPECT_EQ(detail.limit_hits, 3U);
    EXPECT_EQ(detail.oom_kills, 2U);
    EXPECT_EQ(detail.io_stalls, (Stalls{{1.25, 0.5, 0, 77us}, {0, 0, 100, 7us}}));
}

TEST_F(CgroupDetailTest, IsAllAbsentWithoutAGroup) {
    CgroupDetail detail = cgroup_detail(CgroupPlace{{base_ / "gone"}, {}});
    EXPECT_EQ(detail.cpu, std::nullopt);
    EXPECT_EQ(detail.memory, std::nullopt);
    EXPECT_EQ(detail.working_set, std::nullopt);
    EXPECT_EQ(detail.threads, std::nullopt);
}

TEST(Stalls, OfOlderKernelsLackALine) {
    auto stalls = parse_stalls("some avg10=0.00 avg60=2.00 avg300=0.10 total=9\n");
    ASSERT_TRUE(stalls);
    EXPECT_EQ(stalls->some.avg60, 2);
    EXPECT_EQ(stalls->some.avg300, 0.1);
    EXPECT_EQ(stalls->full, StallTimes());
    for (std::string_view bad :
         {"", "some", "some avg10=x avg60=0 avg300=0 total=1", "full avg10=0 avg60=0 avg300=0"}) {
        EXPECT_FALSE(parse_stalls(bad)) << bad;
    }
}

}  // namespace
}  // namespace skiff::os
