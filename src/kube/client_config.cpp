#include "kube/client_config.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <fstream>

#include "base/text.h"
#include "http/url.h"
#include "kube/codec.h"

namespace skiff::kube {

namespace {

namespace json = boost::json;

// The longest name that a message repeats.
constexpr std::size_t kShownBytesMax = 100;
// Arguments and variables of a credential plugin.
constexpr std::size_t kPluginWordsMax = 1000;
constexpr std::string_view kExecExtension = "client.authentication.k8s.io/exec";

// A kubeconfig as JSON. yaml_to_json bounds the depth; json::parse without an error code throws.
Result<json::value> parse_root(std::string_view yaml) {
    SKIFF_TRY(auto text, yaml_to_json(yaml));
    json::parse_options options;
    options.max_depth = kDepthMax + 1;
    boost::system::error_code error;
    auto root = json::parse(text, error, {}, options);
    if (error) {
        return fail(Code::invalid, "not a kubeconfig: {}", error.message());
    }
    return root;
}

// Named members of a kubeconfig's maps; absent and null are empty.
class Section {
public:
    Section(const json::object* map, std::string path) : map_(map), path_(std::move(path)) {}

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] bool has(std::string_view key) const {
        const json::value* value = map_ == nullptr ? nullptr : map_->if_contains(key);
        return value != nullptr && !value->is_null();
    }
    [[nodiscard]] Result<std::string> text(std::string_view key) const {
        if (!has(key)) {
            return std::string();
        }
        const json::string* text = map_->at(key).if_string();
        if (text == nullptr) {
            return fail(Code::invalid, "{}.{} is not a string", path_, key);
        }
        return std::string(text->data(), text->size());
    }
    [[nodiscard]] bool is_true(std::string_view key) const {
        return has(key) && map_->at(key).is_bool() && map_->at(key).get_bool();
    }
    // nullptr when it is not there or no map.
    [[nodiscard]] const json::object* map(std::string_view key) const {
        return has(key) ? map_->at(key).if_object() : nullptr;
    }
    // The elements of a list; none when it is not there.
    [[nodiscard]] Result<const json::array*> list(std::string_view key) const {
        static const json::array kNone;
        if (!has(key)) {
            return &kNone;
        }
        const json::array* list = map_->at(key).if_array();
        if (list == nullptr) {
            return fail(Code::invalid, "{}.{} is not a list", path_, key);
        }
        return list;
    }
    // `key-data` decoded from base64.
    [[nodiscard]] Result<std::string> decoded(std::string_view key) const {
        SKIFF_TRY(auto encoded, text(key));
        std::string compact;
        for (char c : encoded) {
            if (c != '\n' && c != '\r' && c != ' ') {
                compact += c;
            }
        }
        auto bytes = base64_decode(compact);
        if (!bytes) {
            return fail(Code::invalid, "{}.{} is not base64", path_, key);
        }
        return std::move(*bytes);
    }

private:
    const json::object* map_;
    std::string path_;
};

// The element called `name` of a list like `clusters`, its inner map `inner`.
Result<Section> find_named(const json::object& root, std::string_view list, std::string_view inner,
                           std::string_view name) {
    const json::value* elements = root.if_contains(list);
    if (elements != nullptr && elements->is_array()) {
        for (const json::value& element : elements->get_array()) {
            const json::object* map = element.if_object();
            const json::value* found = map == nullptr ? nullptr : map->if_contains("name");
            if (found == nullptr || !found->is_string() || found->get_string() != name) {
                continue;
            }
            const json::value* body = map->if_contains(inner);
            const json::object* body_map = body == nullptr ? nullptr : body->if_object();
            return Section(body_map, fmt::format("{}[{}].{}", list,
                                                 bounded_utf8(name, kShownBytesMax), inner));
        }
    }
    return fail(Code::invalid, "no entry \"{}\" in {}", bounded_utf8(name, kShownBytesMax), list);
}

std::string resolve_path(const std::filesystem::path& folder, const std::string& file) {
    if (file.empty() || std::filesystem::path(file).is_absolute()) {
        return file;
    }
    return (folder / file).lexically_normal().string();
}

Result<void> read_cluster(const Section& cluster, const std::filesystem::path& folder,
                          ClientConfig& config) {
    SKIFF_TRY(config.server, cluster.text("server"));
    while (config.server.ends_with('/')) {
        config.server.pop_back();
    }
    auto url = http::parse_url(config.server);
    if (!url) {
        return fail(std::move(url.error()).context(cluster.path() + ".server"));
    }
    SKIFF_TRY(config.tls.ca_pem, cluster.decoded("certificate-authority-data"));
    SKIFF_TRY(auto ca_file, cluster.text("certificate-authority"));
    config.tls.ca_file = resolve_path(folder, ca_file);
    if (cluster.is_true("insecure-skip-tls-verify")) {
        config.tls.verify = http::Verify::kNothing;
    }
    if (cluster.has("proxy-url")) {
        SKIFF_TRY(config.proxy, cluster.text("proxy-url"));
    }
    if (cluster.has("tls-server-name")) {
        return fail(Code::unsupported, "{}.tls-server-name is not supported", cluster.path());
    }
    return {};
}

Result<void> read_plugin_lists(const Section& section, ExecPlugin& plugin) {
    SKIFF_TRY(const json::array* args, section.list("args"));
    SKIFF_TRY(const json::array* env, section.list("env"));
    if (args->size() + env->size() > kPluginWordsMax) {
        return fail(Code::invalid, "{}: more than {} args and env", section.path(),
                    kPluginWordsMax);
    }
    for (const json::value& word : *args) {
        const json::string* text = word.if_string();
        if (text == nullptr || text->find('\0') != json::string::npos) {
            return fail(Code::invalid, "{}.args: not a list of strings", section.path());
        }
        plugin.args.emplace_back(text->data(), text->size());
    }
    for (const json::value& entry : *env) {
        Section one(entry.if_object(), section.path() + ".env[]");
        SKIFF_TRY(auto name, one.text("name"));
        SKIFF_TRY(auto value, one.text("value"));
        if (name.empty() || (name + value).find('\0') != std::string::npos ||
            name.find('=') != std::string::npos) {
            return fail(Code::invalid, "{}.env: an entry without a usable name", section.path());
        }
        plugin.env.emplace_back(std::move(name), std::move(value));
    }
    return {};
}

Result<ExecPlugin> read_plugin(const Section& section, const std::filesystem::path& folder) {
    ExecPlugin plugin;
    SKIFF_TRY(plugin.api_version, section.text("apiVersion"));
    if (std::ranges::find(kExecApiVersions, plugin.api_version) == std::end(kExecApiVersions)) {
        return fail(Code::unsupported, "{}.apiVersion: \"{}\" is not supported; allowed: {}, {}",
                    section.path(), bounded_utf8(plugin.api_version, kShownBytesMax),
                    kExecApiVersions[0], kExecApiVersions[1]);
    }
    SKIFF_TRY(plugin.command, section.text("command"));
    if (plugin.command.empty() || plugin.command.find('\0') != std::string::npos) {
        return fail(Code::invalid, "{}.command is not the name of a program", section.path());
    }
    if (plugin.command.find('/') != std::string::npos) {
        plugin.command = resolve_path(folder, plugin.command);
    }
    SKIFF_CHECK(read_plugin_lists(section, plugin));
    SKIFF_TRY(plugin.install_hint, section.text("installHint"));
    SKIFF_TRY(auto mode, section.text("interactiveMode"));
    bool is_v1 = plugin.api_version == kExecApiVersions[0];
    if (mode == "Always") {
        return fail(Code::unsupported, "{}.interactiveMode: Always, but a node has no terminal",
                    section.path());
    }
    if (mode.empty() ? is_v1 : mode != "Never" && mode != "IfAvailable") {
        return fail(Code::invalid, "{}.interactiveMode: \"{}\"; allowed: Never, IfAvailable",
                    section.path(), bounded_utf8(mode, kShownBytesMax));
    }
    if (section.is_true("provideClusterInfo")) {
        plugin.cluster_facts = ExecPlugin::ClusterFacts::provided;
    }
    return plugin;
}

// What the cluster's entry has to tell plugins.
Result<std::string> read_cluster_config(const Section& cluster) {
    SKIFF_TRY(const json::array* extensions, cluster.list("extensions"));
    for (const json::value& entry : *extensions) {
        const json::object* map = entry.if_object();
        SKIFF_TRY(auto name, Section(map, cluster.path() + ".extensions[]").text("name"));
        if (name == kExecExtension && map->contains("extension")) {
            return json::serialize(map->at("extension"));
        }
    }
    return std::string();
}

Result<void> read_user(const Section& user, const std::filesystem::path& folder,
                       ClientConfig& config) {
    for (std::string_view key : {"auth-provider", "username", "password", "as"}) {
        if (user.has(key)) {
            return fail(Code::unsupported,
                        "{}.{} is not supported: use a client certificate, token, tokenFile or "
                        "exec",
                        user.path(), key);
        }
    }
    if (user.has("exec")) {
        Section section(user.map("exec"), user.path() + ".exec");
        SKIFF_TRY(config.exec, read_plugin(section, folder));
    }
    SKIFF_TRY(config.tls.client_certificate_pem, user.decoded("client-certificate-data"));
    SKIFF_TRY(config.tls.client_key_pem, user.decoded("client-key-data"));
    SKIFF_TRY(auto certificate, user.text("client-certificate"));
    SKIFF_TRY(auto key, user.text("client-key"));
    config.tls.client_certificate_file = resolve_path(folder, certificate);
    config.tls.client_key_file = resolve_path(folder, key);
    SKIFF_TRY(config.token, user.text("token"));
    SKIFF_TRY(auto token_file, user.text("tokenFile"));
    config.token_file = resolve_path(folder, token_file);
    return {};
}

// YAML's double-quoted scalars are a superset of JSON's strings.
std::string quoted(std::string_view text) {
    return json::serialize(json::string_view(text.data(), text.size()));
}

void add_line(std::string& yaml, std::string_view key, std::string_view value) {
    if (!value.empty()) {
        yaml += fmt::format("    {}: {}\n", key, quoted(value));
    }
}

void add_pem(std::string& yaml, std::string_view key, std::string_view pem, std::string_view file) {
    if (!pem.empty()) {
        add_line(yaml, std::string(key) + "-data", base64_encode(pem));
    } else {
        add_line(yaml, key, file);
    }
}

}  // namespace

Result<ClientConfig> parse_kubeconfig(std::string_view yaml, const std::filesystem::path& folder,
                                      std::string_view context) {
    SKIFF_TRY(json::value root, parse_root(yaml));
    const json::object* map = root.if_object();
    if (map == nullptr || !map->contains("clusters")) {
        return fail(Code::invalid, "not a kubeconfig: no clusters");
    }
    std::string chosen(context);
    if (chosen.empty()) {
        SKIFF_TRY(chosen, Section(map, "kubeconfig").text("current-context"));
    }
    if (chosen.empty()) {
        return fail(Code::invalid, "no current-context");
    }
    SKIFF_TRY(auto section, find_named(*map, "contexts", "context", chosen));
    SKIFF_TRY(auto cluster_name, section.text("cluster"));
    SKIFF_TRY(auto user_name, section.text("user"));
    ClientConfig config;
    SKIFF_TRY(config.namespace_, section.text("namespace"));
    if (config.namespace_.empty()) {
        config.namespace_ = "default";
    }
    SKIFF_TRY(auto cluster, find_named(*map, "clusters", "cluster", cluster_name));
    SKIFF_CHECK(read_cluster(cluster, folder, config));
    if (!user_name.empty()) {
        SKIFF_TRY(auto user, find_named(*map, "users", "user", user_name));
        SKIFF_CHECK(read_user(user, folder, config));
    }
    if (config.exec) {
        SKIFF_TRY(config.exec->cluster_config, read_cluster_config(cluster));
    }
    return config;
}

Result<ClientConfig> parse_first_cluster(std::string_view yaml) {
    SKIFF_TRY(json::value root, parse_root(yaml));
    const json::object* map = root.if_object();
    const json::value* clusters = map == nullptr ? nullptr : map->if_contains("clusters");
    const json::array* list = clusters == nullptr ? nullptr : clusters->if_array();
    const json::object* first = list == nullptr || list->empty() ? nullptr : (*list)[0].if_object();
    const json::value* cluster = first == nullptr ? nullptr : first->if_contains("cluster");
    if (cluster == nullptr || !cluster->is_object()) {
        return fail(Code::invalid, "not a kubeconfig: no clusters");
    }
    ClientConfig config;
    config.namespace_ = "default";
    SKIFF_CHECK(read_cluster(Section(&cluster->get_object(), "clusters[0].cluster"), "/", config));
    return config;
}

Result<ClientConfig> load_kubeconfig(const std::filesystem::path& path, std::string_view context) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        return fail(errno_error(errno, "kubeconfig " + path.string()));
    }
    std::string text(kKubeconfigBytesMax + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (file.bad()) {
        return fail(errno_error(errno, "kubeconfig " + path.string()));
    }
    text.resize(static_cast<std::size_t>(file.gcount()));
    if (text.size() > kKubeconfigBytesMax) {
        return fail(Code::invalid, "kubeconfig {}: larger than {} bytes", path.string(),
                    kKubeconfigBytesMax);
    }
    auto config = parse_kubeconfig(text, std::filesystem::absolute(path).parent_path(), context);
    if (!config) {
        return fail(std::move(config.error()).context("kubeconfig " + path.string()));
    }
    return config;
}

std::string format_kubeconfig(const ClientConfig& config, std::string_view name) {
    std::string id = quoted(name);
    std::string yaml = "apiVersion: v1\nkind: Config\ncurrent-context: " + id + "\n";
    yaml += "clusters:\n- name: " + id + "\n  cluster:\n";
    add_line(yaml, "server", config.server);
    add_pem(yaml, "certificate-authority", config.tls.ca_pem, config.tls.ca_file);
    if (config.tls.verify == http::Verify::kNothing) {
        yaml += "    insecure-skip-tls-verify: true\n";
    }
    add_line(yaml, "proxy-url", config.proxy.value_or(""));
    yaml += "users:\n- name: " + id + "\n  user:\n";
    add_pem(yaml, "client-certificate", config.tls.client_certificate_pem,
            config.tls.client_certificate_file);
    add_pem(yaml, "client-key", config.tls.client_key_pem, config.tls.client_key_file);
    add_line(yaml, "token", config.token);
    add_line(yaml, "tokenFile", config.token_file.string());
    yaml += "contexts:\n- name: " + id + "\n  context:\n";
    add_line(yaml, "cluster", name);
    add_line(yaml, "user", name);
    add_line(yaml, "namespace", config.namespace_ == "default" ? "" : config.namespace_);
    return yaml;
}

}  // namespace skiff::kube
