#include "network/cni_plugin.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <iterator>

#include "base/text.h"
#include "os/child.h"

namespace skiff::network {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kPieceBytes = 16384;
constexpr std::string_view kPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

constexpr std::string_view kPassedOn[] = {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
                                          "http_proxy", "https_proxy", "no_proxy"};

std::vector<std::string> environment_with(const std::vector<std::string>& variables) {
    std::vector<std::string> list = variables;
    list.emplace_back(kPath);
    for (const std::string_view name : kPassedOn) {
        if (const char* value = std::getenv(std::string(name).c_str())) {
            list.push_back(fmt::format("{}={}", name, value));
        }
    }
    return list;
}

// Until the deadline, rounded up: 0 means that it has passed.
int milliseconds_until(SteadyTime deadline) {
    constexpr std::chrono::hours kLongest{1};
    const auto left = deadline - SystemClock().steady_now();
    const auto bounded = std::clamp<Duration>(left, Duration{}, kLongest);
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(bounded).count());
}

// One of the two streams that the program writes to. Never waits.
class Stream {
public:
    enum class Keep { all, tail };

    static Result<Stream> open(Keep keep) {
        SKIFF_TRY(auto pipe, os::make_pipe());
        if (::fcntl(pipe.read.get(), F_SETFL, O_NONBLOCK) != 0) {
            return fail_errno(errno, "pipe");
        }
        return Stream(std::move(pipe), keep);
    }

    [[nodiscard]] int write_end() const { return pipe_.write.get(); }
    void close_write_end() { pipe_.write.reset(); }
    // -1 at the end.
    [[nodiscard]] int read_end() const { return pipe_.read.get(); }
    // Takes one piece of what is there; false when there is nothing now, or no more.
    Result<bool> read_piece() {
        char piece[kPieceBytes];
        const ssize_t size = pipe_.read ? ::read(pipe_.read.get(), piece, sizeof piece) : 0;
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
            return errno == EINTR;
        }
        if (size <= 0) {
            pipe_.read.reset();
            return false;
        }
        text_.append(piece, static_cast<std::size_t>(size));
        if (keep_ == Keep::tail && text_.size() > kCniErrorTailBytes) {
            text_.erase(0, text_.size() - kCniErrorTailBytes);
        }
        if (text_.size() > kCniOutputBytesMax.value) {
            return fail(Code::exhausted, "it wrote more than {}", kCniOutputBytesMax);
        }
        return true;
    }
    // What is left in the pipe of a program that has ended. Bounded, because another one may hold
    // the pipe and go on writing.
    Result<void> read_rest() {
        constexpr int kPiecesMax = 256;
        for (int i = 0; i < kPiecesMax; ++i) {
            SKIFF_TRY(const bool more, read_piece());
            if (!more) {
                break;
            }
        }
        return {};
    }
    std::string take() { return std::move(text_); }

private:
    Stream(os::Pipe pipe, Keep keep) : pipe_(std::move(pipe)), keep_(keep) {}

    os::Pipe pipe_;
    Keep keep_;
    std::string text_;
};

// Until the program has ended.
Result<void> listen(const os::SessionChild& child, Stream& output, Stream& errors,
                    const CniCall& call) {
    while (true) {
        const int wait_ms = milliseconds_until(call.deadline);
        if (wait_ms == 0) {
            return fail(Code::timeout, "it did not end in time and was killed");
        }
        struct pollfd waits[] = {{child.pidfd(), POLLIN, 0},
                                 {output.read_end(), POLLIN, 0},
                                 {errors.read_end(), POLLIN, 0},
                                 {call.end_fd, POLLIN, 0}};
        if (::poll(waits, std::size(waits), wait_ms) < 0 && errno != EINTR) {
            return fail_errno(errno, "poll");
        }
        if (waits[1].revents != 0) {
            SKIFF_CHECK(output.read_piece());
        }
        if (waits[2].revents != 0) {
            SKIFF_CHECK(errors.read_piece());
        }
        if (waits[0].revents != 0) {
            return {};
        }
        if (waits[3].revents != 0) {
            return fail(Code::cancelled, "the agent ends, it was killed");
        }
    }
}

}  // namespace

Result<fs::path> find_cni_program(std::string_view type, const std::vector<fs::path>& folders) {
    std::string searched;
    fs::path unusable;
    for (const fs::path& folder : folders) {
        const fs::path file = folder / type;
        searched += (searched.empty() ? "" : ", ") + folder.string();
        struct stat facts{};
        if (::stat(file.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
            continue;
        }
        if (::access(file.c_str(), X_OK) == 0) {
            return file;
        }
        unusable = unusable.empty() ? file : unusable;
    }
    if (!unusable.empty()) {
        return fail(Code::denied, "{} cannot be executed", bounded_utf8(unusable.string(), 512));
    }
    return fail(Code::not_found, "there is no such program in {}",
                searched.empty() ? "any folder: none is given" : bounded_utf8(searched, 512));
}

Result<CniOutput> run_cni_program(const CniCall& call) {
    if (milliseconds_until(call.deadline) == 0) {
        return fail(Code::timeout, "no time was left to start it");
    }
    struct pollfd end = {call.end_fd, POLLIN, 0};
    if (::poll(&end, 1, 0) > 0) {
        return fail(Code::cancelled, "the agent ends");
    }
    // A file, not a pipe: whether and when the program reads it is of no concern.
    SKIFF_TRY(const os::Fd input, os::make_sealed_memfd("cni-input", call.input));
    SKIFF_TRY(auto output, Stream::open(Stream::Keep::all));
    SKIFF_TRY(auto errors, Stream::open(Stream::Keep::tail));
    os::SpawnSpec spec;
    spec.program = call.program;
    spec.argv = {call.program.string()};
    spec.env = environment_with(call.variables);
    spec.fds = {os::PassedFd{input.get(), 0}, os::PassedFd{output.write_end(), 1},
                os::PassedFd{errors.write_end(), 2}};
    spec.session = os::Session::own;
    spec.on_parent_death = os::OnParentDeath::die;
    SKIFF_TRY(auto spawned, os::spawn(spec));
    os::SessionChild child(std::move(spawned));
    output.close_write_end();
    errors.close_write_end();
    SKIFF_CHECK(listen(child, output, errors, call));
    SKIFF_CHECK(output.read_rest());
    SKIFF_CHECK(errors.read_rest());
    CniOutput said;
    SKIFF_TRY(said.exit, child.reap());
    said.text = output.take();
    said.error_tail = bounded_utf8(trim(errors.take()), kCniErrorTailBytes);
    return said;
}

}  // namespace skiff::network
