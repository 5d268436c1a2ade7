// Images that a manifest names by a path instead of a reference: `image: ./build/hello.wasm`.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "async/task.h"
#include "base/result.h"
#include "images/store.h"
#include "kube/types.h"

namespace skiff::app {

// "/…", "./…" and "../…" are paths; nothing that begins so is an image reference.
[[nodiscard]] bool is_path(std::string_view image);

// The name under which the store keeps the image at `path`: the same for the same path.
[[nodiscard]] std::string local_image_name(const std::filesystem::path& path);

// Loads every image of `pod` that is a path (relative ones from `folder`) and makes the pod name it
// by reference, to be taken from the store. Fails as images::load_image, naming the container.
[[nodiscard]] async::Task<Result<void>> load_local_images(images::Store& store, kube::Pod& pod,
                                                          std::filesystem::path folder);

}  // namespace skiff::app
