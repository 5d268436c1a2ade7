// Layers and archives become folders: nothing outside the target is ever touched. Blocking.
#pragma once

#include <filesystem>
#include <optional>

#include "images/digest.h"
#include "images/formats.h"

namespace skiff::images {

enum class Content {
    layer,    // an image layer: whiteouts become what overlayfs understands
    archive,  // an OCI archive: only folders and regular files are taken
};

struct UnpackRequest {
    std::filesystem::path file;
    std::filesystem::path target;  // an existing empty folder
    Content content = Content::layer;
    // Of the uncompressed tar, checked at the end.
    std::optional<Digest> diff_id;
    std::uint64_t bytes_max = 0;  // uncompressed
    std::uint64_t entries_max = 0;
};

// Unpacks a tar (plain, gzip or zstd by its first bytes). Refuses names with "..", hard links that
// leave the target, too many entries or bytes (Code::exhausted), a wrong diff id (Code::corrupt).
// Absolute symbolic links are made relative; devices, FIFOs and extended attributes are left out;
// set-uid bits are cleared; owners are kept where the process may set them.
[[nodiscard]] Result<void> unpack(const UnpackRequest& request);

// Unpacks one layer to `target` (which appears complete or not at all), durably.
[[nodiscard]] Result<void> unpack_layer(const std::filesystem::path& blob, const Digest& diff_id,
                                        const std::filesystem::path& target);

// The path of `link`'s target relative to the folder that `link` is in, both inside the same root:
// ("a/b/link", "/usr/x") gives "../../usr/x".
[[nodiscard]] std::string relative_link(std::string_view link, std::string_view absolute_target);

}  // namespace skiff::images
