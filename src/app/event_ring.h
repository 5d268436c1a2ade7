// The latest events about pods and the node, kept in memory: for `skiff events`, also while the API
// server is away. Reactor thread only.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <unordered_map>
#include <vector>

#include "async/event.h"
#include "base/result.h"
#include "kube/types.h"

namespace skiff::app {

inline constexpr std::size_t kEventRingMax = 500;

struct EventFilter {
    std::string ns;   // empty: all, those of the node too
    std::string pod;  // name; empty: all
    [[nodiscard]] bool takes(const kube::Event& event) const;
};

// The event as a line of the log: whom it is about as fields `pod` (or `node`), `uid`, `container`.
void log_event(const kube::Event& event);

class EventRing;
// Into the ring, and into the log unless it was said before.
void record_event(EventRing& ring, kube::Event event);

class EventRing {
public:
    explicit EventRing(std::size_t events_max = kEventRingMax) : events_max_(events_max) {}

    // Keeps it as the newest. One that says what another says is counted there instead, as the API
    // server's are; beyond the bound the oldest goes. Returns its count.
    std::int32_t add(kube::Event event);
    // Those that were added, or counted again, after `place`; the newest last.
    [[nodiscard]] std::vector<kube::Event> after(std::uint64_t place,
                                                 const EventFilter& filter) const;
    // How many were added so far.
    [[nodiscard]] std::uint64_t place() const { return place_; }
    // Resolves when there is anything after `place`. Fails with timeout or cancelled.
    [[nodiscard]] async::Task<Result<void>> wait_after(std::uint64_t place, SteadyTime deadline);

private:
    struct Entry {
        std::uint64_t place = 0;
        kube::Event event;
    };
    // What makes events the same, in one string.
    [[nodiscard]] static std::string saying(const kube::Event& event);

    std::size_t events_max_;
    std::list<Entry> entries_;  // the oldest first
    std::unordered_map<std::string, std::list<Entry>::iterator> by_saying_;
    std::uint64_t place_ = 0;
    std::list<async::Event*> waiters_;
};

}  // namespace skiff::app
