#include "pods/expand.h"

#include "base/fuzz.h"
#include "base/text.h"

namespace skiff::pods {

// The input: the value of $(A), a zero byte, the text.
SKIFF_FUZZ(pods_expand) {
    fuzz::Input input(bytes);
    const Variables variables = {{"A", std::string(input.part())}, {"B", ""}};
    const std::string_view text = input.rest();
    const std::string plain = expand(text, {});
    SKIFF_ASSERT(plain.size() <= text.size());
    if (text.find('$') == std::string_view::npos) {
        SKIFF_ASSERT(plain == text);
        SKIFF_ASSERT(expand(text, variables) == text);
    }
    const auto path = expand_sub_path(text, variables);
    if (!path) {
        fuzz::check_error(path.error());
        SKIFF_ASSERT(path.error().reason == "CreateContainerConfigError");
        return;
    }
    SKIFF_ASSERT(!path->starts_with('/'));
    for (const std::string_view part : split(*path, '/')) {
        SKIFF_ASSERT(part != "..");
    }
    SKIFF_ASSERT(*path == expand(text, variables));
}

}  // namespace skiff::pods
