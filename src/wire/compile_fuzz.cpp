#include "base/fuzz.h"
#include "wire/compile.h"

namespace skiff::wire {

SKIFF_FUZZ(wire_compile) {
    const auto report = decode<CompileReport>(bytes);
    if (!report) {
        fuzz::check_error(report.error());
        return;
    }
    const std::string text = encode(*report);
    const auto again = decode<CompileReport>(text);
    SKIFF_ASSERT(again && *again == *report);
    SKIFF_ASSERT(encode(*again) == text);
}

}  // namespace skiff::wire
