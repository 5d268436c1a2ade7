#include "images/oci.h"

#include <array>

#include "base/fuzz.h"
#include "images/formats.h"
#include "images/limits.h"

namespace skiff::images {

constexpr std::array<std::string_view, 6> kContentTypes = {
    "", kOciIndex, kOciManifest, kDockerList, kDockerManifest, "application/json; charset=utf-8"};

static void check_index(const Index& index) {
    SKIFF_ASSERT(index.manifests.size() <= kIndexEntriesMax);
    for (const Descriptor& entry : index.manifests) {
        SKIFF_ASSERT(entry.size <= kManifestBytesMax);
    }
    if (select_platform(index) == nullptr) {
        fuzz::check_error(no_platform(index));
    } else {
        SKIFF_ASSERT(select_platform(index, Purpose::volume) != nullptr, "any will do");
    }
}

static void check_recipe(const Manifest& manifest, const ImageDocument& config) {
    const auto recipe = classify(Candidate{manifest, config, "team/app", ""});
    if (!recipe) {
        fuzz::check_error(recipe.error());
        return;
    }
    const std::string& name = recipe->module_name;
    if (recipe->kind == Kind::artifact) {
        SKIFF_ASSERT(recipe->layers.size() == 1);
        SKIFF_ASSERT(!name.empty() && name.size() <= 255);
        SKIFF_ASSERT(name.find('/') == std::string::npos && name != "." && name != "..");
    } else {
        SKIFF_ASSERT(recipe->config.diff_ids.size() == recipe->layers.size());
    }
}

static void check_volume_recipe(const Manifest& manifest, const ImageDocument& config) {
    const auto recipe = classify(Candidate{manifest, config, "team/app", "", Purpose::volume});
    if (!recipe) {
        fuzz::check_error(recipe.error());
        return;
    }
    SKIFF_ASSERT(recipe->kind != Kind::artifact);
    const std::size_t parts =
        recipe->kind == Kind::files ? recipe->names.size() : recipe->config.diff_ids.size();
    SKIFF_ASSERT(parts == recipe->layers.size());
}

static void check_layout(std::string_view json) {
    const auto layout = parse_layout_index(json);
    if (!layout) {
        fuzz::check_error(layout.error());
        return;
    }
    const std::string text = format_layout_index(*layout);
    const auto again = parse_layout_index(text);
    SKIFF_ASSERT(again && again->size() == layout->size());
    for (std::size_t i = 0; i < layout->size(); ++i) {
        SKIFF_ASSERT((*again)[i].digest == (*layout)[i].digest);
        SKIFF_ASSERT((*again)[i].size == (*layout)[i].size);
        SKIFF_ASSERT((*again)[i].annotations == (*layout)[i].annotations);
    }
    SKIFF_ASSERT(format_layout_index(*again) == text);
}

// The input: a byte that chooses the content type, a manifest or index, a zero byte, a config.
SKIFF_FUZZ(images_oci) {
    fuzz::Input input(bytes);
    const std::string_view type = kContentTypes[input.byte() % kContentTypes.size()];
    const std::string_view json = input.part();
    check_layout(json);
    const auto config = parse_image_document(input.rest());
    if (!config) {
        fuzz::check_error(config.error());
    }
    const auto document = parse_document(json, type);
    if (!document) {
        fuzz::check_error(document.error());
        return;
    }
    if (const auto* index = std::get_if<Index>(&*document)) {
        check_index(*index);
        return;
    }
    const auto& manifest = std::get<Manifest>(*document);
    SKIFF_ASSERT(manifest.layers.size() <= kLayersMax);
    SKIFF_ASSERT(manifest.config.size <= kConfigBytesMax);
    check_recipe(manifest, config.value_or(ImageDocument{}));
    check_volume_recipe(manifest, config.value_or(ImageDocument{}));
}

}  // namespace skiff::images
