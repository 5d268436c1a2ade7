// Bytes on their way from the task that reads a connection to the tasks that consume its streams.
// Bounded: the reader stands still while a consumer is behind, which is the only back-pressure that
// peers without flow control understand. Reactor thread only.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "async/event.h"
#include "async/task.h"
#include "base/result.h"

namespace skiff::http {

// What one stream, and all streams of one connection together, may have waiting.
inline constexpr std::size_t kInboxBytesMax = 64U << 10;
inline constexpr std::size_t kInboxesBytesMax = 256U << 10;

// The inboxes of one connection. Outlives them.
struct InboxBudget {
    std::size_t bytes = 0;
    async::Event taken;  // somebody took something
};

class Inbox {
public:
    using Ping = std::function<async::Task<Result<void>>()>;

    explicit Inbox(InboxBudget& budget) : budget_(budget) {}
    ~Inbox();
    Inbox(const Inbox&) = delete;
    Inbox& operator=(const Inbox&) = delete;

    // For the reader. Bytes after end() or discard() are dropped.
    void put(std::string_view bytes);
    // The stream ends well; what was put can still be taken.
    void end();
    // The stream is broken: take() fails with unavailable once it is empty.
    void break_off();
    [[nodiscard]] bool is_full() const {
        return bytes_.size() >= kInboxBytesMax ||
               (!bytes_.empty() && budget_.bytes >= kInboxesBytesMax);
    }
    // Resolves when the inbox is no longer full. While it takes long, `ping` is called every few
    // seconds: a peer that has gone is only noticed by sending to it. Fails as `ping` does, or with
    // cancelled.
    [[nodiscard]] async::Task<Result<void>> wait_for_room(Ping ping);

    // For the consumer. All that is there, at least one byte; empty at the end. Fails with
    // unavailable (broken off), or cancelled. One taker.
    [[nodiscard]] async::Task<Result<std::string>> take();
    // Nothing of it is wanted any more.
    void discard();

private:
    void clear();

    InboxBudget& budget_;
    std::string bytes_;
    bool ended_ = false;
    bool broken_ = false;
    bool discards_ = false;
    async::Event changed_;
};

}  // namespace skiff::http
