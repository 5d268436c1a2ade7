// Images from files: an OCI layout folder, an OCI archive, a bare module.
#pragma once

#include <filesystem>
#include <string>

#include "images/store.h"

namespace skiff::images {

struct LoadRequest {
    // "/a/layout", "/a/layout:name", "/a/archive.tar", "/a/module.wasm". What follows the last
    // colon, where no such file exists, chooses among the images of a layout by its ref name.
    std::string path;
    // The name to give it; empty: made from the file's name ("localhost/module:latest").
    std::string name;
};

// Copies the image into `store`, every byte checked, and names it there. Pods use it by that name
// with any policy but Always. Fails with not_found, unsupported, invalid, corrupt, exhausted.
[[nodiscard]] async::Task<Result<StoredImage>> load_image(Store& store, LoadRequest request);

}  // namespace skiff::images
