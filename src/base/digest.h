// SHA-2 over memory, keyed or not. Its own library (skiff_digest), the only one of this room that
// needs OpenSSL: the engine does without.
#pragma once

#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace skiff {

enum class HashKind { sha256, sha512, sha512_256 };

// Computes one digest. Any thread, one at a time.
class Hasher {
public:
    explicit Hasher(HashKind kind = HashKind::sha256);
    ~Hasher();
    Hasher(const Hasher&) = delete;
    Hasher& operator=(const Hasher&) = delete;

    void update(std::string_view bytes);
    // The digest of everything so far, as bytes (to_hex() makes it readable). Once.
    [[nodiscard]] std::string finish();

private:
    std::unique_ptr<evp_md_ctx_st, void (*)(evp_md_ctx_st*)> context_;
};

// As bytes.
[[nodiscard]] std::string hash_of(std::string_view bytes, HashKind kind = HashKind::sha256);
// In lower-case hexadecimal.
[[nodiscard]] std::string sha256_hex(std::string_view bytes);
// HMAC-SHA-256, as bytes.
[[nodiscard]] std::string hmac_sha256(std::string_view key, std::string_view bytes);

}  // namespace skiff
