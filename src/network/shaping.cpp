#include "network/shaping.h"

#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cerrno>
#include <limits>

namespace skiff::network {

namespace {

constexpr std::uint32_t kHtb = 1U << 16U;  // "1:"
constexpr std::uint32_t kClass = kHtb | 1U;
// What may go at once. Interfaces of one machine hand over segments of up to 64 KiB whole: with
// room for less not one of them would ever pass.
constexpr std::uint64_t kBurstBytes = 256 * 1024;
// The kernel counts time in ticks of 64 ns (PSCHED_SHIFT).
constexpr std::uint64_t kTickNanoseconds = 64;

template <typename T>
std::string_view bytes_of(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

tcmsg& begin(NetlinkBatch& batch, std::uint16_t type, std::uint16_t flags, std::uint32_t link) {
    auto& header = batch.begin<tcmsg>(type, flags, "limit the bandwidth of an interface (htb)");
    header.tcm_family = AF_UNSPEC;
    header.tcm_ifindex = static_cast<int>(link);
    return header;
}

// How long the burst takes, in ticks.
std::uint32_t burst_ticks(std::uint64_t bytes_per_second) {
    const std::uint64_t ticks = kBurstBytes * 1'000'000'000 / bytes_per_second / kTickNanoseconds;
    return static_cast<std::uint32_t>(
        std::clamp<std::uint64_t>(ticks, 1, std::numeric_limits<std::uint32_t>::max()));
}

// Rates beyond 32 bits go in attributes of their own.
tc_ratespec rate_of(std::uint64_t bytes_per_second) {
    tc_ratespec rate{};
    rate.linklayer = TC_LINKLAYER_ETHERNET;
    rate.cell_log = 8;
    rate.rate = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(bytes_per_second, std::numeric_limits<std::uint32_t>::max()));
    return rate;
}

std::uint64_t bytes_per_second_of(std::uint64_t bits_per_second) {
    return std::max<std::uint64_t>(bits_per_second / 8, 1);
}

}  // namespace

void shape_outgoing(NetlinkBatch& batch, std::uint32_t link, std::uint64_t bits_per_second) {
    const std::uint64_t bytes = bytes_per_second_of(bits_per_second);
    begin(batch, RTM_DELQDISC, 0, link).tcm_parent = TC_H_ROOT;
    batch.tolerate(ENOENT);
    auto& root = begin(batch, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, link);
    root.tcm_parent = TC_H_ROOT;
    root.tcm_handle = kHtb;
    batch.put_text(TCA_KIND, "htb");
    batch.open_nest(TCA_OPTIONS);
    tc_htb_glob glob{};
    glob.version = TC_HTB_PROTOVER;
    glob.rate2quantum = 10;
    glob.defcls = 1;
    batch.put(TCA_HTB_INIT, bytes_of(glob));
    batch.close_nest();

    auto& only = begin(batch, RTM_NEWTCLASS, NLM_F_CREATE | NLM_F_EXCL, link);
    only.tcm_parent = kHtb;
    only.tcm_handle = kClass;
    batch.put_text(TCA_KIND, "htb");
    batch.open_nest(TCA_OPTIONS);
    tc_htb_opt options{};
    options.rate = rate_of(bytes);
    options.ceil = options.rate;
    options.buffer = burst_ticks(bytes);
    options.cbuffer = options.buffer;
    options.quantum = 65536;  // there is one class, so nobody waits for its turn
    batch.put(TCA_HTB_PARMS, bytes_of(options));
    batch.put(TCA_HTB_RATE64, bytes_of(bytes));
    batch.put(TCA_HTB_CEIL64, bytes_of(bytes));
    batch.close_nest();
}

}  // namespace skiff::network
