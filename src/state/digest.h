// SHA-2 over memory and over open files, for every room that keys or checks files by content.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/types.h"

struct evp_md_ctx_st;

namespace skiff::state {

enum class HashKind { sha256, sha512 };

// Computes one digest. Any thread, one at a time.
class Hasher {
public:
    explicit Hasher(HashKind kind = HashKind::sha256);
    ~Hasher();
    Hasher(const Hasher&) = delete;
    Hasher& operator=(const Hasher&) = delete;

    void update(std::string_view bytes);
    // The digest of everything so far, in lower-case hexadecimal. Once.
    [[nodiscard]] std::string finish_hex();

private:
    std::unique_ptr<evp_md_ctx_st, void (*)(evp_md_ctx_st*)> context_;
};

// Lower-case hexadecimal.
[[nodiscard]] std::string sha256_hex(std::string_view bytes);
// Blocking: the digest and size of a whole regular file, read from its start by pread(2).
struct FileHash {
    std::string hex;
    Bytes size;
};
[[nodiscard]] Result<FileHash> hash_file(int fd, HashKind kind = HashKind::sha256);

}  // namespace skiff::state
