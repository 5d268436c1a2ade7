// The kernel's packet filter, by libnftables.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "network/ip.h"

namespace skiff::network {

// What the language calls a family: "ip", "ip6".
[[nodiscard]] constexpr std::string_view nft_word(IpFamily family) {
    return family == IpFamily::v4 ? "ip" : "ip6";
}

// Carries out a script of nft(8)'s language as one transaction: all of it or nothing. Blocking, in
// the network namespace of the calling thread; several calls wait for one another, for the library
// has state that its contexts share. Fails with Code::invalid and the library's own words,
// unsupported where the kernel has no nftables.
[[nodiscard]] Result<void> run_nft(const std::string& script);

}  // namespace skiff::network
