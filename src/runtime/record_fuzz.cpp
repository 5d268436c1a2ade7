#include "runtime/record.h"

#include "base/fuzz.h"
#include "runtime/artifact_store.h"

namespace skiff::runtime {

template <typename T>
static void check_record(std::string_view bytes) {
    const auto record = wire::decode<T>(bytes);
    if (!record) {
        fuzz::check_error(record.error());
        return;
    }
    const std::string text = wire::encode(*record);
    const auto again = wire::decode<T>(text);
    SKIFF_ASSERT(again && wire::encode(*again) == text);
}

SKIFF_FUZZ(runtime_record) {
    check_record<StoredContainer>(bytes);
    check_record<StoredPod>(bytes);
    check_record<StoredFacts>(bytes);
    if (const auto stored = wire::decode<StoredContainer>(bytes)) {
        const pods::ContainerRecord record = stored->to_record();
        SKIFF_ASSERT(record.exit.has_value() == (stored->phase == Phase::ended));
    }
}

}  // namespace skiff::runtime
