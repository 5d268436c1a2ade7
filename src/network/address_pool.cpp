#include "network/address_pool.h"

#include <algorithm>

#include "base/assert.h"

namespace skiff::network {

namespace {

constexpr std::size_t kLowBits = 32;

}  // namespace

RangePool::RangePool(IpRange range, Random& random) : range_(range) {
    const std::size_t bits = range_.first.bits() - range_.prefix;
    const std::uint64_t size =
        bits >= kLowBits ? kUsedMax : std::min<std::uint64_t>(kUsedMax, std::uint64_t{1} << bits);
    SKIFF_ASSERT(size >= 4);
    last_ = static_cast<std::uint32_t>(size) - (range_.first.family == IpFamily::v4 ? 2 : 1);
    next_ = first_ + static_cast<std::uint32_t>(random.next() % capacity());
}

IpAddress RangePool::address_at(std::uint32_t offset) const {
    IpAddress address = range_.first;
    const std::size_t end = address.size();
    // The range begins at a multiple of its size, so nothing is carried.
    for (std::size_t i = 0; i < sizeof(offset); ++i) {
        address.bytes[end - 1 - i] =
            static_cast<std::uint8_t>(address.bytes[end - 1 - i] | (offset >> (8 * i) & 0xffU));
    }
    return address;
}

std::optional<std::uint32_t> RangePool::offset_of(const IpAddress& address) const {
    if (address.family != range_.first.family || !range_.contains(address)) {
        return std::nullopt;
    }
    std::uint64_t offset = 0;
    for (std::size_t i = 0; i < address.size(); ++i) {
        const auto own = static_cast<std::uint8_t>(address.bytes[i] ^ range_.first.bytes[i]);
        if (offset >> 24 != 0) {
            return std::nullopt;
        }
        offset = offset << 8 | own;
    }
    if (offset < first_ || offset > last_) {
        return std::nullopt;
    }
    return static_cast<std::uint32_t>(offset);
}

std::optional<IpAddress> RangePool::allocate() {
    const bool all_rest = used_.size() + resting_.size() >= capacity();
    for (std::uint32_t i = 0; i < capacity() && !all_rest; ++i) {
        const std::uint32_t offset = next_;
        next_ = next_ == last_ ? first_ : next_ + 1;
        if (!used_.contains(offset) && !resting_.contains(offset)) {
            used_.insert(offset);
            return address_at(offset);
        }
    }
    if (freed_.empty()) {
        return std::nullopt;
    }
    const std::uint32_t offset = freed_.front();
    freed_.pop_front();
    resting_.erase(offset);
    used_.insert(offset);
    return address_at(offset);
}

bool RangePool::adopt(const IpAddress& address) {
    auto offset = offset_of(address);
    if (!offset || !used_.insert(*offset).second) {
        return false;
    }
    if (resting_.erase(*offset) != 0) {
        std::erase(freed_, *offset);
    }
    return true;
}

void RangePool::release(const IpAddress& address) {
    auto offset = offset_of(address);
    if (!offset || used_.erase(*offset) == 0) {
        return;
    }
    freed_.push_back(*offset);
    resting_.insert(*offset);
    if (freed_.size() > kRestingMax) {
        resting_.erase(freed_.front());
        freed_.pop_front();
    }
}

}  // namespace skiff::network
