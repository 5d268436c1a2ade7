// A guest may write anything: its log holds exactly that, in whole lines.
#include "engine/log_writer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "base/fuzz.h"
#include "base/text.h"
#include "os/fd.h"

namespace skiff::engine {

constexpr std::size_t kStampBytes = 30;  // 2026-11-25T00:00:00.000000000Z
constexpr std::size_t kHeadBytes = kStampBytes + std::string_view(" stdout F ").size();

class FuzzedLog {
public:
    FuzzedLog(std::size_t slots, std::uint64_t slot_bytes_max) {
        std::vector<int> numbers;
        std::vector<std::uint64_t> inodes;
        for (std::size_t i = 0; i < slots; ++i) {
            fds_.emplace_back(::memfd_create("slot", MFD_CLOEXEC));
            SKIFF_ASSERT(::fcntl(fds_.back().get(), F_SETFL, O_APPEND) == 0);
            numbers.push_back(fds_.back().get());
            inodes.push_back(i + 1);
        }
        const std::string initial = wire::initial_page(inodes, slot_bytes_max);
        std::memcpy(&page_, initial.data(), sizeof page_);
        writer_.emplace(numbers, slot_bytes_max, page_, clock_);
    }
    LogWriter& writer() { return *writer_; }

    wire::PageView view() const {
        std::string bytes(wire::kRunnerPageBytes, '\0');
        std::memcpy(bytes.data(), &page_, sizeof page_);
        auto view = wire::parse_page(bytes);
        SKIFF_ASSERT(view.has_value() && view->settled);
        return *view;
    }
    std::string slot(std::size_t index) const {
        std::string text(1U << 20, '\0');
        const ssize_t size = ::pread(fds_[index].get(), text.data(), text.size(), 0);
        SKIFF_ASSERT(size >= 0);
        text.resize(static_cast<std::size_t>(size));
        return text;
    }

private:
    ManualClock clock_{std::chrono::sys_days(std::chrono::year(2026) / 11 / 25)};
    std::vector<os::Fd> fds_;
    wire::RunnerPage page_{};
    std::optional<LogWriter> writer_;
};

// Adds what the lines of a slot say to `said`, by stream.
static std::size_t read_slot(std::string_view text, std::array<std::string, 2>& said) {
    SKIFF_ASSERT(text.empty() || text.ends_with('\n'));
    std::size_t count = 0;
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(line.size() + 1);
        SKIFF_ASSERT(line.size() >= kHeadBytes);
        SKIFF_ASSERT(line.size() <= kHeadBytes + LogWriter::kLineBytesMax);
        const std::string_view head = line.substr(kStampBytes, kHeadBytes - kStampBytes);
        const bool err = head.starts_with(" stderr ");
        SKIFF_ASSERT(err || head.starts_with(" stdout "));
        SKIFF_ASSERT(head.ends_with(" F ") || head.ends_with(" P "));
        SKIFF_ASSERT(parse_rfc3339(line.substr(0, kStampBytes)).has_value());
        std::string& stream = said[err ? 1 : 0];
        stream += line.substr(kHeadBytes);
        stream += head.ends_with(" F ") ? "\n" : "";
        ++count;
    }
    return count;
}

// The input: how many slots, how large they are (0: large), then what is written: a byte with
// stream and repetitions, text, a zero byte, and so on.
SKIFF_FUZZ(engine_log_writer) {
    fuzz::Input input(bytes);
    const std::size_t slots = 1 + input.byte() % 3;
    const std::uint64_t small = input.byte();
    const std::uint64_t slot_bytes_max = small == 0 ? 1U << 20 : 64 * small;
    FuzzedLog log(slots, slot_bytes_max);
    std::array<std::string, 2> wanted;
    std::size_t total = 0;
    while (!input.rest().empty() && total < (128U << 10)) {
        const std::uint8_t how = input.byte();
        const std::string_view text = input.part();
        for (int i = 0; i <= how / 16; ++i) {
            log.writer().write(1 + how % 2, text);
            wanted[how % 2] += text;
            total += text.size();
        }
    }
    log.writer().finish();
    const wire::PageView page = log.view();
    std::array<std::string, 2> said;
    std::size_t lines = 0;
    for (const std::uint32_t index : wire::slots_in_order(page)) {
        const std::string text = log.slot(index);
        SKIFF_ASSERT(text.size() == page.slots[index].bytes);
        const std::size_t here = read_slot(text, said);
        SKIFF_ASSERT(text.size() <= slot_bytes_max || here == 1);
        lines += here;
    }
    SKIFF_ASSERT(page.lines_lost == 0 && lines <= page.lines);
    for (const std::size_t stream : {0, 1}) {
        SKIFF_ASSERT(wanted[stream].ends_with(said[stream]));
        SKIFF_ASSERT(small != 0 || said[stream] == wanted[stream]);
    }
}

}  // namespace skiff::engine
