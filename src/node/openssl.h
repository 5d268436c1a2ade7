// OpenSSL's objects as values, for what makes keys and certificates here.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <string>
#include <string_view>

#include "base/handle.h"
#include "base/result.h"

namespace skiff::node::openssl {

using Key = Handle<EVP_PKEY, EVP_PKEY_free>;
using Request = Handle<X509_REQ, X509_REQ_free>;
using Memory = Handle<BIO, BIO_free_all>;

// What the library says of its last failure; there is none afterwards.
inline Error error_of(std::string_view what) {
    char text[256] = "unknown";
    if (unsigned long code = ERR_get_error(); code != 0) {
        ERR_error_string_n(code, text, sizeof text);
    }
    ERR_clear_error();
    return Error{Code::internal, {}, fmt::format("{}: {}", what, text), {}};
}

inline std::string text_of(const Memory& memory) {
    char* bytes = nullptr;
    long size = BIO_get_mem_data(memory.get(), &bytes);
    return std::string(bytes, static_cast<std::size_t>(size));
}

}  // namespace skiff::node::openssl
