#include "volumes/kinds.h"

namespace skiff::volumes {

async::Task<Result<Payload>> secret_payload(pods::Objects& objects, const kube::Pod& pod,
                                            const kube::SecretVolumeSource& source) {
    bool optional = source.optional.value_or(false);
    Payload payload;
    auto found = co_await objects.secret(pod, source.secretName);
    if (!found) {
        if (optional && found.error().code == Code::not_found) {
            co_return payload;
        }
        co_return fail(std::move(found.error()));
    }
    Keys keys;
    for (const auto& [key, value] : (*found)->data) {
        keys[key] = value.bytes;
    }
    // Secrets of a user's file may carry plain text; the API server has folded it into data.
    for (const auto& [key, value] : (*found)->stringData) {
        keys[key] = value;
    }
    Selection selection{source.items, file_mode(std::nullopt, source.defaultMode),
                        optional ? Presence::optional : Presence::required, "secret"};
    SKIFF_CO_CHECK(add_selection(payload, keys, selection));
    co_return payload;
}

}  // namespace skiff::volumes
