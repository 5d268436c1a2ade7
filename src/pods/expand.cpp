#include "pods/expand.h"

#include "base/text.h"

namespace skiff::pods {
namespace {

// The longest part of a text that a message repeats.
constexpr std::size_t kShownBytesMax = 256;

using Unknown = std::function<std::string(std::string_view name)>;

std::string expand_with(std::string_view text, const Variables& variables, const Unknown& unknown) {
    std::string out;
    out.reserve(text.size());
    std::size_t at = 0;
    while (at < text.size()) {
        if (text[at] != '$' || at + 1 == text.size()) {
            out += text[at++];
            continue;
        }
        char next = text[at + 1];
        if (next == '$') {
            out += '$';
            at += 2;
            continue;
        }
        std::size_t end = next == '(' ? text.find(')', at + 2) : std::string_view::npos;
        if (end == std::string_view::npos) {
            out += text[at++];
            continue;
        }
        std::string_view name = text.substr(at + 2, end - at - 2);
        auto found = variables.find(std::string(name));
        out += found != variables.end() ? found->second : unknown(name);
        at = end + 1;
    }
    return out;
}

}  // namespace

std::string expand(std::string_view text, const Variables& variables) {
    return expand_with(text, variables,
                       [](std::string_view name) { return fmt::format("$({})", name); });
}

Result<std::string> expand_sub_path(std::string_view text, const Variables& variables) {
    constexpr std::string_view kReason = "CreateContainerConfigError";
    const auto shown = [](std::string_view part) { return bounded_utf8(part, kShownBytesMax); };
    std::optional<std::string> missing;
    std::string path = expand_with(text, variables, [&](std::string_view name) {
        missing = missing.value_or(std::string(name));
        return std::string();
    });
    if (missing) {
        return fail_because(Code::invalid, kReason,
                            "subPathExpr \"{}\" names the unknown variable {}", shown(text),
                            shown(*missing));
    }
    if (path.starts_with('/')) {
        return fail_because(Code::invalid, kReason,
                            "subPathExpr \"{}\" expands to the absolute path \"{}\"", shown(text),
                            shown(path));
    }
    for (std::string_view part : split(path, '/')) {
        if (part == "..") {
            return fail_because(Code::invalid, kReason,
                                "subPathExpr \"{}\" expands to \"{}\", which must not contain '..'",
                                shown(text), shown(path));
        }
    }
    return path;
}

}  // namespace skiff::pods
