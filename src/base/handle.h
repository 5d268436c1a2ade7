// A C library's object that is freed by a function: `Handle<X509, X509_free>`.
#pragma once

#include <memory>

namespace skiff {

template <auto Free>
struct FreeBy {
    template <typename T>
    void operator()(T* object) const {
        Free(object);
    }
};

template <typename T, auto Free>
using Handle = std::unique_ptr<T, FreeBy<Free>>;

}  // namespace skiff
