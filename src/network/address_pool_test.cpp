#include "network/address_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace skiff::network {
namespace {

RangePool pool_of(std::string_view text, std::uint64_t seed = 1) {
    SeededRandom random(seed);
    return RangePool(*IpRange::parse(text), random);
}

IpAddress at(std::string_view text) {
    return *IpAddress::parse(text);
}

TEST(AddressPool, GivesEveryAddressOfARangeOnceButThoseOfOthers) {
    for (const auto& [text, capacity] :
         {std::pair("10.1.2.0/30", 1U), std::pair("10.1.2.0/29", 5U),
          std::pair("10.1.2.0/24", 253U), std::pair("10.1.2.128/25", 125U),
          std::pair("fd00::/126", 2U), std::pair("fd00::7f00/120", 254U)}) {
        RangePool pool = pool_of(text);
        ASSERT_EQ(pool.capacity(), capacity) << text;
        const IpRange range = pool.range();
        std::set<IpAddress> given;
        while (auto address = pool.allocate()) {
            EXPECT_TRUE(range.contains(*address)) << format_as(*address);
            EXPECT_TRUE(given.insert(*address).second) << format_as(*address) << " twice";
        }
        EXPECT_EQ(given.size(), capacity) << text;
        EXPECT_EQ(pool.in_use(), capacity);
        EXPECT_FALSE(given.contains(range.first)) << "the network's";
        IpAddress second = range.first;
        second.bytes[second.size() - 1] |= 1;
        EXPECT_FALSE(given.contains(second)) << "the gateway's";
    }
    EXPECT_FALSE(pool_of("10.1.2.0/24").adopt(at("10.1.2.255"))) << "broadcast";
    EXPECT_TRUE(pool_of("fd00::/120").adopt(at("fd00::ff"))) << "IPv6 has none";
}

TEST(AddressPool, UsesTheFirstPartOfALargeRange) {
    for (const std::string_view text : {"10.0.0.0/8", "fd00:1:2::/48"}) {
        RangePool pool = pool_of(text);
        EXPECT_GE(pool.capacity(), RangePool::kUsedMax - 3);
        auto address = pool.allocate();
        ASSERT_TRUE(address);
        EXPECT_TRUE(pool.range().contains(*address));
        EXPECT_FALSE(pool.adopt(*address)) << "is given";
    }
    EXPECT_FALSE(pool_of("10.0.0.0/8").adopt(at("10.255.0.1")));
    EXPECT_FALSE(pool_of("fd00::/48").adopt(at("fd00::1:0:0:0:5")));
}

TEST(AddressPool, AddressesThatWereGivenBackRest) {
    RangePool pool = pool_of("10.1.2.0/29");
    std::vector<IpAddress> all;
    while (auto address = pool.allocate()) {
        all.push_back(*address);
    }
    for (const std::size_t i : {3U, 0U, 4U}) {
        pool.release(all[i]);
    }
    // Nothing else is free: the longest ago first.
    for (const std::size_t i : {3U, 0U, 4U}) {
        EXPECT_EQ(pool.allocate(), all[i]);
    }
    EXPECT_FALSE(pool.allocate());
}

TEST(AddressPool, ForgetsNothingByMistake) {
    RangePool pool = pool_of("10.1.2.0/24");
    auto address = pool.allocate();
    pool.release(at("10.9.9.9"));
    pool.release(at("fd00::1"));
    pool.release(*address);
    pool.release(*address);
    EXPECT_EQ(pool.in_use(), 0U);
    EXPECT_TRUE(pool.adopt(*address));
    EXPECT_FALSE(pool.adopt(*address));
    EXPECT_FALSE(pool.adopt(at("10.9.9.9")));
    std::size_t others = 0;
    while (auto other = pool.allocate()) {
        EXPECT_NE(*other, *address);
        ++others;
    }
    EXPECT_EQ(others, 252U);
}

// Random histories against a plain model: no address twice, none at once again, none lost.
TEST(AddressPool, HoldsItsPromisesForAnyHistory) {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        SCOPED_TRACE(seed);
        SeededRandom random(seed);
        const bool small = seed % 2 == 0;
        RangePool pool(*IpRange::parse(small ? "10.1.2.0/28" : "10.1.0.0/22"), random);
        std::vector<IpAddress> held;
        std::optional<IpAddress> last_freed;
        for (int step = 0; step < 300; ++step) {
            if (random.next() % 5 < 3) {
                const bool full = held.size() == pool.capacity();
                const bool only_one_left = held.size() + 1 == pool.capacity();
                auto address = pool.allocate();
                ASSERT_EQ(address.has_value(), !full);
                if (!address) {
                    continue;
                }
                ASSERT_EQ(std::ranges::count(held, *address), 0) << format_as(*address);
                if (!only_one_left) {
                    ASSERT_NE(address, last_freed);
                }
                held.push_back(*address);
            } else if (!held.empty()) {
                const std::size_t i = random.next() % held.size();
                last_freed = held[i];
                pool.release(held[i]);
                held.erase(held.begin() + static_cast<std::ptrdiff_t>(i));
            }
            ASSERT_EQ(pool.in_use(), held.size());
        }
    }
}

}  // namespace
}  // namespace skiff::network
