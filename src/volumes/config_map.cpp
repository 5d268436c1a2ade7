#include "volumes/kinds.h"

namespace skiff::volumes {

async::Task<Result<Payload>> config_map_payload(pods::Objects& objects, const kube::Pod& pod,
                                                const kube::ConfigMapVolumeSource& source) {
    bool optional = source.optional.value_or(false);
    Payload payload;
    auto found = co_await objects.config_map(pod, source.name);
    if (!found) {
        if (optional && found.error().code == Code::not_found) {
            co_return payload;
        }
        co_return fail(std::move(found.error()));
    }
    Keys keys((*found)->data.begin(), (*found)->data.end());
    for (const auto& [key, value] : (*found)->binaryData) {
        keys[key] = value.bytes;
    }
    Selection selection{source.items, file_mode(std::nullopt, source.defaultMode),
                        optional ? Presence::optional : Presence::required, "configmap"};
    SKIFF_CO_CHECK(add_selection(payload, keys, selection));
    co_return payload;
}

}  // namespace skiff::volumes
