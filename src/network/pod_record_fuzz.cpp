#include "network/pod_record.h"

#include "base/fuzz.h"

namespace skiff::network {

SKIFF_FUZZ(network_pod_record) {
    auto record = parse_pod_record(bytes);
    if (!record) {
        fuzz::check_error(record.error());
        return;
    }
    SKIFF_ASSERT(parse_pod_record(format_pod_record(*record)) == *record);
}

}  // namespace skiff::network
