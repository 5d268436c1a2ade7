#include "engine/log_writer.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

namespace skiff::engine {

namespace {

std::int64_t nanoseconds(WallTime time) {
    return time.time_since_epoch().count();
}

template <typename T>
void store(T& where, T value) {
    std::atomic_ref<T>(where).store(value, std::memory_order_release);
}

}  // namespace

LogWriter::LogWriter(std::vector<int> slots, std::uint64_t slot_bytes_max, wire::RunnerPage& page,
                     const Clock& clock)
    : slots_(std::move(slots)), slot_bytes_max_(slot_bytes_max), page_(page), clock_(clock) {
    if (slots_.empty()) {
        return;
    }
    struct stat facts{};
    if (::fstat(slots_[0], &facts) == 0) {
        slot_bytes_ = static_cast<std::uint64_t>(facts.st_size);
    }
    page_.log_slots = static_cast<std::uint32_t>(slots_.size());
    page_.log_current = 0;
    page_.slots[0].turn = 1;
    page_.slots[0].opened_ns = nanoseconds(clock_.wall_now());
    publish();
}

void LogWriter::publish() {
    store(page_.slots[page_.log_current].bytes, slot_bytes_);
    store(page_.log_lines, lines_);
    store(page_.log_lines_lost, lines_lost_);
}

void LogWriter::append_stamp() {
    const std::string text = format_rfc3339_nano(clock_.wall_now());
    stamp_bytes_ = std::min(text.size(), stamp_.size());
    std::memcpy(stamp_.data(), text.data(), stamp_bytes_);
}

void LogWriter::append_record(int stream, Tag tag, const Piece& piece) {
    constexpr std::string_view kNames[] = {" stdout ", " stderr "};
    const std::string_view name = kNames[stream == 2 ? 1 : 0];
    const std::size_t size =
        stamp_bytes_ + name.size() + 2 + piece.head.size() + piece.tail.size() + 1;
    if (batch_.size() + size > kBatchBytesMax) {
        flush();
    }
    const std::uint64_t filled = slot_bytes_ + batch_.size();
    if (filled > 0 && filled + size > slot_bytes_max_) {
        flush();
        rotate();
    }
    batch_.append(stamp_.data(), stamp_bytes_);
    batch_ += name;
    batch_ += static_cast<char>(tag);
    batch_ += ' ';
    batch_ += piece.head;
    batch_ += piece.tail;
    batch_ += '\n';
}

void LogWriter::write(int stream, std::string_view bytes) {
    if (slots_.empty() || bytes.empty()) {
        return;
    }
    append_stamp();
    std::string& waiting = waiting_[stream == 2 ? 1 : 0];
    while (!bytes.empty()) {
        const std::size_t end = bytes.find('\n');
        const std::size_t length = end == std::string_view::npos ? bytes.size() : end;
        const std::size_t room = kLineBytesMax - waiting.size();
        if (length > room) {
            append_record(stream, Tag::partial, {waiting, bytes.substr(0, room)});
            waiting.clear();
            bytes.remove_prefix(room);
        } else if (end == std::string_view::npos) {
            waiting += bytes;
            bytes = {};
        } else {
            append_record(stream, Tag::full, {waiting, bytes.substr(0, length)});
            waiting.clear();
            bytes.remove_prefix(length + 1);
        }
    }
    flush();
}

void LogWriter::finish() {
    if (slots_.empty()) {
        return;
    }
    append_stamp();
    for (const int stream : {1, 2}) {
        std::string& waiting = waiting_[stream - 1];
        if (!waiting.empty()) {
            // As containerd does: a reader then prints no newline that the guest did not.
            append_record(stream, Tag::partial, {waiting, {}});
            waiting.clear();
        }
    }
    flush();
}

void LogWriter::take_back(std::size_t bytes) {
    (void)!::ftruncate(slots_[page_.log_current], static_cast<off_t>(slot_bytes_ - bytes));
    slot_bytes_ -= bytes;
}

std::size_t LogWriter::write_out(std::string_view text) {
    std::size_t done = 0;
    while (done < text.size()) {
        const ssize_t n =
            ::write(slots_[page_.log_current], text.data() + done, text.size() - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            last_error_ = n < 0 ? errno : EIO;
            break;
        }
        done += static_cast<std::size_t>(n);
    }
    slot_bytes_ += done;
    bytes_written_ += done;
    if (done == text.size()) {
        return done;
    }
    const std::size_t end = text.substr(0, done).rfind('\n');
    const std::size_t whole = end == std::string_view::npos ? 0 : end + 1;
    if (whole < done) {
        take_back(done - whole);
    }
    return whole;
}

std::string LogWriter::marker() const {
    return fmt::format("{} stderr F skiff: {} log lines lost: {}\n",
                       std::string_view(stamp_.data(), stamp_bytes_), lines_lost_unsaid_,
                       strerror(last_error_));
}

void LogWriter::flush() {
    if (batch_.empty()) {
        return;
    }
    std::size_t marker_bytes = 0;
    if (lines_lost_unsaid_ > 0) {
        const std::string line = marker();
        marker_bytes = line.size();
        batch_.insert(0, line);
    }
    std::size_t done = write_out(batch_);
    if (marker_bytes > 0 && done <= marker_bytes) {
        // Only the marker found room: it would be written again and again.
        take_back(done);
        done = 0;
    } else if (marker_bytes > 0) {
        lines_lost_unsaid_ = 0;
    }
    const std::size_t from = std::max(done, marker_bytes);
    const auto count = [&](std::size_t begin, std::size_t end) {
        return static_cast<std::uint64_t>(
            std::count(batch_.begin() + begin, batch_.begin() + end, '\n'));
    };
    lines_ += done > marker_bytes ? count(marker_bytes, done) : 0;
    const std::uint64_t lost = count(from, batch_.size());
    lines_lost_ += lost;
    lines_lost_unsaid_ += lost;
    batch_.clear();
    publish();
}

void LogWriter::rotate() {
    const std::uint32_t from = page_.log_current;
    const std::uint32_t to = (from + 1) % static_cast<std::uint32_t>(slots_.size());
    const std::int64_t now = nanoseconds(clock_.wall_now());
    (void)!::ftruncate(slots_[to], 0);
    store(page_.log_sequence, page_.log_sequence + 1);
    const std::uint64_t turn = page_.slots[from].turn;
    page_.slots[from].closed_ns = now;
    page_.slots[to].turn = turn + 1;
    page_.slots[to].bytes = 0;
    page_.slots[to].opened_ns = now;
    page_.slots[to].closed_ns = 0;
    page_.log_current = to;
    store(page_.log_sequence, page_.log_sequence + 1);
    slot_bytes_ = 0;
}

}  // namespace skiff::engine
