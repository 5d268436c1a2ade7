// Owners of a volume's files, where an idmapped mount cannot translate them.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace skiff::sandbox {

// Ids `from` … `from + count - 1` become `to` … `to + count - 1`, users and groups alike.
struct OwnerMove {
    std::uint32_t from = 0;
    std::uint32_t to = 0;
    std::uint32_t count = 0;
};

constexpr std::size_t kOwnedFilesMax = 1'000'000;
constexpr std::size_t kOwnedDepthMax = 256;

// Gives everything below `root` (an O_PATH descriptor of a folder or file, of a mount without
// others below it) to the new owners; other owners stay. Works by descriptors and follows no link,
// so it may run while hostile guests change the tree. The root comes last: while its owner is the
// old one, the work is not done, and doing it again does no harm. Needs CAP_CHOWN. Fails with
// exhausted beyond the limits above.
[[nodiscard]] Result<void> move_owners(int root, const OwnerMove& move);

// The first id of the range of `count` that `owner` belongs to, where ranges begin at multiples of
// `count`; 0 for ids of the machine.
[[nodiscard]] constexpr std::uint32_t range_of(std::uint32_t owner, std::uint32_t count) {
    return owner - owner % count;
}

}  // namespace skiff::sandbox
