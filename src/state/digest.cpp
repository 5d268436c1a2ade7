#include "state/digest.h"

#include "base/text.h"
#include "os/file.h"

namespace skiff::state {

Result<FileHash> hash_file(int fd, HashKind kind) {
    Hasher hasher(kind);
    SKIFF_TRY(Bytes size,
              os::read_through(fd, [&](std::string_view chunk) { hasher.update(chunk); }));
    return FileHash{to_hex(hasher.finish()), size};
}

}  // namespace skiff::state
