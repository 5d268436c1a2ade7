// Files of variables, which guests write. The input: the key, a zero, the file.
#include "base/assert.h"
#include "base/fuzz.h"
#include "pods/env_file.h"

namespace skiff::pods {

SKIFF_FUZZ(pods_env_file) {
    fuzz::Input input(bytes);
    std::string_view text = input.rest();
    std::size_t zero = std::min(text.find('\0'), text.size());
    std::string key(text.substr(0, zero));
    std::string_view file = text.substr(std::min(zero + 1, text.size()));
    auto found = find_in_env_file(file, key);
    if (!found) {
        fuzz::check_error(found.error());
        return;
    }
    SKIFF_ASSERT(!*found || !(*found)->empty(), "an empty value is none");
    SKIFF_ASSERT(!*found || (*found)->find('\'') == std::string::npos, "values end at a quote");
}

}  // namespace skiff::pods
