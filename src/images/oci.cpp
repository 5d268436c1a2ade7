#include "images/oci.h"

#include <array>

#include "base/text.h"
#include "images/json.h"
#include "images/limits.h"

namespace skiff::images {

namespace json = boost::json;

namespace {

Result<Descriptor> parse_descriptor(const json::object& object, std::uint64_t size_max) {
    SKIFF_TRY(Digest digest, Digest::parse(string_in(object, "digest")));
    auto size = integer_in(object, "size");
    if (!size || *size < 0 || static_cast<std::uint64_t>(*size) > size_max) {
        return fail(Code::invalid, "the size of {} is missing or not in 0 to {}", digest, size_max);
    }
    Descriptor out{
        string_in(object, "mediaType"),       std::move(digest), static_cast<std::uint64_t>(*size),
        string_map_in(object, "annotations"), std::nullopt,      string_in(object, "artifactType")};
    if (const json::object* platform = object_in(object, "platform")) {
        out.platform = Platform{string_in(*platform, "os"), string_in(*platform, "architecture"),
                                string_in(*platform, "variant")};
    }
    return out;
}

Result<std::vector<Descriptor>> parse_descriptors(const json::array& array, std::size_t count_max,
                                                  std::uint64_t size_max) {
    if (array.size() > count_max) {
        return fail(Code::invalid, "{} entries, more than {}", array.size(), count_max);
    }
    std::vector<Descriptor> out;
    for (const json::value& item : array) {
        if (!item.is_object()) {
            return fail(Code::invalid, "an entry is not an object");
        }
        SKIFF_TRY(Descriptor one, parse_descriptor(item.get_object(), size_max));
        out.push_back(std::move(one));
    }
    return out;
}

Result<Document> parse_manifest(const json::object& object, std::string media_type) {
    const json::object* config = object_in(object, "config");
    const json::array* layers = array_in(object, "layers");
    if (config == nullptr || layers == nullptr) {
        return fail(Code::invalid, "the manifest has no config or no layers");
    }
    SKIFF_TRY(Descriptor config_out, parse_descriptor(*config, kConfigBytesMax));
    SKIFF_TRY(auto layers_out, parse_descriptors(*layers, kLayersMax, kBlobBytesMax));
    return Manifest{std::move(media_type), string_in(object, "artifactType"), std::move(config_out),
                    std::move(layers_out), string_map_in(object, "annotations")};
}

std::string kind_of(const json::object& object, std::string_view content_type) {
    std::string header = to_lower(trim(content_type.substr(0, content_type.find(';'))));
    std::string own = string_in(object, "mediaType");
    if (!own.empty()) {
        return own;
    }
    bool specific = header == kOciIndex || header == kOciManifest || header == kDockerList ||
                    header == kDockerManifest;
    if (specific) {
        return header;
    }
    if (object.contains("manifests")) {
        return std::string(kOciIndex);
    }
    return object.contains("layers") ? std::string(kOciManifest) : header;
}

int rank_of(const Platform& platform) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kOrder = {{
        {"wasip2", "wasm"},
        {"wasip1", "wasm"},
        {"wasi", "wasm"},
        {"wasi", "wasm32"},
        {"linux", "wasm"},
    }};
    for (std::size_t i = 0; i < kOrder.size(); ++i) {
        if (platform.os == kOrder[i].first && platform.architecture == kOrder[i].second) {
            return static_cast<int>(i);
        }
    }
    return static_cast<int>(kOrder.size());
}

bool is_attestation(const Descriptor& entry) {
    return entry.annotations.contains("vnd.docker.reference.type") ||
           (entry.platform && entry.platform->os == "unknown");
}

// What is for this machine, else the first: files are files.
const Descriptor* select_for_volume(const Index& index) {
#if defined(__aarch64__)
    constexpr std::string_view kArchitecture = "arm64";
#else
    constexpr std::string_view kArchitecture = "amd64";
#endif
    const Descriptor* first = nullptr;
    for (const Descriptor& entry : index.manifests) {
        if (is_attestation(entry)) {
            continue;
        }
        if (entry.platform && entry.platform->os == "linux" &&
            entry.platform->architecture == kArchitecture) {
            return &entry;
        }
        first = first == nullptr ? &entry : first;
    }
    return first;
}

}  // namespace

std::string format_as(const Platform& platform) {
    return platform.os + "/" + platform.architecture;
}

Result<Document> parse_document(std::string_view text, std::string_view content_type) {
    SKIFF_TRY(json::object object, parse_object(text));
    std::string kind = kind_of(object, content_type);
    // One document must not mean two things to two readers.
    if (object.contains("manifests") && (object.contains("layers") || object.contains("config"))) {
        return fail(Code::invalid, "a manifest and an index in one document");
    }
    if (kind == kOciIndex || kind == kDockerList) {
        const json::array* manifests = array_in(object, "manifests");
        if (manifests == nullptr) {
            return fail(Code::invalid, "the index lists no manifests");
        }
        SKIFF_TRY(auto entries, parse_descriptors(*manifests, kIndexEntriesMax, kManifestBytesMax));
        return Index{std::move(kind), std::move(entries), string_map_in(object, "annotations")};
    }
    if (kind == kOciManifest || kind == kDockerManifest) {
        return parse_manifest(object, std::move(kind));
    }
    if (integer_in(object, "schemaVersion") == 1) {
        return fail(Code::unsupported, "docker schema 1, which ended in 2019");
    }
    return fail(Code::unsupported, "a document of type {:?}", bounded_utf8(kind, 128));
}

Bytes size_of(const Manifest& manifest) {
    Bytes size{manifest.config.size};
    for (const Descriptor& layer : manifest.layers) {
        size.value += layer.size;
    }
    return size;
}

const Descriptor* select_platform(const Index& index, Purpose purpose) {
    const Descriptor* best = nullptr;
    const Descriptor* only = nullptr;
    std::size_t candidates = 0;
    int best_rank = rank_of(Platform{});
    for (const Descriptor& entry : index.manifests) {
        if (is_attestation(entry)) {
            continue;
        }
        ++candidates;
        only = &entry;
        int rank = entry.platform ? rank_of(*entry.platform) : best_rank;
        if (rank < best_rank) {
            best = &entry;
            best_rank = rank;
        }
    }
    if (best != nullptr) {
        return best;
    }
    if (purpose == Purpose::volume) {
        return select_for_volume(index);
    }
    return candidates == 1 ? only : nullptr;
}

Result<ImageDocument> parse_image_document(std::string_view text) {
    SKIFF_TRY(json::object object, parse_object(text));
    ImageDocument out;
    out.platform = Platform{string_in(object, "os"), string_in(object, "architecture"),
                            string_in(object, "variant")};
    if (const json::object* config = object_in(object, "config")) {
        out.entrypoint = strings_in(*config, "Entrypoint");
        out.cmd = strings_in(*config, "Cmd");
        out.env = strings_in(*config, "Env");
        out.working_dir = string_in(*config, "WorkingDir");
        out.user = string_in(*config, "User");
        out.labels = string_map_in(*config, "Labels");
    }
    if (const json::object* rootfs = object_in(object, "rootfs")) {
        for (const std::string& id : strings_in(*rootfs, "diff_ids")) {
            SKIFF_TRY(Digest digest, Digest::parse(id));
            out.diff_ids.push_back(std::move(digest));
        }
    }
    return out;
}

Result<std::vector<Descriptor>> parse_layout_index(std::string_view text) {
    SKIFF_TRY(json::object object, parse_object(text));
    const json::array* manifests = array_in(object, "manifests");
    if (manifests == nullptr) {
        return fail(Code::invalid, "index.json lists no manifests");
    }
    return parse_descriptors(*manifests, kImagesMax, kManifestBytesMax);
}

std::string format_layout_index(const std::vector<Descriptor>& manifests) {
    json::array entries;
    for (const Descriptor& one : manifests) {
        json::object entry;
        entry["mediaType"] = one.media_type;
        entry["digest"] = one.digest.str();
        entry["size"] = one.size;
        if (one.platform) {
            entry["platform"] = {{"os", one.platform->os},
                                 {"architecture", one.platform->architecture}};
        }
        json::object annotations;
        for (const auto& [key, value] : one.annotations) {
            annotations[key] = value;
        }
        if (!annotations.empty()) {
            entry["annotations"] = std::move(annotations);
        }
        entries.push_back(std::move(entry));
    }
    json::object index;
    index["schemaVersion"] = 2;
    index["mediaType"] = json::string_view(kOciIndex.data(), kOciIndex.size());
    index["manifests"] = std::move(entries);
    return json::serialize(index);
}

ArtifactDocuments format_artifact(const Digest& module, std::uint64_t size,
                                  std::string_view title) {
    json::object config;
    config["architecture"] = "wasm";
    config["os"] = "wasip1";
    config["layerDigests"] = json::array{json::value(module.str())};
    std::string config_text = json::serialize(config);

    json::object config_descriptor;
    config_descriptor["mediaType"] = std::string(kWasmConfig);
    config_descriptor["digest"] = digest_of(config_text).str();
    config_descriptor["size"] = config_text.size();
    json::object layer;
    layer["mediaType"] = std::string(kWasmLayer);
    layer["digest"] = module.str();
    layer["size"] = size;
    layer["annotations"] = {{"org.opencontainers.image.title", std::string(title)}};
    json::object manifest;
    manifest["schemaVersion"] = 2;
    manifest["mediaType"] = std::string(kOciManifest);
    manifest["config"] = std::move(config_descriptor);
    manifest["layers"] = json::array{json::value(std::move(layer))};
    return ArtifactDocuments{std::move(config_text), json::serialize(manifest)};
}

}  // namespace skiff::images
