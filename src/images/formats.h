// Which kind of image a manifest is, and what of it Skiff runs. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "images/oci.h"

namespace skiff::images {

enum class Kind {
    artifact,  // one layer, and that is the module
    layered,   // layers are tar files of a root filesystem that has .wasm files in it
    files,     // each layer is a file: of a volume
};

// What to fetch and how to see it, before a layer was fetched.
struct Recipe {
    Kind kind = Kind::artifact;
    std::vector<Descriptor> layers;  // the module, or the tar files lowest first
    ImageDocument config;            // of the image config; empty where there is none
    std::string module_name;         // of an artifact: a plain file name, argv[0]
    std::vector<std::string> names;  // of files, one for each layer: relative paths, not checked
    friend bool operator==(const Recipe&, const Recipe&) = default;
};

// The words of an image and its user that classify() looks at.
struct Candidate {
    const Manifest& manifest;
    const ImageDocument& config;
    // Repository and, for layered images, what the pod's `command` starts with (may be empty).
    std::string repository;
    std::string command;
    Purpose purpose = Purpose::run;
};

// Whether the config blob is an image config, by its type alone. Its words (Env, Cmd, User, …) are
// inherited then, also by an image whose one layer is a module (a "runwasi layer" image). Any other
// blob may hold anything, often "{}": it is kept but not read.
[[nodiscard]] bool has_image_config(const Manifest& manifest);

// To run, fails with Code::unsupported for Linux images, artifacts of several layers and foreign
// formats; the message names what was found and what to push instead.
[[nodiscard]] Result<Recipe> classify(const Candidate& candidate);

// The failure for an index of which nothing can run here.
[[nodiscard]] Error no_platform(const Index& index);

// How a layer of a layered image is packed; nullopt for media types that are no layer.
enum class Compression { none, gzip, zstd };
[[nodiscard]] std::optional<Compression> layer_compression(std::string_view media_type);

// Whether a command names a Wasm file: it ends in ".wasm", or in ".wasm#function".
[[nodiscard]] bool names_wasm(std::string_view word);

}  // namespace skiff::images
