// What the table of settings shows itself as: documentation, lines, JSON.
#include <boost/json.hpp>

#include "base/text.h"
#include "config/fields.h"

namespace skiff::config {

namespace json = boost::json;

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
        "The `*.conf` files of `--config-dir FOLDER` are merged over it in the order of their "
        "names: "
        "maps key by key,\n"
        "lists and values replace, null takes away.\n"
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
        "\n## Fields of a KubeletConfiguration without a meaning here\n\n"
        "They are accepted, with one line each in the log. The value is what holds on a Skiff "
        "node whatever the file\n"
        "says; `/configz` shows it.\n\n"
        "| field | value | why |\n| --- | --- | --- |\n";
    for (const UnusedField& field : unused_fields()) {
        out += fmt::format("| `{}` | `{}` | {} |\n", field.name, field.holds, field.why);
    }
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

// Puts `value` at "a.b.c".
static void put(json::object& root, std::string_view dotted, json::value value) {
    json::object* at = &root;
    std::vector<std::string_view> names = split(dotted, '.');
    for (std::size_t i = 0; i + 1 < names.size(); ++i) {
        json::value& next = (*at)[{names[i].data(), names[i].size()}];
        at = next.is_object() ? &next.get_object() : &next.emplace_object();
    }
    (*at)[{names.back().data(), names.back().size()}] = std::move(value);
}

std::string render_configz(const Settings& settings) {
    json::object kubelet;
    json::object skiff;
    kubelet["kind"] = "KubeletConfiguration";
    kubelet["apiVersion"] = "kubelet.config.k8s.io/v1beta1";
    skiff["kind"] = "SkiffConfiguration";
    skiff["apiVersion"] = "skiff.dev/v1alpha1";
    for (const UnusedField& field : unused_fields()) {
        put(kubelet, field.name, json::parse({field.holds.data(), field.holds.size()}));
    }
    for (const Field& field : fields()) {
        put(field.document == Document::kubelet ? kubelet : skiff, field.name,
            json::parse(field.json(settings)));
    }
    json::object answer;
    answer["kubeletconfig"] = std::move(kubelet);
    answer["skiffconfig"] = std::move(skiff);
    return json::serialize(answer);
}

}  // namespace skiff::config
