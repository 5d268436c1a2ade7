#include "images/formats.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace skiff::images {

namespace {

constexpr std::string_view kTitle = "org.opencontainers.image.title";
constexpr std::string_view kAdvice =
    "push a Wasm artifact (for instance `wkg oci push`, or `oras push` with a layer of type "
    "application/wasm) or an image whose entrypoint ends in .wasm";

// Layers whose bytes are a module or component as it is.
constexpr std::array<std::string_view, 5> kModuleLayers = {
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
    "application/vnd.bytecodealliance.wasm.module.layer.v0+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
};

constexpr std::array<std::string_view, 2> kArtifactConfigs = {
    kWasmConfig,
    "application/vnd.wasm.config.v1+json",
};

bool is_module_layer(const Descriptor& layer) {
    return std::find(kModuleLayers.begin(), kModuleLayers.end(), layer.media_type) !=
           kModuleLayers.end();
}

bool is_artifact_config(const Manifest& manifest) {
    return std::find(kArtifactConfigs.begin(), kArtifactConfigs.end(),
                     manifest.config.media_type) != kArtifactConfigs.end();
}

bool is_artifact(const Manifest& manifest) {
    return is_artifact_config(manifest) ||
           std::any_of(manifest.layers.begin(), manifest.layers.end(), is_module_layer);
}

std::optional<std::string> find(const Annotations& annotations, std::string_view key) {
    auto found = annotations.find(std::string(key));
    return found == annotations.end() ? std::nullopt : std::optional(found->second);
}

// The last path component, if it can be a file's name.
std::string file_name(std::string_view text) {
    auto slash = text.find_last_of("/\\");
    if (slash != std::string_view::npos) {
        text.remove_prefix(slash + 1);
    }
    bool plain = !text.empty() && text.size() <= 255 && text != "." && text != ".." &&
                 std::all_of(text.begin(), text.end(), [](char c) {
                     return static_cast<unsigned char>(c) > 0x20 && c != 0x7f;
                 });
    return plain ? bounded_utf8(text, 255) : std::string();
}

std::string module_name(const Descriptor& layer, const std::string& repository) {
    std::string name = file_name(find(layer.annotations, kTitle).value_or(""));
    if (name.empty()) {
        name = file_name(repository);
        name += name.ends_with(".wasm") ? "" : ".wasm";
    }
    return name;
}

std::string join(const std::vector<std::string>& words) {
    std::string out;
    for (const std::string& word : words) {
        out += out.empty() ? "" : " ";
        out += word;
    }
    return bounded_utf8(out, 200);
}

Result<Recipe> classify_artifact(const Candidate& candidate) {
    const Manifest& manifest = candidate.manifest;
    bool spin =
        std::any_of(manifest.layers.begin(), manifest.layers.end(), [](const Descriptor& layer) {
            return layer.media_type.find("fermyon.spin") != layer.media_type.npos;
        });
    if (spin) {
        return fail(Code::unsupported,
                    "a Spin application, which only Spin can run; push its component: {}", kAdvice);
    }
    if (manifest.layers.size() != 1) {
        return fail(Code::unsupported,
                    "a Wasm artifact with {} layers, while exactly one is allowed: {}",
                    manifest.layers.size(), kAdvice);
    }
    const Descriptor& layer = manifest.layers.front();
    if (!is_module_layer(layer)) {
        return fail(Code::unsupported, "a Wasm artifact whose layer has the type {:?}: {}",
                    bounded_utf8(layer.media_type, 128), kAdvice);
    }
    return Recipe{Kind::artifact,
                  manifest.layers,
                  candidate.config,
                  module_name(layer, candidate.repository),
                  {}};
}

Result<void> check_diff_ids(const Candidate& candidate) {
    std::size_t layers = candidate.manifest.layers.size();
    if (candidate.config.diff_ids.size() != layers) {
        return fail(Code::invalid, "{} layers, but {} diff ids in the config", layers,
                    candidate.config.diff_ids.size());
    }
    return {};
}

// A tree where every layer is a part of one, else a file for each layer: as its title says, as it
// would run, or by its digest.
Result<Recipe> classify_for_volume(const Candidate& candidate) {
    const Manifest& manifest = candidate.manifest;
    bool tree = has_image_config(manifest) &&
                std::ranges::all_of(manifest.layers, [](const Descriptor& layer) {
                    return layer_compression(layer.media_type).has_value();
                });
    if (tree) {
        SKIFF_CHECK(check_diff_ids(candidate));
        return Recipe{Kind::layered, manifest.layers, candidate.config, {}, {}};
    }
    Recipe recipe{Kind::files, manifest.layers, candidate.config, {}, {}};
    for (const Descriptor& layer : manifest.layers) {
        std::string name = find(layer.annotations, kTitle).value_or("");
        if (name.empty() && is_module_layer(layer)) {
            name = module_name(layer, candidate.repository);
        }
        recipe.names.push_back(name.empty() ? layer.digest.hex() : name);
    }
    return recipe;
}

bool platform_says_wasm(const Platform& platform) {
    return platform.architecture == "wasm" || platform.architecture == "wasm32" ||
           platform.os.starts_with("wasi");
}

bool annotations_say_wasm(const Annotations& annotations, bool command_is_wasm) {
    auto variant = find(annotations, "module.wasm.image/variant");
    auto handler = find(annotations, "run.oci.handler");
    if (variant == "compat" || handler == "wasm") {
        return true;
    }
    return (variant == "compat-smart" || handler == "wasm-smart") && command_is_wasm;
}

}  // namespace

bool names_wasm(std::string_view word) {
    auto hash = word.rfind('#');
    if (hash != std::string_view::npos) {
        word = word.substr(0, hash);
    }
    return word.ends_with(".wasm");
}

bool has_image_config(const Manifest& manifest) {
    return manifest.config.media_type == kOciConfig || manifest.config.media_type == kDockerConfig;
}

std::optional<Compression> layer_compression(std::string_view type) {
    bool layer = type.starts_with("application/vnd.oci.image.layer.") ||
                 type.starts_with("application/vnd.docker.image.rootfs.");
    if (!layer) {
        return std::nullopt;
    }
    if (type.ends_with("tar+gzip") || type.ends_with("tar.gzip")) {
        return Compression::gzip;
    }
    if (type.ends_with("tar+zstd") || type.ends_with("tar.zstd")) {
        return Compression::zstd;
    }
    bool plain = type.ends_with(".tar");
    return plain ? std::optional(Compression::none) : std::nullopt;
}

Result<Recipe> classify(const Candidate& candidate) {
    const Manifest& manifest = candidate.manifest;
    const ImageDocument& config = candidate.config;
    if (candidate.purpose == Purpose::volume) {
        return classify_for_volume(candidate);
    }
    if (is_artifact(manifest)) {
        return classify_artifact(candidate);
    }
    if (!has_image_config(manifest)) {
        return fail(Code::unsupported, "an artifact with a config of type {:?}: {}",
                    bounded_utf8(manifest.config.media_type, 128), kAdvice);
    }
    std::string first = !candidate.command.empty()   ? candidate.command
                        : !config.entrypoint.empty() ? config.entrypoint.front()
                        : !config.cmd.empty()        ? config.cmd.front()
                                                     : "";
    bool wasm = names_wasm(first) || platform_says_wasm(config.platform) ||
                annotations_say_wasm(manifest.annotations, names_wasm(first)) ||
                annotations_say_wasm(config.labels, names_wasm(first));
    if (!wasm) {
        std::vector<std::string> words = config.entrypoint;
        words.insert(words.end(), config.cmd.begin(), config.cmd.end());
        return fail(
            Code::unsupported,
            "a Linux image ({}, command {:?}), not WebAssembly; Skiff runs no machine code: {}",
            format_as(config.platform), join(words), kAdvice);
    }
    for (const Descriptor& layer : manifest.layers) {
        if (!layer_compression(layer.media_type)) {
            return fail(Code::unsupported, "a layer of type {:?}",
                        bounded_utf8(layer.media_type, 128));
        }
    }
    SKIFF_CHECK(check_diff_ids(candidate));
    return Recipe{Kind::layered, manifest.layers, config, {}, {}};
}

Error no_platform(const Index& index) {
    std::string found;
    for (const Descriptor& entry : index.manifests) {
        if (entry.platform && entry.platform->os != "unknown" && found.size() < 200) {
            found += (found.empty() ? "" : ", ") + format_as(*entry.platform);
        }
    }
    return fail(Code::unsupported,
                "a Linux image (platforms {}), not WebAssembly; Skiff runs no machine code: {}",
                found.empty() ? "none" : bounded_utf8(found, 256), kAdvice)
        .value();
}

}  // namespace skiff::images
