#include "base/fuzz.h"
#include "network/cni_cache.h"

namespace skiff::network {

// The input: a record, whole or damaged.
SKIFF_FUZZ(network_cni_cache) {
    const auto record = parse_cni_record(bytes);
    if (!record) {
        fuzz::check_error(record.error());
        SKIFF_ASSERT(record.error().code == Code::corrupt);
        return;
    }
    SKIFF_ASSERT(check_cni_key(record->parameters.key));
    SKIFF_ASSERT(!record->config.plugins.empty());
    const auto again = parse_cni_record(format_cni_record(*record));
    SKIFF_ASSERT(again && again->parameters == record->parameters);
    SKIFF_ASSERT(again->config.plugins == record->config.plugins);
    SKIFF_ASSERT(again->result == record->result);
}

}  // namespace skiff::network
