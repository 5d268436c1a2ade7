// The OCI and docker documents: manifest, index, image config. Pure: JSON text to values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "images/digest.h"

namespace skiff::images {

inline constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kDockerList =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kDockerManifest =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kOciConfig = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kDockerConfig = "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view kWasmConfig = "application/vnd.wasm.config.v0+json";
inline constexpr std::string_view kWasmLayer = "application/wasm";

using Annotations = std::map<std::string, std::string>;

struct Platform {
    std::string os;
    std::string architecture;
    std::string variant;
    friend bool operator==(const Platform&, const Platform&) = default;
};
// "os/architecture".
[[nodiscard]] std::string format_as(const Platform& platform);

struct Descriptor {
    std::string media_type;
    Digest digest;
    std::uint64_t size = 0;
    Annotations annotations;
    std::optional<Platform> platform;
    std::string artifact_type;
    friend bool operator==(const Descriptor&, const Descriptor&) = default;
};

struct Manifest {
    std::string media_type;
    std::string artifact_type;
    Descriptor config;
    std::vector<Descriptor> layers;
    Annotations annotations;
};

// Config and layers as they are transferred: what kubectl and the scheduler call an image's size.
[[nodiscard]] Bytes size_of(const Manifest& manifest);

struct Index {
    std::string media_type;
    std::vector<Descriptor> manifests;
    Annotations annotations;
};

using Document = std::variant<Manifest, Index>;

// Parses what /manifests/ answered. `content_type` is the response's header (parameters allowed),
// empty when there was none. Fails with invalid (not JSON, missing parts, two meanings at once,
// sizes beyond the limits) or unsupported (docker schema 1 and other types).
[[nodiscard]] Result<Document> parse_document(std::string_view json, std::string_view content_type);

// What an image is wanted for.
enum class Purpose {
    run,     // a container: Wasm only
    volume,  // an image volume (contract row 67): any image, any artifact
};

// The entry of `index` to run here, by the order wasip2/wasm, wasip1/wasm, wasi/wasm, wasi/wasm32,
// linux/wasm, then the only entry; attestations do not count. nullptr when none fits. For a volume
// any will do: then what is for Linux on this machine, then the first.
[[nodiscard]] const Descriptor* select_platform(const Index& index, Purpose purpose = Purpose::run);

// An image config as far as Skiff needs it.
struct ImageDocument {
    Platform platform;
    std::vector<std::string> entrypoint;
    std::vector<std::string> cmd;
    std::vector<std::string> env;
    std::string working_dir;
    std::string user;
    std::vector<Digest> diff_ids;
    Annotations labels;
    friend bool operator==(const ImageDocument&, const ImageDocument&) = default;
};
// Fails with invalid.
[[nodiscard]] Result<ImageDocument> parse_image_document(std::string_view json);

// index.json of an OCI layout: one entry for each name and manifest.
[[nodiscard]] Result<std::vector<Descriptor>> parse_layout_index(std::string_view json);
[[nodiscard]] std::string format_layout_index(const std::vector<Descriptor>& manifests);

// The JSON of a CNCF Wasm artifact around one module, for images that are made here.
struct ArtifactDocuments {
    std::string config;
    std::string manifest;
};
[[nodiscard]] ArtifactDocuments format_artifact(const Digest& module, std::uint64_t size,
                                                std::string_view title);

}  // namespace skiff::images
