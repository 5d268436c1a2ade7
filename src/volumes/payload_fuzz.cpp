#include "volumes/payload.h"

#include <filesystem>

#include "base/fuzz.h"
#include "kube/codec.h"

namespace skiff::volumes {

static void check_payload(const Payload& payload) {
    for (const auto& [path, file] : payload) {
        const auto whole = (std::filesystem::path("/volume") / path).lexically_normal();
        SKIFF_ASSERT(whole.string() == "/volume/" + path, path);
        SKIFF_ASSERT(!path.starts_with(".."));
        SKIFF_ASSERT(file.mode <= 0777);
    }
}

// The input: a volume source, a zero byte, a Secret.
SKIFF_FUZZ(volumes_payload) {
    fuzz::Input input(bytes);
    const std::string_view source = input.part();
    if (const auto checked = check_payload_path(source); !checked) {
        fuzz::check_error(checked.error());
    }
    const auto volume = kube::from_json<kube::SecretVolumeSource>(source);
    const auto secret = kube::from_json<kube::Secret>(input.rest());
    if (!volume || !secret) {
        return;
    }
    Keys keys;
    for (const auto& [key, value] : secret->data) {
        keys[key] = value.bytes;
    }
    const Presence presence =
        volume->optional.value_or(false) ? Presence::optional : Presence::required;
    Payload payload;
    const auto added = add_selection(
        payload, keys,
        Selection{volume->items, file_mode({}, volume->defaultMode), presence, "secret"});
    if (!added) {
        fuzz::check_error(added.error());
    }
    check_payload(payload);
}

}  // namespace skiff::volumes
