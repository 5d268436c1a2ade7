#include "server/remote_session.h"

#include <optional>
#include <vector>

#include "async/with_scope.h"
#include "server/remote_protocol.h"

namespace skiff::server {

using async::Task;

namespace {

constexpr std::size_t kPieceBytes = 32U << 10;

// The tasks of one session, and what they share.
class Carrying {
public:
    Carrying(RemoteChannels& channels, RemoteSession& session, RemoteStreams streams)
        : channels_(channels), session_(session), streams_(streams) {}

    Task<void> run(async::Scope& scope, async::Event& caller_left) {
        scope.spawn("caller", watch(this, &caller_left));
        if (streams_.with_stdin) {
            scope.spawn("stdin", carry_stdin(this));
        }
        if (streams_.tty) {
            scope.spawn("resize", carry_sizes(this));
        }
        if (streams_.with_stdout) {
            scope.spawn("stdout", carry_output(this, RemoteSession::Output::out, &out_ended_));
        } else {
            out_ended_.set();
        }
        if (streams_.with_stderr) {
            scope.spawn("stderr", carry_output(this, RemoteSession::Output::err, &err_ended_));
        } else {
            err_ended_.set();
        }
        scope.spawn("end", wait_for_end(this));
        return wait_over(this);
    }

    [[nodiscard]] Result<pods::ContainerExit> result() {
        if (!end_) {
            return fail(Code::unavailable, "the caller has left");
        }
        return std::move(*end_);
    }

private:
    static Task<void> wait_over(Carrying* self) { auto waited = co_await self->over_.wait(); }

    static Task<void> watch(Carrying* self, async::Event* caller_left) {
        if (co_await caller_left->wait()) {
            self->over_.set();
        }
    }

    static Task<void> carry_stdin(Carrying* self) {
        while (true) {
            auto bytes = co_await self->channels_.take(RemoteChannel::in);
            // A stdin that breaks off is one that ends; a caller who left is seen elsewhere.
            if (!bytes || bytes->empty()) {
                break;
            }
            if (!co_await self->session_.write_stdin(*bytes)) {
                break;
            }
        }
        self->channels_.discard(RemoteChannel::in);
        self->session_.close_stdin();
    }

    static Task<void> carry_sizes(Carrying* self) {
        TerminalSizeReader reader;
        while (true) {
            auto bytes = co_await self->channels_.take(RemoteChannel::resize);
            if (!bytes || bytes->empty()) {
                co_return;
            }
            if (auto size = reader.add(*bytes)) {
                self->session_.resize(*size);
            }
        }
    }

    static Task<void> carry_output(Carrying* self, RemoteSession::Output which,
                                   async::Event* ended) {
        const auto channel =
            which == RemoteSession::Output::out ? RemoteChannel::out : RemoteChannel::err;
        std::vector<char> buffer(kPieceBytes);
        while (true) {
            auto count = co_await self->session_.read(which, buffer);
            if (!count || *count == 0) {
                break;
            }
            // Who does not want the output must not stop the command that writes it.
            auto sent =
                co_await self->channels_.write(channel, std::string_view(buffer.data(), *count));
        }
        ended->set();
    }

    static Task<void> wait_for_end(Carrying* self) {
        auto end = co_await self->session_.wait();
        auto out = co_await self->out_ended_.wait();
        auto err = co_await self->err_ended_.wait();
        // The cause of a trap belongs where people look for a command's own words.
        if (end && !end->message.empty()) {
            std::string text = end->message + (self->streams_.tty ? "\r\n" : "\n");
            const auto channel = self->streams_.tty ? RemoteChannel::out : RemoteChannel::err;
            auto told = co_await self->channels_.write(channel, text);
        }
        self->end_.emplace(std::move(end));
        self->over_.set();
    }

    RemoteChannels& channels_;
    RemoteSession& session_;
    RemoteStreams streams_;
    async::Event out_ended_;
    async::Event err_ended_;
    async::Event over_;
    std::optional<Result<pods::ContainerExit>> end_;
};

}  // namespace

Task<Result<pods::ContainerExit>> carry_session(RemoteChannels& channels, RemoteSession& session,
                                                RemoteStreams streams, async::Event& caller_left) {
    Carrying carrying(channels, session, streams);
    async::ScopeBody body = [&carrying, &caller_left](async::Scope& scope) {
        return carrying.run(scope, caller_left);
    };
    co_await async::with_scope(std::move(body));
    co_return carrying.result();
}

}  // namespace skiff::server
