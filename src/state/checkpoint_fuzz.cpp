#include "state/checkpoint.h"

#include "base/fuzz.h"

namespace skiff::state {

// The input: a record, whole or damaged; and what a record may hold.
SKIFF_FUZZ(state_checkpoint) {
    const auto back = parse_checkpoint(format_checkpoint("pod", bytes), "pod");
    SKIFF_ASSERT(back && *back == bytes);
    SKIFF_ASSERT(!parse_checkpoint(format_checkpoint("pod", bytes), "container"));
    const auto record = parse_checkpoint(bytes, "pod");
    if (!record) {
        fuzz::check_error(record.error());
        return;
    }
    SKIFF_ASSERT(format_checkpoint("pod", *record) == bytes);
}

}  // namespace skiff::state
