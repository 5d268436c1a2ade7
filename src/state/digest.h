// SHA-2 over open files, for every room that keys or checks files by content.
#pragma once

#include <string>

#include "base/digest.h"
#include "base/result.h"
#include "base/types.h"

namespace skiff::state {

// Blocking: the digest (lower-case hexadecimal) and size of a whole regular file, read from its
// start by pread(2).
struct FileHash {
    std::string hex;
    Bytes size;
};
[[nodiscard]] Result<FileHash> hash_file(int fd, HashKind kind = HashKind::sha256);

}  // namespace skiff::state
