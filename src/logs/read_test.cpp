#include "logs/read.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "async/scope.h"

namespace skiff::logs {
namespace {

namespace fs = std::filesystem;

class Collector final : public pods::LogSink {
public:
    std::string text;
    async::Task<Result<void>> write(std::string chunk) override {
        text += chunk;
        co_return Result<void>{};
    }
};

class LogRead : public ::testing::Test {
protected:
    LogRead() {
        char name[] = "/tmp/skiff-logs-XXXXXX";
        folder_ = ::mkdtemp(name);
    }
    ~LogRead() override { fs::remove_all(folder_); }

    // Appends a line at second `t`.
    void line(const std::string& file, int t, std::string_view content, std::string_view tag = "F",
              std::string_view stream = "stdout") {
        std::ofstream(folder_ / file, std::ios::app)
            << fmt::format("2026-11-23T22:{:02}:{:02}.000000000Z {} {} {}\n", t / 60, t % 60,
                           stream, tag, content);
    }

    Result<std::string> read(pods::LogOptions options, std::function<bool()> running = {}) {
        async::Reactor reactor;
        async::BlockingPool pool(reactor, 1, 16);
        Collector sink;
        ReadRequest request;
        request.folder = folder_;
        request.options = options;
        request.is_running = std::move(running);
        auto done = async::run_to_end(reactor, read_log(std::move(request), sink, pool));
        if (!done) {
            return fail(std::move(done.error()));
        }
        return sink.text;
    }

    fs::path folder_;
};

TEST_F(LogRead, JoinsFilesInTheOrderOfTheirLinesNotOfTheirNames) {
    line("0.log", 3, "three");
    line("0.log.20261123-221401", 1, "one");
    // The runner turned to a new file and nobody has named it yet.
    line(".0.log.slot2", 5, "five");
    line("1.log", 9, "another run");
    EXPECT_EQ(read({}).value(), "one\nthree\nfive\n");
}

TEST_F(LogRead, JoinsPartialLinesPerStream) {
    line("0.log", 1, "a", "P");
    line("0.log", 1, "x", "P", "stderr");
    line("0.log", 2, "b");
    EXPECT_EQ(read({}).value(), "axb\n");
    pods::LogOptions options;
    options.timestamps = true;
    EXPECT_EQ(read(options).value(),
              "2026-11-23T22:00:01.000000000Z a2026-11-23T22:00:01.000000000Z xb\n");
}

TEST_F(LogRead, TailCountsAcrossFiles) {
    for (int i = 0; i < 5; ++i) {
        line("0.log.20261123-221401", i, fmt::format("old {}", i));
        line("0.log", 10 + i, fmt::format("new {}", i));
    }
    pods::LogOptions options;
    options.tail_lines = 2;
    EXPECT_EQ(read(options).value(), "new 3\nnew 4\n");
    options.tail_lines = 6;
    EXPECT_EQ(read(options).value(), "old 4\nnew 0\nnew 1\nnew 2\nnew 3\nnew 4\n");
    options.tail_lines = 100;
    EXPECT_TRUE(read(options).value().starts_with("old 0\n"));
    options.tail_lines = 0;
    EXPECT_EQ(read(options).value(), "");
}

TEST_F(LogRead, SinceAndLimit) {
    line("0.log", 1, "one");
    line("0.log", 2, "two");
    line("0.log", 3, "three");
    pods::LogOptions options;
    options.since = *parse_rfc3339("2026-11-23T22:00:02Z");
    EXPECT_EQ(read(options).value(), "two\nthree\n");
    options.limit_bytes = 6;
    EXPECT_EQ(read(options).value(), "two\nth");
}

TEST_F(LogRead, SkipsWhatIsNotALine) {
    line("0.log", 1, "one");
    std::ofstream(folder_ / "0.log", std::ios::app)
        << "garbage\n"
        << "2026-11-23T22:1x:05.000000000Z stdout F no such minute\n"
        << "2026-11-23T22:14:05 stdout F no zone\n"
        << std::string(70 << 10, 'x') << "\n";
    line("0.log", 2, "two");
    EXPECT_EQ(read({}).value(), "one\ntwo\n");
}

TEST_F(LogRead, NeverFollowsLinks) {
    line("secret", 1, "secret");
    fs::create_symlink(folder_ / "secret", folder_ / "0.log");
    EXPECT_EQ(read({}).value(), "");
}

TEST_F(LogRead, NoLogIsNotFound) {
    EXPECT_EQ(read({}).error().code, Code::not_found);
}

TEST_F(LogRead, FollowsThroughRotationUntilTheContainerEnds) {
    line("0.log", 1, "one");
    int asked = 0;
    auto running = [&] {
        ++asked;
        if (asked == 1) {
            line("0.log", 2, "two");
        } else if (asked == 2) {
            line("0.log", 3, "three");
            line(".0.log.slot1", 4, "four");
        } else if (asked == 3) {
            fs::rename(folder_ / "0.log", folder_ / "0.log.20261123-220004");
            fs::rename(folder_ / ".0.log.slot1", folder_ / "0.log");
            line("0.log", 5, "five");
        }
        return asked < 3;
    };
    pods::LogOptions options;
    options.follow = true;
    EXPECT_EQ(read(options, running).value(), "one\ntwo\nthree\nfour\nfive\n");
}

TEST_F(LogRead, FollowGoesOnWithTheOldestAfterItWasOvertaken) {
    line("0.log", 1, "one");
    int asked = 0;
    auto running = [&] {
        if (++asked > 1) {
            return false;
        }
        // The ring came round: our file was emptied and is the newest now.
        fs::resize_file(folder_ / "0.log", 0);
        line(".0.log.slot1", 7, "seven");
        line("0.log", 8, "eight");
        return true;
    };
    pods::LogOptions options;
    options.follow = true;
    options.tail_lines = 1;
    EXPECT_EQ(read(options, running).value(), "one\nseven\neight\n");
}

}  // namespace
}  // namespace skiff::logs
