#include "network/cni_config.h"

#include <algorithm>
#include <boost/json/array.hpp>

#include "base/text.h"
#include "kube/codec.h"
#include "os/file.h"

namespace skiff::network {

namespace fs = std::filesystem;
namespace json = boost::json;

namespace {

constexpr std::string_view kNameRule =
    "allowed are a letter or digit, then letters, digits, _ . and -, at most 200 in all";
static_assert(kCniNameBytesMax == 200);

bool is_alphanumeric(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// The program's file name becomes part of a path.
bool can_be_file_name(std::string_view name) {
    return !name.empty() && name != "." && name != ".." && name.size() <= kCniNameBytesMax &&
           name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

// `capabilities` is a map of names to booleans; a plugin gets what it says true for.
Result<std::vector<std::string>> capabilities_of(const FieldReader& plugin) {
    SKIFF_TRY(const json::object* map, plugin.object("capabilities"));
    std::vector<std::string> names;
    if (map == nullptr) {
        return names;
    }
    if (map->size() > kCniCapabilitiesMax) {
        return plugin.reject("capabilities", fmt::format("{} names, at most {} are allowed",
                                                         map->size(), kCniCapabilitiesMax));
    }
    const FieldReader reader(*map, plugin.path_of("capabilities."));
    for (const auto& entry : *map) {
        const std::string name(entry.key().data(), entry.key().size());
        SKIFF_TRY(const bool declared, reader.boolean(name));
        if (declared) {
            names.push_back(name);
        }
    }
    return names;
}

Result<CniPlugin> read_plugin(const json::object& object, std::string_view text,
                              const std::string& path) {
    const FieldReader reader(object, path);
    CniPlugin plugin;
    SKIFF_TRY(plugin.type, reader.text("type"));
    if (plugin.type.empty()) {
        return reader.reject("type", "missing: the file name of a plugin's program");
    }
    if (!can_be_file_name(plugin.type)) {
        return reader.reject(
            "type", fmt::format("{} is no file name: allowed are at most {} characters without "
                                "/ and \\, and neither . nor ..",
                                shown_cni(plugin.type), kCniNameBytesMax));
    }
    SKIFF_TRY(plugin.capabilities, capabilities_of(reader));
    plugin.members = raw_members(text);
    return plugin;
}

Result<std::vector<CniPlugin>> read_plugins(const json::object& list, std::string_view text) {
    const FieldReader reader(list, "");
    SKIFF_TRY(auto objects, reader.objects("plugins", kCniPluginsMax));
    std::vector<CniPlugin> plugins;
    if (!reader.has("plugins")) {
        return plugins;
    }
    if (objects.empty()) {
        return reader.reject("plugins", "an empty list: at least one plugin is needed");
    }
    const RawObject members = raw_members(text);
    const std::vector<std::string> texts = raw_elements(*find_raw(members, "plugins"));
    const json::array& elements = list.at("plugins").get_array();
    for (std::size_t i = 0; i < elements.size(); ++i) {
        SKIFF_TRY(auto plugin, read_plugin(elements[i].get_object(), texts.at(i),
                                           fmt::format("plugins[{}].", i)));
        plugins.push_back(std::move(plugin));
    }
    return plugins;
}

// The highest version that both sides speak is the one to use (section 1, version considerations).
Result<std::vector<CniVersion>> versions_of(const FieldReader& reader) {
    constexpr std::size_t kOfferedMax = 64;
    SKIFF_TRY(auto offered, reader.texts("cniVersions", kOfferedMax));
    SKIFF_TRY(auto single, reader.text("cniVersion"));
    if (!single.empty()) {
        offered.push_back(single);
    }
    std::vector<CniVersion> versions;
    for (CniVersion known : kCniVersions) {
        if (std::ranges::find(offered, to_string(known)) != offered.end()) {
            versions.push_back(known);
        }
    }
    if (offered.empty()) {
        return reader.reject("cniVersion",
                             fmt::format("missing; allowed are {}", known_cni_versions()));
    }
    if (versions.empty()) {
        return fail(Code::unsupported, "{}: {} is not among those that Skiff speaks: {}",
                    reader.path_of(single.empty() ? "cniVersions" : "cniVersion"),
                    shown_cni(offered.back()), known_cni_versions());
    }
    return versions;
}

Result<std::string> name_of(const FieldReader& reader) {
    SKIFF_TRY(auto name, reader.text("name"));
    if (name.empty()) {
        return reader.reject("name", fmt::format("missing: the network's name; {}", kNameRule));
    }
    if (!is_cni_name(name)) {
        return reader.reject("name", fmt::format("{} is no name: {}", shown_cni(name), kNameRule));
    }
    return name;
}

Result<std::vector<CniPlugin>> plugins_of(const json::object& object, std::string_view text,
                                          CniFormat format) {
    if (format == CniFormat::list) {
        return read_plugins(object, text);
    }
    const FieldReader reader(object, "");
    if (reader.has("plugins") && !reader.has("type")) {
        return reader.reject("type", "missing: a list of plugins belongs into a file .conflist");
    }
    SKIFF_TRY(auto plugin, read_plugin(object, text, ""));
    return std::vector<CniPlugin>{std::move(plugin)};
}

// A folder's files with one of the endings, in the order of their names. No folder: none.
Result<std::vector<fs::path>> files_in(const fs::path& folder,
                                       std::initializer_list<std::string_view> endings) {
    auto names = os::list_folder(folder, kCniFolderNamesMax);
    std::vector<fs::path> files;
    if (!names) {
        if (names.error().code == Code::not_found) {
            return files;
        }
        return fail(std::move(names.error()));
    }
    for (const std::string& name : *names) {
        const fs::path file = folder / name;
        std::error_code error;
        if (std::ranges::find(endings, file.extension().string()) != endings.end() &&
            !fs::is_directory(file, error)) {
            files.push_back(file);
        }
    }
    return files;
}

// Links are followed: what a folder of /etc links to is its administrator's choice.
Result<std::string> read_text(const fs::path& file) {
    std::error_code error;
    const fs::path real = fs::canonical(file, error);
    if (error) {
        return fail_errno(error.value(), "open");
    }
    SKIFF_TRY(const os::Fd fd, os::open_regular(real));
    return os::read_all(fd.get(), kCniConfigBytesMax);
}

Result<CniConfig> load_main_file(const fs::path& file) {
    SKIFF_TRY(auto text, read_text(file));
    return parse_cni_config(text,
                            file.extension() == ".conflist" ? CniFormat::list : CniFormat::single);
}

Result<CniPlugin> load_plugin_file(const fs::path& file) {
    SKIFF_TRY(auto text, read_text(file));
    return parse_cni_plugin(text);
}

Error named(Error error, const fs::path& file) {
    return std::move(error).context(bounded_utf8(file.string(), 512));
}

// Plugins that other packages add to a network: section 1, "sibling folder with the same name as
// the network".
Result<void> append_from_folder(CniConfig& config, const fs::path& folder) {
    SKIFF_TRY(auto files, files_in(folder, {".conf"}));
    for (const fs::path& file : files) {
        if (config.plugins.size() >= kCniPluginsMax) {
            return fail(Code::exhausted, "{}: more than {} plugins in the network {}",
                        bounded_utf8(file.string(), 512), kCniPluginsMax, config.name);
        }
        auto plugin = load_plugin_file(file);
        if (!plugin) {
            return fail(named(std::move(plugin.error()), file));
        }
        config.plugins.push_back(std::move(*plugin));
    }
    return {};
}

}  // namespace

std::string_view to_string(CniVersion version) {
    switch (version) {
        case CniVersion::v0_3_0:
            return "0.3.0";
        case CniVersion::v0_3_1:
            return "0.3.1";
        case CniVersion::v0_4_0:
            return "0.4.0";
        case CniVersion::v1_0_0:
            return "1.0.0";
        case CniVersion::v1_1_0:
            return "1.1.0";
    }
    return "";
}

std::optional<CniVersion> parse_cni_version(std::string_view text) {
    const auto found = std::ranges::find_if(
        kCniVersions, [&](CniVersion version) { return to_string(version) == text; });
    return found == kCniVersions.end() ? std::nullopt : std::optional(*found);
}

std::string known_cni_versions() {
    std::string text;
    for (CniVersion version : kCniVersions) {
        text += fmt::format("{}{}", text.empty() ? "" : ", ", to_string(version));
    }
    return text;
}

bool is_cni_name(std::string_view name) {
    return !name.empty() && name.size() <= kCniNameBytesMax && is_alphanumeric(name.front()) &&
           std::ranges::all_of(
               name, [](char c) { return is_alphanumeric(c) || c == '_' || c == '.' || c == '-'; });
}

Result<CniConfig> parse_cni_config(std::string_view text, CniFormat format) {
    SKIFF_TRY(const auto object, parse_cni_json(text));
    const FieldReader reader(object, "");
    CniConfig config;
    SKIFF_TRY(config.name, name_of(reader));
    SKIFF_TRY(config.versions, versions_of(reader));
    config.version = config.versions.back();
    SKIFF_TRY(config.disable_check, reader.boolean("disableCheck"));
    SKIFF_TRY(config.disable_gc, reader.boolean("disableGC"));
    SKIFF_TRY(config.load_only_inlined_plugins, reader.boolean("loadOnlyInlinedPlugins"));
    SKIFF_TRY(config.plugins, plugins_of(object, text, format));
    if (config.plugins.empty() && config.load_only_inlined_plugins) {
        return reader.reject("loadOnlyInlinedPlugins",
                             "true, but there are no plugins in `plugins`");
    }
    return config;
}

Result<CniPlugin> parse_cni_plugin(std::string_view text) {
    SKIFF_TRY(const auto object, parse_cni_json(text));
    return read_plugin(object, text, "");
}

std::string format_cni_config(const CniConfig& config) {
    std::string plugins;
    for (const CniPlugin& plugin : config.plugins) {
        plugins += (plugins.empty() ? "" : ",") + format_raw(plugin.members);
    }
    const auto word = [](bool value) { return std::string(value ? "true" : "false"); };
    RawObject members;
    set_raw(members, "cniVersion", kube::quote_json(to_string(config.version)));
    set_raw(members, "name", kube::quote_json(config.name));
    set_raw(members, "disableCheck", word(config.disable_check));
    set_raw(members, "disableGC", word(config.disable_gc));
    set_raw(members, "loadOnlyInlinedPlugins", word(config.load_only_inlined_plugins));
    if (!config.plugins.empty()) {
        set_raw(members, "plugins", "[" + plugins + "]");
    }
    return format_raw(members);
}

Result<std::optional<CniConfig>> load_cni_config(const fs::path& folder) {
    SKIFF_TRY(auto files, files_in(folder, {".conflist", ".conf", ".json"}));
    if (files.empty()) {
        return std::optional<CniConfig>();
    }
    const fs::path& file = files.front();
    auto config = load_main_file(file);
    if (!config) {
        return fail(named(std::move(config.error()), file));
    }
    // As libcni: a file of one plugin has no folder of others.
    if (!config->load_only_inlined_plugins && file.extension() == ".conflist") {
        SKIFF_CHECK(append_from_folder(*config, folder / config->name));
    }
    if (config->plugins.empty()) {
        return fail(Code::invalid, "{}: plugins: missing, and none in {}",
                    bounded_utf8(file.string(), 512),
                    bounded_utf8((folder / config->name).string(), 512));
    }
    const std::string whole = format_cni_config(*config);
    if (whole.size() > kCniConfigBytesMax.value) {
        return fail(Code::exhausted, "{}: the network's files are larger than {} together",
                    bounded_utf8(file.string(), 512), kCniConfigBytesMax);
    }
    // What is kept with an attachment must be readable again: in a list a plugin of a file of its
    // own stands deeper.
    if (auto again = parse_cni_config(whole, CniFormat::list); !again) {
        return fail(named(std::move(again.error()), file));
    }
    return std::optional<CniConfig>(std::move(*config));
}

}  // namespace skiff::network
