#include "app/console.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "app/commands.h"

namespace skiff::app {

constexpr auto kRedrawEvery = std::chrono::milliseconds(100);
constexpr std::string_view kDim = "\x1b[2m";
constexpr std::string_view kYellow = "\x1b[33m";
constexpr std::string_view kOff = "\x1b[0m";

// A terminal whose user did not ask for plain text (https://no-color.org).
static bool fancy(int fd) {
    return ::isatty(fd) == 1 && std::getenv("NO_COLOR") == nullptr;
}

Console::Console(const Clock& clock, Quiet quiet)
    : clock_(clock), quiet_(quiet), out_is_terminal_(fancy(1)), err_is_terminal_(fancy(2)) {}

Console::~Console() {
    erase_progress();
    std::fflush(stdout);
}

void Console::reserve_label(std::string_view label) {
    label_width_ = std::max(label_width_, label.size());
}

std::string Console::decorate(std::string_view label) const {
    if (label.empty()) {
        return {};
    }
    std::string text = fmt::format("{:<{}} | ", label, label_width_);
    if (!out_is_terminal_) {
        return text;
    }
    // One of six quiet colours by the label's hash, so that a container keeps its colour.
    auto colour = 31 + std::hash<std::string_view>()(label) % 6;
    return fmt::format("\x1b[{}m{}{}", colour, text, kOff);
}

// Errors but a missing reader (a full disk) cost output and nothing else.
void Console::output(std::string_view label, Stream stream, std::string_view text) {
    erase_progress();
    std::FILE* file = stream == Stream::out ? stdout : stderr;
    errno = 0;
    if (label.empty()) {
        std::fwrite(text.data(), 1, text.size(), file);
    } else {
        output_lines(label, stream, text);
    }
    std::fflush(file);
    if (std::ferror(file) != 0 && errno == EPIPE && on_output_lost_) {
        std::exchange(on_output_lost_, {})();
    }
}

void Console::output_lines(std::string_view label, Stream stream, std::string_view text) {
    std::FILE* file = stream == Stream::out ? stdout : stderr;
    std::string key = fmt::format("{}/{}", label, stream == Stream::out ? "o" : "e");
    bool& line_start = at_line_start_.try_emplace(key, true).first->second;
    std::string prefix = decorate(label);
    while (!text.empty()) {
        std::size_t end = text.find('\n');
        std::string_view line = text.substr(0, end);
        if (line_start) {
            std::fwrite(prefix.data(), 1, prefix.size(), file);
        }
        std::fwrite(line.data(), 1, line.size(), file);
        line_start = end != std::string_view::npos;
        if (!line_start) {
            break;
        }
        std::fputc('\n', file);
        text.remove_prefix(end + 1);
    }
}

void Console::notice(std::string_view text) {
    if (quiet_ == Quiet::yes) {
        return;
    }
    erase_progress();
    print_to(stderr, fmt::format("{}{}{}\n", err_is_terminal_ ? kDim : "", text,
                                 err_is_terminal_ ? kOff : ""));
}

void Console::warning(std::string_view text) {
    erase_progress();
    print_to(stderr, fmt::format("{}skiff: {}{}\n", err_is_terminal_ ? kYellow : "", text,
                                 err_is_terminal_ ? kOff : ""));
}

void Console::progress(const std::string& key, std::string_view what, std::uint64_t done,
                       std::uint64_t total) {
    SteadyTime now = clock_.steady_now();
    Progress& entry = progress_.try_emplace(key, Progress{{}, 0, 0, now}).first->second;
    entry.what = what;
    entry.done = done;
    entry.total = total;
    if (now - drawn_at_ >= kRedrawEvery) {
        drawn_at_ = now;
        draw_progress();
    }
}

void Console::progress_done(const std::string& key) {
    erase_progress();
    progress_.erase(key);
}

void Console::progress_of(const std::string& key, std::string_view what, std::uint64_t done,
                          std::uint64_t total) {
    if (done >= total) {
        progress_done(key);
    } else {
        progress(key, what, done, total);
    }
}

void Console::erase_progress() {
    if (std::exchange(drawn_, false)) {
        print_to(stderr, "\r\x1b[K");
    }
}

void Console::draw_progress() {
    if (!err_is_terminal_ || quiet_ == Quiet::yes || progress_.empty()) {
        return;
    }
    std::string line;
    for (const auto& [key, entry] : progress_) {
        auto seconds = std::chrono::duration<double>(clock_.steady_now() - entry.since).count();
        line += line.empty() ? "" : "   ";
        if (entry.total > 0) {
            line += fmt::format("{} {} of {} ({}%)", entry.what, Bytes{entry.done},
                                Bytes{entry.total}, entry.done * 100 / entry.total);
        } else {
            line += fmt::format("{} {:.0f}s", entry.what, seconds);
        }
    }
    constexpr std::size_t kLineMax = 110;
    print_to(stderr, fmt::format("\r\x1b[K{}{}{}", kDim, line.substr(0, kLineMax), kOff));
    drawn_ = true;
}

void Console::emit(const kube::Pod& pod, std::string_view container, pods::EventType type,
                   std::string_view reason, std::string_view message) {
    std::string subject = container.empty() || container == pod.metadata.name
                              ? pod.metadata.name
                              : fmt::format("{}/{}", pod.metadata.name, container);
    // Why a container could not be made is told once by whoever gives up because of it.
    if (reason == "Failed" || reason == "InspectFailed" || reason == "ErrImageNeverPull") {
        return;
    }
    if (type == pods::EventType::warning) {
        std::string text = fmt::format("{}: {}: {}", subject, reason, message);
        std::string& last = last_warning_[subject];
        if (last != text) {
            warning(text);
            last = text;
        }
        if (on_set_up_failure_ && (reason == "FailedCreatePodSandBox" || reason == "FailedMount")) {
            on_set_up_failure_();
        }
        return;
    }
    if (reason == "Compiling") {
        progress("compile " + subject, fmt::format("{}: compiling", subject), 0, 0);
        draw_progress();
    } else if (reason == "Compiled") {
        progress_done("compile " + subject);
        notice(fmt::format("{}: {}", subject, message));
    } else if (reason == "Serving" || (reason == "Pulled" && message.starts_with("Successfully"))) {
        notice(fmt::format("{}: {}", subject, message));
    }
}

}  // namespace skiff::app
