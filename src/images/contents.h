// Which modules the images of the store hold: what was compiled of others is of no more use.
#pragma once

#include <map>
#include <set>

#include "async/task.h"
#include "base/result.h"
#include "images/store.h"

namespace skiff::images {

// Of `wanted` modules (digest and size) those that an image of the store has, as an artifact's
// module or as a .wasm file in an unpacked layer. Only files of the right size are hashed.
[[nodiscard]] async::Task<Result<std::set<Digest>>> find_modules(
    Store& store, std::map<Digest, std::uint64_t> wanted);

}  // namespace skiff::images
