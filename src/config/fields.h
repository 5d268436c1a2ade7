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
    // The same as JSON.
    std::function<std::string(const Settings&)> json;
};

// Every setting that Skiff obeys.
[[nodiscard]] std::span<const Field> fields();
// The field with this flag, nullptr if there is none.
[[nodiscard]] const Field* find_flag(std::string_view flag);

// A field of KubeletConfiguration that has no meaning on a Skiff node: accepted, with one line.
struct UnusedField {
    std::string_view name;
    std::string_view holds;  // what is true of a Skiff node whatever the file says, as JSON
    std::string_view why;    // what Skiff does instead, one clause
};
// All of them: with fields() this is every field of KubeletConfiguration.
[[nodiscard]] std::span<const UnusedField> unused_fields();

struct Loaded {
    Settings settings;
    // One line each: unknown or unused KubeletConfiguration fields.
    std::vector<std::string> warnings;
};

// The text of one file.
struct Layer {
    std::string text;
    std::string origin;  // its name
};
// Parses files of up to two YAML documents each, KubeletConfiguration
// (kubelet.config.k8s.io/v1beta1) and SkiffConfiguration (skiff.dev/v1alpha1). A later file is
// merged over the earlier ones as a kubelet merges its drop-in files: maps key by key, everything
// else is replaced, null takes away. The result goes over `base`. An unknown field is an error in
// SkiffConfiguration and a warning in KubeletConfiguration. Errors name file, line, field, value
// and what is allowed.
[[nodiscard]] Result<Loaded> parse_layers(const std::vector<Layer>& layers, Settings base);
// The same for one file.
[[nodiscard]] Result<Loaded> parse_settings(std::string_view text, std::string_view origin,
                                            Settings base);

// Most files of a drop-in folder; more are a mistake.
inline constexpr std::size_t kDropInFilesMax = 256;

enum class Missing { is_fine, is_error };
struct ConfigFiles {
    std::filesystem::path file;
    Missing missing = Missing::is_error;  // of `file`
    // Drop-in folder: its *.conf files, those of its folders included, in the order of their names.
    // Empty: none.
    std::filesystem::path folder;
};
// Reads and parses them.
[[nodiscard]] Result<Loaded> load_settings(const ConfigFiles& files, Settings base);

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
// The answer of /configz: `kubeletconfig` has every field of KubeletConfiguration with the value
// that holds, `skiffconfig` those of SkiffConfiguration. Shows no secret.
[[nodiscard]] std::string render_configz(const Settings& settings);

}  // namespace skiff::config
