// Which addresses of the node's ranges pods have. Pure: the addresses of pods that live are told to
// it at the start (adopt()).
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <set>

#include "base/random.h"
#include "network/ip.h"

namespace skiff::network {

// One range, given round and round. An address that was given back rests, as long as there are
// others: who still talks to it, a client or a proxy whose rules lag behind, would else talk to
// another pod.
class RangePool {
public:
    // Of a larger range only the first part is used.
    static constexpr std::uint32_t kUsedMax = 1U << 20;
    // How many that were given back rest at the same time.
    static constexpr std::size_t kRestingMax = 256;

    // The first address to be given is drawn, so that an agent that forgot what it gave back does
    // not begin with it.
    RangePool(IpRange range, Random& random);

    [[nodiscard]] const IpRange& range() const { return range_; }
    // How many addresses pods can have: neither the range's first (the network, IPv6: any router)
    // nor the second (by custom its gateway) nor, of IPv4, the last (broadcast).
    [[nodiscard]] std::uint32_t capacity() const { return last_ - first_ + 1; }
    [[nodiscard]] std::uint32_t in_use() const { return static_cast<std::uint32_t>(used_.size()); }

    // nullopt when every address is taken.
    [[nodiscard]] std::optional<IpAddress> allocate();
    // Marks `address` as taken; false if it is so already or outside of the range.
    bool adopt(const IpAddress& address);
    // One that is not taken, or outside, is fine.
    void release(const IpAddress& address);

private:
    [[nodiscard]] IpAddress address_at(std::uint32_t offset) const;
    [[nodiscard]] std::optional<std::uint32_t> offset_of(const IpAddress& address) const;

    IpRange range_;
    std::uint32_t first_ = 2;  // offsets in the range
    std::uint32_t last_ = 0;
    std::uint32_t next_ = 0;  // where the search for a free one begins
    std::set<std::uint32_t> used_;
    std::deque<std::uint32_t> freed_;  // those that rest, the longest first
    std::set<std::uint32_t> resting_;  // the same, to find them
};

}  // namespace skiff::network
