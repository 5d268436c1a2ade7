#include "app/powers.h"

#include <unistd.h>

#include "base/log.h"

namespace skiff::app {

os::IdMapProbe make_probe() {
    if (::geteuid() != 0) {
        return {};
    }
    auto probe = os::IdMapProbe::create();
    if (!probe) {
        log::warn("volumes on filesystems that cannot map ids are not recognised",
                  log::kv("error", format_as(probe.error())));
        return {};
    }
    return std::move(*probe);
}

}  // namespace skiff::app
