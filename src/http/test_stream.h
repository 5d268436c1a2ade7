// For tests: the two ends of a connection in memory.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "async/event.h"
#include "http/server.h"

namespace skiff::http::testing {

// One direction; one reader, one writer.
struct TestPipe {
    std::string bytes;
    std::size_t bytes_max = 64U << 10;  // a writer waits while there is more
    bool ended = false;
    async::Event more;
    async::Event room;

    void end() {
        ended = true;
        more.set();
        room.set();
    }
};

class TestStream final : public ByteStream {
public:
    TestStream(std::shared_ptr<TestPipe> in, std::shared_ptr<TestPipe> out)
        : in_(std::move(in)), out_(std::move(out)) {}
    ~TestStream() override {
        in_->end();
        out_->end();
    }
    TestStream(const TestStream&) = delete;
    TestStream& operator=(const TestStream&) = delete;

    async::Task<Result<std::size_t>> read_some(std::span<char> into, SteadyTime deadline) override {
        // Held: this end may go meanwhile.
        auto pipe = in_;
        while (pipe->bytes.empty() && !pipe->ended) {
            pipe->more.reset();
            SKIFF_CO_CHECK(co_await pipe->more.wait(deadline));
        }
        const std::size_t count = std::min(into.size(), pipe->bytes.size());
        std::copy_n(pipe->bytes.begin(), count, into.begin());
        pipe->bytes.erase(0, count);
        pipe->room.set();
        co_return count;
    }
    async::Task<Result<void>> write_all(std::string_view bytes, SteadyTime deadline) override {
        auto pipe = out_;
        while (pipe->bytes.size() >= pipe->bytes_max && !pipe->ended) {
            pipe->room.reset();
            SKIFF_CO_CHECK(co_await pipe->room.wait(deadline));
        }
        if (pipe->ended) {
            co_return fail(Code::unavailable, "the peer is gone");
        }
        pipe->bytes.append(bytes);
        pipe->more.set();
        co_return Result<void>{};
    }

private:
    std::shared_ptr<TestPipe> in_;
    std::shared_ptr<TestPipe> out_;
};

struct TestStreams {
    std::unique_ptr<TestStream> near;
    std::unique_ptr<TestStream> far;
};
// Ends that are joined; each direction holds about `bytes_max`.
[[nodiscard]] inline TestStreams join_streams(std::size_t bytes_max = 64U << 10) {
    auto there = std::make_shared<TestPipe>();
    auto back = std::make_shared<TestPipe>();
    there->bytes_max = back->bytes_max = bytes_max;
    TestStreams ends;
    ends.near = std::make_unique<TestStream>(back, there);
    ends.far = std::make_unique<TestStream>(there, back);
    return ends;
}

}  // namespace skiff::http::testing
