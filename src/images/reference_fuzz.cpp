#include "images/reference.h"

#include "base/fuzz.h"
#include "images/limits.h"

namespace skiff::images {

SKIFF_FUZZ(images_reference) {
    if (auto digest = Digest::parse(bytes)) {
        SKIFF_ASSERT(Digest::parse(digest->algorithm() + ":" + digest->hex()) == *digest);
        SKIFF_ASSERT(digest->str().find('/') == std::string::npos);
    } else {
        fuzz::check_error(digest.error());
    }
    const auto reference = parse_reference(bytes);
    if (!reference) {
        fuzz::check_error(reference.error());
        return;
    }
    SKIFF_ASSERT(!reference->registry.empty() && !reference->repository.empty());
    SKIFF_ASSERT(!reference->manifest_key().empty());
    SKIFF_ASSERT(reference->name().size() <= kNameBytesMax);
    SKIFF_ASSERT(reference->tag.size() <= kTagBytesMax);
    SKIFF_ASSERT(reference->name().find("..") == std::string::npos);
    const auto again = parse_reference(reference->str());
    SKIFF_ASSERT(again && *again == *reference, reference->str());
}

}  // namespace skiff::images
