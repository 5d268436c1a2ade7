#include "base/fuzz.h"
#include "network/cni_config.h"
#include "network/cni_request.h"

namespace skiff::network {

// A plugin of a network that was read: what it is told is JSON and names the network.
static void check_plugin(const CniConfig& config, const CniPlugin& plugin) {
    SKIFF_ASSERT(!plugin.type.empty() && plugin.type != "." && plugin.type != "..");
    SKIFF_ASSERT(plugin.type.find('/') == std::string::npos);
    SKIFF_ASSERT(plugin.capabilities.size() <= kCniCapabilitiesMax);
    const auto again = parse_cni_plugin(format_raw(plugin.members));
    SKIFF_ASSERT(again && *again == plugin);
    CniParameters parameters;
    for (const std::string& name : plugin.capabilities) {
        parameters.capabilities.push_back({name, "[1]"});
    }
    RawObject request = make_cni_request(config, plugin);
    add_attachment(request, plugin, parameters, "{}");
    add_valid_attachments(request, {{"a", "eth0"}});
    const auto told = parse_cni_json(format_raw(request));
    SKIFF_ASSERT(told, format_raw(request));
    const FieldReader reader(*told, "");
    SKIFF_ASSERT(reader.text("name") == config.name);
    SKIFF_ASSERT(reader.text("type") == plugin.type);
    SKIFF_ASSERT(!told->contains("capabilities"));
}

// The input: a byte that chooses the format, the file.
SKIFF_FUZZ(network_cni_config) {
    fuzz::Input input(bytes);
    const CniFormat format = (input.byte() & 1) == 0 ? CniFormat::list : CniFormat::single;
    const auto config = parse_cni_config(input.rest(), format);
    if (!config) {
        fuzz::check_error(config.error());
        return;
    }
    SKIFF_ASSERT(is_cni_name(config->name));
    SKIFF_ASSERT(!config->versions.empty() && config->version == config->versions.back());
    SKIFF_ASSERT(config->plugins.size() <= kCniPluginsMax);
    for (const CniPlugin& plugin : config->plugins) {
        check_plugin(*config, plugin);
    }
    // A single plugin may stand too deep for a list; what is read is the same network.
    const auto again = parse_cni_config(format_cni_config(*config), CniFormat::list);
    SKIFF_ASSERT(again || format == CniFormat::single);
    SKIFF_ASSERT(!again || (again->name == config->name && again->plugins == config->plugins));
}

}  // namespace skiff::network
