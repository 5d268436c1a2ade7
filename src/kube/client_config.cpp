#include "kube/client_config.h"

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

Result<void> read_user(const Section& user, const std::filesystem::path& folder,
                       ClientConfig& config) {
    for (std::string_view key : {"exec", "auth-provider", "username", "password", "as"}) {
        if (user.has(key)) {
            return fail(Code::unsupported,
                        "{}.{} is not supported: use a client certificate, token or tokenFile",
                        user.path(), key);
        }
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
        yaml += fmt::format("    {}-data: {}\n", key, base64_encode(pem));
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
