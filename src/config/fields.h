// The table of settings and what is made from it: loading, flags, documentation.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/settings.h"

namespace YAML {
class Node;
}

namespace skiff::config {

enum class Document { kubelet, skiff };

// One setting.
struct Field {
    Document document = Document::skiff;
    std::string name;     // in the file, dotted for nested ones: "authentication.anonymous.enabled"
    std::string flag;     // without dashes, empty if there is none; a kubelet's flag keeps its name
    std::string type;     // for people: "duration", "list of strings"
    std::string meaning;  // one or two sentences
    // Sets it from a YAML value; the error states what is allowed.
    std::function<Result<void>(Settings&, const YAML::Node&)> set;
    // The present value, as it would stand in the file.
    std::function<std::string(const Settings&)> show;
};

// Every setting that Skiff obeys.
[[nodiscard]] std::span<const Field> fields();
// The field with this flag, nullptr if there is none.
[[nodiscard]] const Field* find_flag(std::string_view flag);

// Fields of KubeletConfiguration that a kubelet knows and Skiff does not use: accepted, with one
// line each.
[[nodiscard]] bool is_known_kubelet_field(std::string_view top_level_name);

struct Loaded {
    Settings settings;
    // One line each: unknown or unused KubeletConfiguration fields.
    std::vector<std::string> warnings;
};

// Parses up to two YAML documents, KubeletConfiguration (kubelet.config.k8s.io/v1beta1) and
// SkiffConfiguration (skiff.dev/v1alpha1), over `base`. An unknown field is an error in
// SkiffConfiguration and a warning in KubeletConfiguration. Errors name `origin`, the line, the
// field, the value and what is allowed.
[[nodiscard]] Result<Loaded> parse_settings(std::string_view text, std::string_view origin,
                                            Settings base);

// Reads and parses `path`; a missing file is fine when `must_exist` says so.
enum class Missing { is_fine, is_error };
[[nodiscard]] Result<Loaded> load_settings(const std::filesystem::path& path, Missing missing,
                                           Settings base);

// Sets one field from a flag's text: lists by commas, maps as k=v,k=v, taints as key=value:effect.
[[nodiscard]] Result<void> set_flag(Settings& settings, const Field& field, std::string_view text);

// Fills in what depends on other settings or on the machine, and checks settings against each
// other.
[[nodiscard]] Result<void> resolve(Settings& settings);

// docs/config.md.
[[nodiscard]] std::string render_reference();
// The effective settings, one `name: value` a line: printed at start at debug level and by `skiff
// node --show-config`.
[[nodiscard]] std::string render_settings(const Settings& settings);

}  // namespace skiff::config
