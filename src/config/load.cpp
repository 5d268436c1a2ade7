#include <yaml-cpp/yaml.h>

#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "base/text.h"
#include "config/fields.h"
#include "config/value.h"
#include "kube/yaml.h"

namespace skiff::config {

// A configuration larger than this is a mistake.
constexpr std::size_t kConfigBytesMax = 1 << 20;
constexpr std::size_t kConfigDepthMax = 16;
constexpr std::size_t kMapEntriesMax = 1000;
// The largest value that an error message repeats.
constexpr std::size_t kShownBytesMax = 80;

static std::string shown(const Field& field, const YAML::Node& node) {
    if (field.type == type_name<HeaderSettings>()) {
        return std::string(kMasked);
    }
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

static const UnusedField* find_unused(std::string_view name) {
    auto found = std::ranges::find(unused_fields(), name, &UnusedField::name);
    return found == unused_fields().end() ? nullptr : &*found;
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
                            name, shown(*field, value), set.error().message);
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
        const UnusedField* unused = find_unused(name);
        loaded_.warnings.push_back(
            fmt::format("{}:{}: {} {}", origin_, key.Mark().line + 1, name,
                        unused == nullptr
                            ? "is not a field of KubeletConfiguration"
                            : fmt::format("is accepted, it has no meaning here: {}", unused->why)));
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

// `from` over `into`, both maps: the rules of a JSON merge patch.
static Result<void> merge(YAML::Node into, const YAML::Node& from, std::size_t& left,
                          std::size_t depth = 0) {
    // Aliases may make it endless, or endlessly large.
    if (from.size() > left || depth > kConfigDepthMax) {
        return fail(Code::invalid, "more than {} entries, or nested deeper than {}", kMapEntriesMax,
                    kConfigDepthMax);
    }
    left -= from.size();
    const YAML::Node& present = into;  // looking into a node that is not const adds to it
    for (const auto& entry : from) {
        const std::string& key = entry.first.Scalar();
        if (entry.second.IsMap() && present[key] && present[key].IsMap()) {
            SKIFF_CHECK(merge(into[key], entry.second, left, depth + 1));
            continue;
        }
        into.remove(key);
        if (entry.second.IsMap()) {
            YAML::Node fresh(YAML::NodeType::Map);
            SKIFF_CHECK(merge(fresh, entry.second, left, depth + 1));
            into.force_insert(entry.first, fresh);
        } else if (!entry.second.IsNull()) {
            into.force_insert(entry.first, entry.second);
        }
    }
    return {};
}

namespace {

// The documents of all layers so far.
class Layers {
public:
    explicit Layers(const Settings& base) : base_(base) {}

    // Each layer is checked by itself, so that errors name its file.
    Result<void> add(std::string_view text, std::string_view origin) {
        if (text.size() > kConfigBytesMax || too_deep(text)) {
            return fail(Code::invalid, "{}: larger than {} or nested deeper than {}", origin,
                        Bytes{kConfigBytesMax}, kConfigDepthMax);
        }
        auto documents = kube::load_yaml(text, kConfigBytesMax);
        if (!documents) {
            return fail(std::move(documents.error()).context(origin));
        }
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
            YAML::Node alone(YAML::NodeType::Map);
            std::size_t left = kMapEntriesMax;
            std::size_t again = kMapEntriesMax;
            if (auto merged = merge(alone, root, left); !merged) {
                return fail(std::move(merged.error()).context(origin));
            }
            Loaded checked{base_, {}};
            SKIFF_CHECK(Reader(document, origin, checked).read(alone, ""));
            std::ranges::move(checked.warnings, std::back_inserter(warnings_));
            SKIFF_CHECK(merge(merged_[static_cast<int>(document)], root, again));
        }
        return {};
    }

    Result<Loaded> settle() && {
        Loaded loaded{base_, {}};
        for (Document document : {Document::kubelet, Document::skiff}) {
            Reader reader(document, "the files together", loaded);
            SKIFF_CHECK(reader.read(merged_[static_cast<int>(document)], ""));
        }
        loaded.warnings = std::move(warnings_);
        return loaded;
    }

private:
    const Settings& base_;
    YAML::Node merged_[2] = {YAML::Node(YAML::NodeType::Map), YAML::Node(YAML::NodeType::Map)};
    std::vector<std::string> warnings_;
};

}  // namespace

Result<Loaded> parse_layers(const std::vector<Layer>& layers, Settings base) {
    std::string_view origin;
    try {
        Layers documents(base);
        for (const Layer& layer : layers) {
            origin = layer.origin;
            SKIFF_CHECK(documents.add(layer.text, layer.origin));
        }
        return std::move(documents).settle();
    } catch (const YAML::Exception& error) {
        // yaml-cpp repeats bytes of the file as they are.
        return fail(Code::invalid, "{}:{}: {}", origin, error.mark.line + 1,
                    bounded_utf8(error.msg, kShownBytesMax));
    }
}

Result<Loaded> parse_settings(std::string_view text, std::string_view origin, Settings base) {
    return parse_layers({Layer{std::string(text), std::string(origin)}}, std::move(base));
}

static Result<Layer> read_layer(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::string text(kConfigBytesMax + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (file.bad() || (!file && !file.eof())) {
        return fail(Code::invalid, "{}: cannot be read", path.string());
    }
    text.resize(static_cast<std::size_t>(file.gcount()));
    text.shrink_to_fit();  // a folder may have many, and all are held until they are merged
    return Layer{std::move(text), path.string()};
}

static Result<std::vector<std::filesystem::path>> drop_ins(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> found;
    std::error_code error;
    std::filesystem::recursive_directory_iterator at(folder, error);
    for (; !error && at != std::filesystem::recursive_directory_iterator(); at.increment(error)) {
        if (at->path().extension() != ".conf" || at->is_directory(error)) {
            continue;
        }
        found.push_back(at->path());
        if (found.size() > kDropInFilesMax) {
            return fail(Code::invalid, "{}: more than {} files", folder.string(), kDropInFilesMax);
        }
    }
    if (error) {
        return fail(Code::invalid, "{}: {}", folder.string(), error.message());
    }
    std::ranges::sort(found);
    return found;
}

Result<Loaded> load_settings(const ConfigFiles& files, Settings base) {
    std::vector<Layer> layers;
    std::error_code error;
    if (std::filesystem::exists(files.file, error)) {
        SKIFF_TRY(Layer layer, read_layer(files.file));
        layers.push_back(std::move(layer));
    } else if (files.missing == Missing::is_error) {
        return fail(Code::not_found, "{}: no such file", files.file.string());
    }
    if (!files.folder.empty()) {
        SKIFF_TRY(auto found, drop_ins(files.folder));
        for (const std::filesystem::path& path : found) {
            SKIFF_TRY(Layer layer, read_layer(path));
            layers.push_back(std::move(layer));
        }
    }
    return parse_layers(layers, std::move(base));
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
    if (field.type == type_name<HeaderSettings>()) {
        node = YAML::Node(YAML::NodeType::Map);
        for (std::string_view part : split(text, ',')) {
            std::size_t colon = part.find(':');
            if (!part.empty()) {
                std::string value(colon == std::string_view::npos ? "" : part.substr(colon + 1));
                node[std::string(part.substr(0, colon))].push_back(value);
            }
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
        bool masked = field.type == type_name<HeaderSettings>();
        return fail(Code::invalid, "--{}: \"{}\" {}", field.flag,
                    masked ? std::string(kMasked) : bounded_utf8(text, kShownBytesMax),
                    set.error().message);
    }
    return {};
}

}  // namespace skiff::config
