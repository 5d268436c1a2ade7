// The page that a runner shares with the world: stop flag in, state of its log and its own word on
// how it ended out.
//
// It is a file of kRunnerPageBytes at `<run-dir>/runners/<container id>` (tmpfs), made by the agent
// with initial_page(), passed read-write with Start, mapped shared by the runner. It outlives the
// runner, the keeper and the agent. Everybody else reads it with pread(2) and parse_page() and
// never maps it; what a broken-out guest wrote there must harm nobody, so parse_page() bounds
// everything.
//
// Following and naming the log
// ----------------------------
// The agent creates the N slot files of a container in its log folder: slot 0 as `<n>.log`, the
// others as `.<n>.log.slot<k>` (hidden from collectors), all with O_CREAT | O_EXCL | O_APPEND,
// and notes their inodes in the page. The runner appends whole CRI lines to the current slot. A
// line that would pass slot_bytes_max goes to the next slot in turn: the runner empties that file
// (ftruncate), raises `turn`, and makes it current. It never renames, opens, blocks or drops a line
// for it, so rotation goes on while no agent lives.
//   * Lines of a container in order: the slots with turn > 0 by ascending turn, each whole.
//   * The agent names at leisure: the file whose inode is that of the current slot becomes
//     `<n>.log`, every other slot with turn > 0 `<n>.log.<closed_ns as 20060102-150405>`; slots
//     with turn 0 keep their hidden name. Names never matter to the runner.
//   * A reader that holds (slot, turn, offset) re-reads the page at end of file: same turn and
//     still current: wait; another slot is current: finish this file, go to the slot with turn + 1;
//     the slot's own turn has grown: it was overtaken, go to the oldest turn there is.
//   * A full disk: lines are counted in lines_lost and dropped, never awaited; once a write works
//     again the runner first writes a stderr line "skiff: N log lines lost: no space left on
//     device".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "wire/grant.h"
#include "wire/message.h"

namespace skiff::wire {

constexpr std::size_t kRunnerPageBytes = 8192;
constexpr std::uint32_t kRunnerPageMagic = 0x31474b53;  // "SKG1"

enum class RunnerPhase : std::uint32_t { building = 0, running = 1, ended = 2 };

struct LogSlot {
    std::uint64_t inode;     // written by the agent
    std::uint64_t turn;      // 0: never used; the first slot in use has 1, the next 2, …
    std::uint64_t bytes;     // written to it in this turn
    std::int64_t opened_ns;  // wall clock, when its turn began
    std::int64_t closed_ns;  // when its turn ended; 0 while current or unused
};

// What a guest did so far: skiff_counters of the engine's header, which says what each number is.
struct GuestCounters {
    std::uint64_t denied;
    std::uint64_t traps;
    std::uint64_t instances;
    std::uint64_t requests_active;
    std::array<std::uint64_t, 5> responses;
    std::uint64_t latency_us_sum;
    std::array<std::uint64_t, 18> latency;
    std::uint64_t received_bytes;
    std::uint64_t sent_bytes;
    std::uint64_t outgoing;
    std::uint64_t listens;
};

// The memory layout. The fields up to `phase` are atomics for whoever maps it (std::atomic_ref).
struct RunnerPage {
    std::uint32_t magic;
    std::uint32_t version;  // 1
    // 0, then how many milliseconds the guest has to end (at least 1; written by the keeper).
    std::uint32_t stop;
    std::uint32_t phase;  // RunnerPhase
    // Odd while the runner changes the log's part; a reader that sees it odd or changed reads
    // again.
    std::uint32_t log_sequence;
    std::uint32_t log_current;  // index of the current slot
    std::uint32_t log_slots;    // written by the agent
    std::uint32_t features;     // kPage…, what of the page this runner obeys
    std::uint64_t log_slot_bytes_max;
    std::uint64_t log_lines;       // written so far
    std::uint64_t log_lines_lost;  // dropped so far
    std::array<LogSlot, kLogSlotsMax> slots;
    // Monotonic clock in nanoseconds, for measuring a start: the order, and the call of the guest.
    std::int64_t ordered_monotonic_ns;
    std::int64_t running_monotonic_ns;
    std::int64_t started_ns;   // wall clock, the call of the guest
    std::int64_t finished_ns;  // wall clock, its return
    // Valid from phase `ended`: the runner's own word. A skiff_outcome_kind of the engine: 1
    // exited, 2 trapped, 3 out of memory, 4 host panic, 5 start failed.
    std::uint32_t outcome;
    std::int32_t exit_code;
    std::uint64_t memory_bytes_peak;
    std::uint64_t memory_bytes_refused;
    std::uint64_t memory_bytes_limit;
    std::uint32_t message_bytes;  // of `message`, which starts at offset 4096
    GuestCounters counters;       // written by the engine while the guest runs
    // Written by the agent, and read by the engine at every growth: the cap on the guest's memory
    // that holds now. 0: that of the grant; UINT64_MAX: none.
    std::uint64_t memory_bytes_now;
    std::uint64_t log_wait_us;  // the guest waited for its log's pace so far
};
static_assert(sizeof(RunnerPage) <= 4096);
static_assert(sizeof(LogSlot) == 40 && alignof(RunnerPage) == 8);
// The runner's guest obeys memory_bytes_now.
constexpr std::uint32_t kPageObeysMemory = 1;
constexpr std::size_t kMemoryNowOffset = offsetof(RunnerPage, memory_bytes_now);
constexpr std::size_t kPageMessageOffset = 4096;
static_assert(kPageMessageOffset + kExitMessageBytesMax <= kRunnerPageBytes);

// What a reader gets: a checked copy.
struct PageView {
    RunnerPhase phase = RunnerPhase::building;
    std::uint32_t current = 0;
    std::uint64_t slot_bytes_max = 0;
    std::uint64_t lines = 0;
    std::uint64_t lines_lost = 0;
    std::uint64_t log_wait_us = 0;
    std::vector<LogSlot> slots;
    bool settled = true;  // false: read in the midst of a change, read again
    std::int64_t ordered_monotonic_ns = 0;
    std::int64_t running_monotonic_ns = 0;
    std::int64_t started_ns = 0;
    std::int64_t finished_ns = 0;
    std::uint32_t outcome = 0;  // 0: the runner said nothing (it was killed)
    std::int32_t exit_code = 0;
    std::uint64_t memory_bytes_peak = 0;
    std::uint64_t memory_bytes_refused = 0;
    std::uint64_t memory_bytes_limit = 0;
    std::uint64_t memory_bytes_now = 0;
    std::uint32_t features = 0;
    std::string message;  // valid UTF-8
    GuestCounters counters{};
};

// The first kPageMessageOffset bytes of a new page file (the agent then extends it to
// kRunnerPageBytes by ftruncate). `inodes` has one entry for each log slot.
[[nodiscard]] std::string initial_page(std::span<const std::uint64_t> inodes,
                                       std::uint64_t slot_bytes_max);
// `bytes` is what pread(2) of the whole file gave. Fails with Code::corrupt.
[[nodiscard]] Result<PageView> parse_page(std::string_view bytes);
// The indexes of the slots that hold lines, oldest first.
[[nodiscard]] std::vector<std::uint32_t> slots_in_order(const PageView& page);

// The Exited of a runner of which only its page is left (its keeper died with the wait status):
// the runner's own word if it ended by itself, else ContainerStatusUnknown's 137.
[[nodiscard]] Exited exited_from_page(const PageView& page);

}  // namespace skiff::wire
