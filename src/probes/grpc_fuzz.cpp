#include "probes/grpc.h"

#include "base/fuzz.h"
#include "probes/request.h"

namespace skiff::probes {

// The input: a server's message, which is its answer, a grpc-message and a probe's path as well.
SKIFF_FUZZ(probes_grpc) {
    if (auto serving = decode_health_response(bytes)) {
        SKIFF_ASSERT(!name_of(*serving).empty());
    }
    SKIFF_ASSERT(decode_grpc_message(bytes).size() <= bytes.size());
    const std::string target = target_of(bytes);
    SKIFF_ASSERT(target.starts_with('/') && target_of(target) == target);
    SKIFF_ASSERT(target.find_first_of(" \r\n#") == std::string::npos);
}

}  // namespace skiff::probes
