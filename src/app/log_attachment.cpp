#include "app/log_attachment.h"

#include <array>
#include <string>

namespace skiff::app {

namespace {

using pods::OutputStream;

// Of one stream, before the reading waits for the client; a chunk more at the most.
constexpr std::size_t kUnreadBytesMax = 128 << 10;

std::size_t index_of(OutputStream stream) {
    return stream == OutputStream::out ? 0 : 1;
}

// Between the reading of the log and the client; held by both.
class Lines final : public pods::LogSink {
public:
    explicit Lines(const pods::AttachSpec& spec) : wanted_{spec.reads_out, spec.reads_err} {}

    void put(OutputStream stream, std::string_view text) {
        if (wanted_[index_of(stream)]) {
            unread_[index_of(stream)] += text;
            readable_[index_of(stream)].set();
        }
    }
    pods::Task<Result<void>> write(std::string) override {
        while (!over.is_set() &&
               (unread_[0].size() > kUnreadBytesMax || unread_[1].size() > kUnreadBytesMax)) {
            took_.reset();
            SKIFF_CO_CHECK(co_await took_.wait());
        }
        if (over.is_set()) {
            co_return fail(Code::cancelled, "the client has gone");
        }
        co_return Result<void>{};
    }
    pods::Task<Result<std::string>> read(std::size_t stream) {
        SKIFF_CO_CHECK(co_await readable_[stream].wait());
        std::string taken = std::exchange(unread_[stream], {});
        if (!over.is_set()) {
            readable_[stream].reset();
        }
        took_.set();
        co_return std::move(taken);
    }
    void finish() {
        over.set();
        took_.set();
        for (auto& event : readable_) {
            event.set();
        }
    }

    async::Event over;

private:
    std::array<bool, 2> wanted_;
    std::array<std::string, 2> unread_;
    std::array<async::Event, 2> readable_;
    async::Event took_;
};

class LogAttachment final : public pods::AttachSession {
public:
    explicit LogAttachment(std::shared_ptr<Lines> lines) : lines_(std::move(lines)) {}
    ~LogAttachment() override { lines_->finish(); }

    pods::Task<Result<void>> write_stdin(std::string) override { co_return Result<void>{}; }
    void close_stdin() override {}
    pods::Task<Result<std::string>> read(OutputStream stream) override {
        return read_from(lines_, index_of(stream));
    }
    void resize(pods::TerminalSize) override {}
    pods::Task<Result<void>> wait() override { return wait_over(lines_); }

private:
    // The session may go while they wait.
    static pods::Task<Result<std::string>> read_from(std::shared_ptr<Lines> lines,
                                                     std::size_t stream) {
        co_return co_await lines->read(stream);
    }
    static pods::Task<Result<void>> wait_over(std::shared_ptr<Lines> lines) {
        co_return co_await lines->over.wait();
    }

    std::shared_ptr<Lines> lines_;
};

async::Task<void> follow(std::shared_ptr<Lines> lines, logs::ReadRequest request,
                         async::BlockingPool* pool) {
    // Also when this task is unwound.
    struct End {
        std::shared_ptr<Lines> lines;
        ~End() { lines->finish(); }
    };
    End end{lines};
    (void)co_await logs::read_log(std::move(request), *lines, *pool);
}

}  // namespace

std::unique_ptr<pods::AttachSession> attach_to_log(logs::ReadRequest request,
                                                   const pods::AttachSpec& spec,
                                                   async::Scope& scope, async::BlockingPool& pool) {
    auto lines = std::make_shared<Lines>(spec);
    request.options = {};
    request.options.follow = true;
    request.options.tail_lines = 0;
    request.by_stream = [lines](logs::CriLine::Stream stream, std::string_view text) {
        lines->put(stream == logs::CriLine::Stream::out ? OutputStream::out : OutputStream::err,
                   text);
    };
    scope.spawn("attach to a log", follow(lines, std::move(request), &pool));
    return std::make_unique<LogAttachment>(std::move(lines));
}

}  // namespace skiff::app
