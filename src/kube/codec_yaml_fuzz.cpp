#include <boost/json.hpp>
#include <cmath>

#include "base/fuzz.h"
#include "kube/codec.h"

namespace skiff::kube {

static boost::json::value value_of(const std::string& text) {
    boost::json::parse_options options;
    options.max_depth = 1000;  // what the codec accepts is its own affair
    options.allow_invalid_utf8 = true;
    return boost::json::parse(text, {}, options);
}

// Equal, but for the last digits of numbers that no integer holds: Boost.JSON 1.81 reads those in a
// quick way that is not exact.
static bool are_alike(const boost::json::value& a, const boost::json::value& b) {
    if (a.is_double() && b.is_double()) {
        const double scale = std::max(std::abs(a.get_double()), std::abs(b.get_double()));
        return std::abs(a.get_double() - b.get_double()) <= scale * 1e-12;
    }
    if (a.is_object() && b.is_object()) {
        return std::ranges::equal(a.get_object(), b.get_object(), [](auto& x, auto& y) {
            return x.key() == y.key() && are_alike(x.value(), y.value());
        });
    }
    if (a.is_array() && b.is_array()) {
        return std::ranges::equal(a.get_array(), b.get_array(), are_alike);
    }
    return a == b;
}

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
    SKIFF_ASSERT(are_alike(value_of(again->front().json), value_of(document.json)));
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
