#include <yaml-cpp/yaml.h>

#include <fmt/ranges.h>

#include <fstream>
#include <sstream>

#include "base/text.h"
#include "config/fields.h"
#include "config/value.h"
#include "kube/yaml.h"

namespace skiff::config {

// A configuration larger than this is a mistake.
constexpr std::size_t kConfigBytesMax = 1 << 20;
constexpr std::size_t kConfigDepthMax = 16;
// The largest value that an error message repeats.
constexpr std::size_t kShownBytesMax = 80;

static std::string shown(const YAML::Node& node) {
    std::string text = node.IsScalar() ? node.Scalar() : YAML::Dump(node);
    return bounded_utf8(text, kShownBytesMax);
}

static const Field* find_field(Document document, std::string_view name) {
    for (const Field& field : fields()) {
        if (field.document == document && field.name == name) {
            return &field;
        }
    }
    return nullptr;
}

static bool is_prefix_of_a_field(Document document, const std::string& name) {
    for (const Field& field : fields()) {
        if (field.document == document && field.name.starts_with(name + ".")) {
            return true;
        }
    }
    return false;
}

namespace {

// One document being applied.
class Reader {
public:
    Reader(Document document, std::string_view origin, Loaded& loaded)
        : document_(document), origin_(origin), loaded_(loaded) {}

    Result<void> read(const YAML::Node& map, const std::string& prefix) {
        for (const auto& entry : map) {
            std::string name = prefix + bounded_utf8(entry.first.Scalar(), kShownBytesMax);
            if (prefix.empty() && (name == "apiVersion" || name == "kind")) {
                continue;
            }
            SKIFF_CHECK(read_entry(name, entry.first, entry.second));
        }
        return {};
    }

private:
    Result<void> read_entry(const std::string& name, const YAML::Node& key,
                            const YAML::Node& value) {
        if (const Field* field = find_field(document_, name)) {
            // As in a kubelet, a null leaves the default.
            if (value.IsNull()) {
                return {};
            }
            auto set = field->set(loaded_.settings, value);
            if (!set) {
                return fail(Code::invalid, "{}:{}: {}: \"{}\" {}", origin_, key.Mark().line + 1,
                            name, shown(value), set.error().message);
            }
            return {};
        }
        if (is_prefix_of_a_field(document_, name) && value.IsMap()) {
            return read(value, name + ".");
        }
        if (document_ == Document::skiff) {
            return fail(Code::invalid, "{}:{}: SkiffConfiguration has no field \"{}\"", origin_,
                        key.Mark().line + 1, name);
        }
        std::string top(split(name, '.').front());
        bool known = is_known_kubelet_field(top) || name != top;
        loaded_.warnings.push_back(fmt::format(
            "{}:{}: {} {}", origin_, key.Mark().line + 1, name,
            known ? "has no effect on a Skiff node" : "is not a field of KubeletConfiguration"));
        return {};
    }

    Document document_;
    std::string_view origin_;
    Loaded& loaded_;
};

}  // namespace

static Result<Document> document_kind(const YAML::Node& root, std::string_view origin) {
    std::string kind = root["kind"] ? root["kind"].Scalar() : "";
    std::string version = root["apiVersion"] ? root["apiVersion"].Scalar() : "";
    if (kind == "KubeletConfiguration" && version == "kubelet.config.k8s.io/v1beta1") {
        return Document::kubelet;
    }
    if (kind == "SkiffConfiguration" && version == "skiff.dev/v1alpha1") {
        return Document::skiff;
    }
    return fail(
        Code::invalid,
        "{}: apiVersion \"{}\" with kind \"{}\" is not known; allowed: KubeletConfiguration "
        "(kubelet.config.k8s.io/v1beta1), SkiffConfiguration (skiff.dev/v1alpha1)",
        origin, bounded_utf8(version, kShownBytesMax), bounded_utf8(kind, kShownBytesMax));
}

// Depth by indentation and brackets, before the recursive parser sees the text.
static bool too_deep(std::string_view text) {
    std::size_t depth = 0;
    for (char c : text) {
        depth += c == '[' || c == '{' ? 1 : 0;
        if ((c == ']' || c == '}') && depth > 0) {
            --depth;
        }
        if (depth > kConfigDepthMax) {
            return true;
        }
    }
    for (std::string_view line : split(text, '\n')) {
        std::size_t dashes = 0;
        for (char c : line) {
            dashes += c == '-' ? 1 : 0;
            if (c != '-' && c != ' ') {
                break;
            }
        }
        if (dashes > kConfigDepthMax) {
            return true;
        }
    }
    return false;
}

Result<Loaded> parse_settings(std::string_view text, std::string_view origin, Settings base) {
    if (text.size() > kConfigBytesMax || too_deep(text)) {
        return fail(Code::invalid, "{}: larger than {} or nested deeper than {}", origin,
                    Bytes{kConfigBytesMax}, kConfigDepthMax);
    }
    Loaded loaded{std::move(base), {}};
    auto documents = kube::load_yaml(text, kConfigBytesMax);
    if (!documents) {
        return fail(std::move(documents.error()).context(origin));
    }
    try {
        bool seen[2] = {false, false};
        for (const YAML::Node& root : *documents) {
            if (root.IsNull()) {
                continue;
            }
            if (!root.IsMap()) {
                return fail(Code::invalid, "{}: a document is not a map", origin);
            }
            SKIFF_TRY(Document document, document_kind(root, origin));
            if (std::exchange(seen[static_cast<int>(document)], true)) {
                return fail(Code::invalid, "{}: two documents of the same kind", origin);
            }
            SKIFF_CHECK(Reader(document, origin, loaded).read(root, ""));
        }
    } catch (const YAML::Exception& error) {
        // yaml-cpp repeats bytes of the file as they are.
        return fail(Code::invalid, "{}:{}: {}", origin, error.mark.line + 1,
                    bounded_utf8(error.msg, kShownBytesMax));
    }
    return loaded;
}

Result<Loaded> load_settings(const std::filesystem::path& path, Missing missing, Settings base) {
    std::error_code error;
    if (!std::filesystem::exists(path, error)) {
        if (missing == Missing::is_fine) {
            return Loaded{std::move(base), {}};
        }
        return fail(Code::not_found, "{}: no such file", path.string());
    }
    std::ifstream file(path, std::ios::binary);
    std::string text(kConfigBytesMax + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (file.bad() || (!file && !file.eof())) {
        return fail(Code::invalid, "{}: cannot be read", path.string());
    }
    text.resize(static_cast<std::size_t>(file.gcount()));
    return parse_settings(text, path.string(), std::move(base));
}

// "k=v,k=v", "a,b", "key=value:Effect,…" as the YAML value that the file would hold.
static YAML::Node node_of_flag(const Field& field, std::string_view text) {
    YAML::Node node;
    if (field.type.starts_with("list")) {
        node = YAML::Node(YAML::NodeType::Sequence);
        for (std::string_view part : split(text, ',')) {
            if (part.empty()) {
                continue;
            }
            if (field.type != type_name<std::vector<TaintSetting>>()) {
                node.push_back(std::string(part));
                continue;
            }
            YAML::Node taint(YAML::NodeType::Map);
            std::size_t colon = part.rfind(':');
            std::string_view left = part.substr(0, colon);
            std::size_t equals = left.find('=');
            taint["key"] = std::string(left.substr(0, equals));
            taint["value"] =
                equals == std::string_view::npos ? "" : std::string(left.substr(equals + 1));
            taint["effect"] =
                colon == std::string_view::npos ? "" : std::string(part.substr(colon + 1));
            node.push_back(taint);
        }
        return node;
    }
    if (field.type.starts_with("map")) {
        node = YAML::Node(YAML::NodeType::Map);
        for (std::string_view part : split(text, ',')) {
            std::size_t equals = part.find_first_of("=<");
            if (!part.empty()) {
                node[std::string(part.substr(0, equals))] =
                    equals == std::string_view::npos ? "" : std::string(part.substr(equals + 1));
            }
        }
        return node;
    }
    return YAML::Node(std::string(text));
}

Result<void> set_flag(Settings& settings, const Field& field, std::string_view text) {
    auto set = field.set(settings, node_of_flag(field, text));
    if (!set) {
        return fail(Code::invalid, "--{}: \"{}\" {}", field.flag,
                    bounded_utf8(text, kShownBytesMax), set.error().message);
    }
    return {};
}

static void render_table(std::string& out, Document document) {
    const Settings defaults;
    out += "| field | flag | type | default | meaning |\n| --- | --- | --- | --- | --- |\n";
    for (const Field& field : fields()) {
        if (field.document != document) {
            continue;
        }
        std::string flag = field.flag.empty() ? "" : fmt::format("`--{}`", field.flag);
        out += fmt::format("| `{}` | {} | {} | `{}` | {} |\n", field.name, flag, field.type,
                           field.show(defaults), field.meaning);
    }
}

std::string render_reference() {
    std::string out =
        "# Configuration\n\n"
        "`/etc/skiff/config.yaml` (or `--config FILE`) holds up to two YAML documents. Flags "
        "override the file.\n"
        "An unknown field of SkiffConfiguration is an error, one of KubeletConfiguration a "
        "warning.\n"
        "This page is made from the table in `src/config/fields.cpp`.\n\n"
        "Where the file is silent Skiff differs from a kubelet in four defaults: `failCgroupV1`, "
        "`failSwapOn`\n"
        "and `serializeImagePulls` are false, `rotateCertificates` is true.\n\n"
        "## KubeletConfiguration (`kubelet.config.k8s.io/v1beta1`)\n\n";
    render_table(out, Document::kubelet);
    out += "\n## SkiffConfiguration (`skiff.dev/v1alpha1`)\n\n";
    render_table(out, Document::skiff);
    out +=
        "\n## Example\n\n"
        "```yaml\n"
        "apiVersion: kubelet.config.k8s.io/v1beta1\n"
        "kind: KubeletConfiguration\n"
        "maxPods: 250\n"
        "---\n"
        "apiVersion: skiff.dev/v1alpha1\n"
        "kind: SkiffConfiguration\n"
        "registries:\n"
        "- host: registry.local:5000\n"
        "  scheme: http\n"
        "```\n";
    return out;
}

std::string render_settings(const Settings& settings) {
    std::string out;
    for (const Field& field : fields()) {
        out += fmt::format("{}: {}\n", field.name, field.show(settings));
    }
    return out;
}

}  // namespace skiff::config
