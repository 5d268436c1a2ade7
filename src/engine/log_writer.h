// Writes what a guest says into its log files, in CRI format, from the guest's own process.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "wasm/engine.h"
#include "wire/runner_page.h"

namespace skiff::engine {

// "2026-11-23T22:14:05.000000001Z stdout F text\n" (P instead of F: the line goes on in the next
// record). A line longer than kLineBytesMax is cut into records; an unfinished line waits for its
// end, at most that many bytes, until finish().
//
// The slots are filled in turn as wire/runner_page.h says. Nothing here waits for anybody but the
// filesystem: when it refuses bytes, whole lines are dropped and counted, and the next line that
// fits is preceded by one that says how many were lost. No allocation once the buffers have grown.
class LogWriter final : public wasm::OutputSink {
public:
    static constexpr std::size_t kLineBytesMax = 16384;
    static constexpr std::size_t kBatchBytesMax = 65536;

    // `slots`: descriptors opened with O_APPEND, borrowed; empty: everything is dropped.
    // `page`: where the state is published; must outlive this object.
    LogWriter(std::vector<int> slots, std::uint64_t slot_bytes_max, wire::RunnerPage& page,
              const Clock& clock);

    void write(int stream, std::string_view bytes) override;
    // Writes unfinished lines as partial ones. Call it once, after the guest's end.
    void finish();
    // To the files so far.
    [[nodiscard]] std::uint64_t bytes_written() const { return bytes_written_; }

private:
    enum class Tag : char { full = 'F', partial = 'P' };
    struct Piece {
        std::string_view head;  // what waited
        std::string_view tail;  // what came now
    };
    void append_record(int stream, Tag tag, const Piece& piece);
    void append_stamp();
    void flush();
    void rotate();
    std::string marker() const;
    // Appends `text` to the current slot and takes back what is not a whole line. Returns the bytes
    // that stay: all of them, or fewer after an error (then last_error_ says which).
    std::size_t write_out(std::string_view text);
    void take_back(std::size_t bytes);
    void publish();

    std::vector<int> slots_;
    std::uint64_t slot_bytes_max_;
    wire::RunnerPage& page_;
    const Clock& clock_;
    std::uint64_t slot_bytes_ = 0;
    std::uint64_t bytes_written_ = 0;
    std::uint64_t lines_ = 0;
    std::uint64_t lines_lost_ = 0;         // in all
    std::uint64_t lines_lost_unsaid_ = 0;  // since the last marker
    int last_error_ = 0;
    std::array<std::string, 2> waiting_;  // unfinished line of stdout, stderr
    std::string batch_;
    std::array<char, 40> stamp_{};
    std::size_t stamp_bytes_ = 0;
};

}  // namespace skiff::engine
