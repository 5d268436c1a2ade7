#include "base/fuzz.h"
#include "base/text.h"
#include "network/cni_result.h"

namespace skiff::network {

// The input: a byte that chooses the version, what a plugin printed.
SKIFF_FUZZ(network_cni_result) {
    fuzz::Input input(bytes);
    const CniVersion version = kCniVersions[input.byte() % kCniVersions.size()];
    const std::string_view text = input.rest();
    if (const auto error = parse_cni_error(text)) {
        SKIFF_ASSERT(!error->message.empty() && error->message.size() < fuzz::kMessageBytesMax);
        SKIFF_ASSERT(bounded_utf8(error->message, error->message.size()) == error->message);
        SKIFF_ASSERT(code_of_cni_error(error->code) != Code::internal);
    }
    if (const auto versions = parse_cni_versions(text)) {
        SKIFF_ASSERT(versions->size() <= kCniVersions.size());
    }
    const auto result = parse_cni_result(text, version);
    if (!result) {
        fuzz::check_error(result.error());
        return;
    }
    for (const CniAddress& address : result->ips) {
        SKIFF_ASSERT(!address.ip.empty() && address.prefix_length <= 128);
        SKIFF_ASSERT(!address.interface || *address.interface < result->interfaces.size());
    }
    SKIFF_ASSERT(result->addresses_of("eth0").size() <= result->ips.size());
    const auto again = parse_cni_result(result->json, version);
    SKIFF_ASSERT(again && *again == *result);
}

}  // namespace skiff::network
