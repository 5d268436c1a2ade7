// Registries that are slow on purpose: what they may cost others.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <atomic>

#include "images/test_registry.h"
#include "os/file.h"

namespace skiff::images {
namespace {

using namespace testing;

class SlowRegistry : public ::testing::Test {
protected:
    SlowRegistry() { module_ = module_bytes(1'000'000); }
    void push() { node_.push_artifact(fake_.authority(), "app", "v1", module_); }
    std::string reference() const { return fake_.authority() + "/app:v1"; }
    std::string layer() const { return digest_of(module_).str(); }
    void fault(std::string part, int times, std::function<void(TestResponse&)> answer) {
        fake_.add_fault(FakeRegistry::Fault{std::move(part), times, std::move(answer)});
    }

    FakeRegistry fake_;
    Node node_;
    std::string module_;
};

// A pull that runs beside others, until the test ends it.
class Beside {
public:
    Beside(Node& node, async::Executor executor, const std::string& reference)
        : scope_(std::move(executor)) {
        PullRequest request{*parse_reference(reference), {}, "", [this](const BlobProgress& p) {
                                if (p.total > 100'000 && p.done > 0) {
                                    moving_.set();
                                }
                            }};
        scope_.spawn("pull", run(node, std::move(request)));
    }
    // A large blob has begun to arrive.
    async::Task<void> moving() {
        auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        EXPECT_TRUE(co_await moving_.wait(deadline));
    }
    async::Task<void> stop() { return scope_.stop(); }
    [[nodiscard]] bool has_ended() const { return scope_.size() == 0; }

private:
    static async::Task<void> run(Node& node, PullRequest request) {
        (void)co_await node.puller->pull(std::move(request));
    }
    async::Event moving_;
    async::Scope scope_;
};

TEST_F(SlowRegistry, GivesUpOnABlobThatTricklesAndKeepsWhatCame) {
    DownloadLimits limits;
    limits.rate_window = std::chrono::milliseconds(50);
    limits.bytes_per_second_min = 1U << 20;
    Node node({}, Node::Proxies::none, limits);
    push();
    auto trickle = [](TestResponse& r) {
        r.hang_after = r.body.size() / 2;
        r.trickle = std::chrono::milliseconds(2);
    };
    fault(layer(), 1, trickle);
    auto outcome = node.pull(reference());
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, Code::timeout);
    EXPECT_NE(outcome.error().message.find("less than 1.0 MiB per second"), std::string::npos)
        << outcome.error().message;
    EXPECT_GE(fs::file_size(node.store->ingest_path(digest_of(module_))), module_.size() / 2);
    auto again = node.pull(reference());
    ASSERT_TRUE(again) << format_as(again.error());
    EXPECT_TRUE(read_text(again->image.paths.at(0)) == module_);
}

TEST_F(SlowRegistry, GivesUpOnABlobThatTakesTooLong) {
    DownloadLimits limits;
    limits.time_max = std::chrono::milliseconds(0);
    Node node({}, Node::Proxies::none, limits);
    push();
    fault(layer(), 1, [](TestResponse& r) { r.cut_after = 600'000; });
    EXPECT_EQ(node.pull(reference()).error().code, Code::unavailable);
    EXPECT_EQ(node.pull(reference()).has_value(), true);
}

TEST_F(SlowRegistry, DoesNotHoldUpAnother) {
    DownloadLimits limits;
    limits.in_all = 2;
    limits.of_registry = 2;
    limits.of_image = 1;
    Node node({}, Node::Proxies::none, limits);
    push();
    FakeRegistry slow;
    node_.push_artifact(slow.authority(), "a", "v1", module_bytes(500'000, 1));
    node_.push_artifact(slow.authority(), "b", "v1", module_bytes(500'000, 2));
    auto hang = [](TestResponse& r) {
        if (r.body.size() > 100'000) {
            r.hang_after = 50'000;
        }
    };
    slow.add_fault(FakeRegistry::Fault{"/blobs/", 100, hang});
    auto body = [&]() -> async::Task<void> {
        auto executor = co_await async::current_executor();
        Beside a(node, executor, slow.authority() + "/a:v1");
        Beside b(node, executor, slow.authority() + "/b:v1");
        co_await a.moving();
        co_await b.moving();
        PullRequest request{*parse_reference(reference()), {}, "", {}};
        auto task = node.puller->pull(std::move(request));
        auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        auto outcome = co_await async::with_deadline(std::move(task), deadline, "other pull");
        EXPECT_TRUE(outcome) << format_as(outcome.error());
        EXPECT_FALSE(a.has_ended() || b.has_ended());
        co_await a.stop();
        co_await b.stop();
    };
    node.run(body());
}

TEST_F(SlowRegistry, TheSameDigestAtDoesNotHoldUpAnother) {
    push();
    FakeRegistry slow;
    node_.push_artifact(slow.authority(), "mine", "v1", module_);
    slow.add_fault(
        FakeRegistry::Fault{layer(), 100, [](TestResponse& r) { r.hang_after = 5'000; }});
    auto body = [&]() -> async::Task<void> {
        Beside first(node_, co_await async::current_executor(), slow.authority() + "/mine:v1");
        co_await first.moving();
        PullRequest request{*parse_reference(reference()), {}, "", {}};
        auto task = node_.puller->pull(std::move(request));
        auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        auto outcome = co_await async::with_deadline(std::move(task), deadline, "other pull");
        EXPECT_TRUE(outcome) << format_as(outcome.error());
        co_await first.stop();
    };
    node_.run(body());
}

TEST_F(SlowRegistry, CancelsADownloadThatNobodyWaitsForAndResumesIt) {
    push();
    std::atomic<bool> slow = true;
    auto trickle = [&slow](TestResponse& r) {
        if (slow) {
            r.hang_after = 600'000;
            r.trickle = std::chrono::milliseconds(2);
        }
    };
    fault(layer(), 100, trickle);
    Digest digest = digest_of(module_);
    auto body = [&]() -> async::Task<void> {
        auto executor = co_await async::current_executor();
        Beside first(node_, executor, reference());
        Beside second(node_, executor, reference());
        co_await first.moving();
        co_await second.moving();
        co_await first.stop();
        EXPECT_TRUE(node_.downloads->is_running(digest));
        co_await second.stop();
        for (int i = 0; i < 100 && node_.downloads->is_running(digest); ++i) {
            co_await async::yield_now();
        }
        EXPECT_FALSE(node_.downloads->is_running(digest));
    };
    node_.run(body());
    slow = false;
    {
        // The piece that was being written when it was cancelled ends in the pool and holds the
        // file until then; who comes sooner begins anew beside it.
        auto partial = os::open(node_.store->ingest_path(digest), O_RDWR);
        ASSERT_TRUE(partial);
        ASSERT_EQ(::flock(partial->get(), LOCK_EX), 0);
    }
    EXPECT_GT(fs::file_size(node_.store->ingest_path(digest)), 0U);
    fake_.forget_log();
    auto outcome = node_.pull(reference());
    ASSERT_TRUE(outcome) << format_as(outcome.error());
    EXPECT_TRUE(read_text(outcome->image.paths.at(0)) == module_);
    // The other blobs come beside it, in any order.
    auto log = fake_.log();
    EXPECT_TRUE(std::ranges::any_of(log, [](const auto& request) {
        return request.headers.find("Range").value_or("").starts_with("bytes=");
    }));
}

}  // namespace
}  // namespace skiff::images
