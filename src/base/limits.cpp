#include "base/limits.h"

namespace skiff {

Result<void> check_module_size(Bytes size) {
    if (size > kModuleBytesMax) {
        return fail(Code::exhausted,
                    "the module has {} bytes, more than the {} that a module may have", size.value,
                    kModuleBytesMax);
    }
    return {};
}

}  // namespace skiff
