#include "wire/grant.h"

#include <algorithm>

#include "base/fuzz.h"
#include "wire/message.h"

namespace skiff::wire {

constexpr std::size_t kFds = 16;

// What a runner relies on without looking again.
static void check_grant(const Grant& grant) {
    SKIFF_ASSERT(valid_container_id(grant.container_id));
    SKIFF_ASSERT(grant.mounts.size() <= kGrantMountsMax);
    SKIFF_ASSERT(grant.log.slot_fds.size() <= kLogSlotsMax);
    for (const Mount& mount : grant.mounts) {
        SKIFF_ASSERT(mount.target.size() > 1 && mount.target.front() == '/');
        SKIFF_ASSERT((mount.target + "/").find("/../") == std::string::npos);
        SKIFF_ASSERT(mount.source_fd >= -1 && mount.source_fd < static_cast<int>(kFds));
    }
    for (const std::int32_t fd : grant.log.slot_fds) {
        SKIFF_ASSERT(fd >= 0 && fd < static_cast<int>(kFds));
    }
    for (const std::string& text : grant.args) {
        SKIFF_ASSERT(text.find('\0') == std::string::npos);
    }
    const Identity& who = grant.identity;
    SKIFF_ASSERT(who.id_count == 0 || (who.uid < who.id_count && who.gid < who.id_count));
}

static void check_bytes(std::string_view bytes) {
    const auto grant = decode_grant(bytes, kFds);
    if (!grant) {
        fuzz::check_error(grant.error());
        return;
    }
    check_grant(*grant);
    const auto packet = encode_grant(*grant);
    SKIFF_ASSERT(packet.has_value());
    const auto again = decode_grant(*packet, kFds);
    SKIFF_ASSERT(again && *again == *grant);
}

// The input is a grant without the header, whose length no mutation would keep right.
SKIFF_FUZZ(wire_grant) {
    check_bytes(bytes);
    std::string framed = encode_grant(Grant{})->substr(0, 4);
    Writer writer;
    writer(static_cast<std::uint32_t>(bytes.size()));
    framed += writer.bytes();
    framed += bytes;
    check_bytes(framed);
}

}  // namespace skiff::wire
