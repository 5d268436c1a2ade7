#include "base/fuzz.h"
#include "kube/codec.h"

namespace skiff::kube {

template <typename T>
static void check_decoded(const Document& document) {
    const auto object = from_document<T>(document);
    if (!object) {
        fuzz::check_error(object.error());
    }
}

static void check_document(const Document& document) {
    SKIFF_ASSERT(!document.apiVersion.empty() && !document.kind.empty());
    check_decoded<Pod>(document);
    check_decoded<ConfigMap>(document);
    // Its JSON is a manifest of one object.
    const auto again = parse_manifest(document.json);
    if (!again) {
        fuzz::check_error(again.error());
        return;
    }
    SKIFF_ASSERT(again->size() == 1);
    SKIFF_ASSERT(again->front().kind == document.kind && again->front().name == document.name);
    SKIFF_ASSERT(again->front().json == document.json);
}

SKIFF_FUZZ(kube_codec_yaml) {
    const auto json = yaml_to_json(bytes);
    if (!json) {
        fuzz::check_error(json.error());
    } else {
        SKIFF_ASSERT(!json->empty());
    }
    const auto documents = parse_manifest(bytes);
    if (!documents) {
        fuzz::check_error(documents.error());
        return;
    }
    SKIFF_ASSERT(documents->size() <= kManifestDocumentsMax);
    for (const Document& document : *documents) {
        check_document(document);
    }
}

}  // namespace skiff::kube
