#include "engine/log_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/random.h"
#include "base/text.h"
#include "os/file.h"
#include "os/mount.h"
#include "wire/runner_page.h"

namespace skiff::engine {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class Log : public ::testing::Test {
protected:
    void SetUp() override {
        std::string pattern = fs::temp_directory_path() / "skiff-log-XXXXXX";
        folder_ = ::mkdtemp(pattern.data());
    }
    void TearDown() override {
        (void)os::unmount(folder_);
        fs::remove_all(folder_);
    }
    void open(std::size_t slots, std::uint64_t bytes_max) {
        std::vector<int> numbers;
        std::vector<std::uint64_t> inodes;
        for (std::size_t i = 0; i < slots; ++i) {
            fds_.push_back(
                *os::open(folder_ / std::to_string(i), O_RDWR | O_CREAT | O_APPEND | O_EXCL, 0600));
            numbers.push_back(fds_.back().get());
            inodes.push_back(i + 1);
        }
        const std::string initial = wire::initial_page(inodes, bytes_max);
        std::memcpy(&page_, initial.data(), sizeof page_);
        writer_.emplace(numbers, bytes_max, page_, clock_);
    }
    std::string slot(std::size_t index) const {
        return *os::read_file(folder_ / std::to_string(index), 64_MiB);
    }
    wire::PageView view() const {
        std::string bytes(wire::kRunnerPageBytes, '\0');
        std::memcpy(bytes.data(), &page_, sizeof page_);
        return *wire::parse_page(bytes);
    }
    // All lines of the log in order, as a reader would get them; partial records joined.
    std::vector<std::string> lines() const {
        std::vector<std::string> out;
        std::string joined;
        for (const auto index : wire::slots_in_order(view())) {
            const std::string text = slot(index);
            for (const auto record : split(text, '\n')) {
                if (record.empty()) {
                    continue;
                }
                const auto fields = split(record, ' ');
                EXPECT_TRUE(parse_rfc3339(fields[0])) << record;
                EXPECT_TRUE(fields[1] == "stdout" || fields[1] == "stderr");
                joined += record.substr(fields[0].size() + 10);
                if (fields[2] == "F") {
                    out.push_back(std::exchange(joined, {}));
                }
            }
        }
        return out;
    }

    fs::path folder_;
    ManualClock clock_{WallTime(1790000000s)};
    wire::RunnerPage page_{};
    std::vector<os::Fd> fds_;
    std::optional<LogWriter> writer_;
};

TEST_F(Log, WritesCriLines) {
    open(2, 1 << 20);
    writer_->write(1, "hello\nwor");
    writer_->write(2, "oops\n");
    clock_.advance(1ns);
    writer_->write(1, "ld\n\nend");
    writer_->finish();
    EXPECT_EQ(slot(0),
              "2026-09-21T14:13:20.000000000Z stdout F hello\n"
              "2026-09-21T14:13:20.000000000Z stderr F oops\n"
              "2026-09-21T14:13:20.000000001Z stdout F world\n"
              "2026-09-21T14:13:20.000000001Z stdout F \n"
              "2026-09-21T14:13:20.000000001Z stdout P end\n");
    EXPECT_EQ(view().lines, 5U);
    EXPECT_EQ(view().slots[0].bytes, slot(0).size());
}

TEST_F(Log, CutsLongLinesIntoPartialRecords) {
    open(2, 1 << 20);
    const std::string line(LogWriter::kLineBytesMax * 2 + 5, 'x');
    writer_->write(1, line + "\nshort\n");
    EXPECT_EQ(lines(), (std::vector<std::string>{line, "short"}));
    const std::string text = slot(0);
    const auto records = split(text, '\n');
    EXPECT_NE(records[0].find(" stdout P "), std::string_view::npos);
    EXPECT_NE(records[1].find(" stdout P "), std::string_view::npos);
    EXPECT_NE(records[2].find(" stdout F xxxxx"), std::string_view::npos);
}

TEST_F(Log, EveryLineAppearsOnceAndInOrderAcrossTurns) {
    SeededRandom random(42);
    for (int round = 0; round < 60; ++round) {
        TearDown();
        SetUp();
        fds_.clear();
        const std::size_t slots = 2 + random.next() % 4;
        const std::uint64_t bytes_max = 500 + random.next() % 4000;
        open(slots, bytes_max);
        std::vector<std::string> said;
        std::string text;
        for (int i = 0; i < 300; ++i) {
            said.push_back(fmt::format("{} {}", i, std::string(random.next() % 120, 'a')));
            text += said.back() + "\n";
        }
        while (!text.empty()) {
            const std::size_t n = std::min<std::size_t>(text.size(), 1 + random.next() % 700);
            writer_->write(1, text.substr(0, n));
            text.erase(0, n);
        }
        writer_->finish();
        const auto kept = lines();
        // What is kept is the end of what was said, whole and in order.
        ASSERT_LE(kept.size(), said.size());
        ASSERT_TRUE(std::equal(kept.begin(), kept.end(), said.end() - kept.size()));
        ASSERT_EQ(kept.back(), said.back());
        // And nothing is thrown away before its slot's turn comes again.
        std::uint64_t bytes = 0;
        for (std::size_t i = 0; i < slots; ++i) {
            ASSERT_LE(slot(i).size(), bytes_max);
            bytes += slot(i).size();
        }
        const auto order = wire::slots_in_order(view());
        if (view().slots[order.back()].turn > slots) {
            ASSERT_GT(bytes, bytes_max * (slots - 1) - 200 * (slots - 1));
        } else {
            ASSERT_EQ(kept.size(), said.size());
        }
        ASSERT_TRUE(view().settled);
        ASSERT_EQ(view().lines, said.size());
        ASSERT_EQ(view().lines_lost, 0U);
    }
}

TEST_F(Log, RotatesWithASingleSlot) {
    open(1, 200);
    for (int i = 0; i < 50; ++i) {
        writer_->write(1, fmt::format("line {}\n", i));
    }
    EXPECT_EQ(lines().back(), "line 49");
    EXPECT_LE(slot(0).size(), 200U);
}

TEST_F(Log, ALineLargerThanASlotStaysWhole) {
    open(2, 100);
    writer_->write(1, std::string(500, 'y') + "\nnext\n");
    EXPECT_EQ(lines(), (std::vector<std::string>{std::string(500, 'y'), "next"}));
}

TEST_F(Log, AFullDiskCostsLinesButNoOrderAndNoTornLine) {
    ASSERT_TRUE(os::mount_tmpfs(folder_, {.size = Bytes{64 << 10}}));
    open(2, 1 << 20);
    const std::string filler(999, 'f');
    for (int i = 0; i < 100; ++i) {
        writer_->write(1, fmt::format("{} {}\n", i, filler));
    }
    const std::uint64_t lost = view().lines_lost;
    EXPECT_GT(lost, 30U);
    EXPECT_EQ(view().lines + lost, 100U);
    EXPECT_TRUE(slot(0).ends_with("f\n"));
    fds_.clear();
}

TEST_F(Log, SaysWhatWasLostOnceThereIsSpace) {
    ASSERT_TRUE(os::mount_tmpfs(folder_, {.size = Bytes{32 << 10}}));
    open(2, 1 << 20);
    for (int i = 0; i < 60; ++i) {
        writer_->write(1, fmt::format("{} {}\n", i, std::string(990, 'f')));
    }
    const std::uint64_t lost = view().lines_lost;
    ASSERT_GT(lost, 0U);
    ASSERT_EQ(::mount(nullptr, folder_.c_str(), nullptr, MS_REMOUNT, "size=1m"), 0);
    writer_->write(1, "back\n");
    const auto all = lines();
    ASSERT_GE(all.size(), 2U);
    EXPECT_EQ(all.back(), "back");
    EXPECT_EQ(all[all.size() - 2],
              fmt::format("skiff: {} log lines lost: No space left on device", lost));
    EXPECT_EQ(view().lines_lost, lost);
    EXPECT_EQ(all.size() - 2 + lost, 60U);
    fds_.clear();
}

}  // namespace
}  // namespace skiff::engine
