#include "network/cni_cache.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "network/cni_plugin.h"
#include "state/checkpoint.h"

namespace skiff::network {

namespace {

constexpr std::string_view kKind = "cni-attachment";
// Beside configuration, capabilities and result: names and paths.
constexpr Bytes kRestBytesMax = 64_KiB;
static_assert(kCniConfigBytesMax.value + kCniCapabilityBytesMax.value + kCniOutputBytesMax.value +
                  kRestBytesMax.value <=
              state::kCheckpointMax.value);

// Fields between zero bytes, which neither JSON nor a path can have.
enum Field { kContainer, kInterface, kNamespace, kArgs, kCapabilities, kConfig, kResult, kFields };

Result<CniRecord> read_record(const std::vector<std::string_view>& fields) {
    CniRecord record;
    record.parameters.key = {std::string(fields[kContainer]), std::string(fields[kInterface])};
    SKIFF_CHECK(check_cni_key(record.parameters.key));
    record.parameters.network_namespace = fields[kNamespace];
    record.parameters.args = fields[kArgs];
    SKIFF_CHECK(parse_cni_json(fields[kCapabilities]));
    record.parameters.capabilities = raw_members(fields[kCapabilities]);
    SKIFF_TRY(record.config, parse_cni_config(fields[kConfig], CniFormat::list));
    if (record.config.plugins.empty()) {
        return fail(Code::corrupt, "a network without plugins");
    }
    if (!fields[kResult].empty()) {
        SKIFF_TRY(record.result, parse_cni_result(fields[kResult], record.config.version));
    }
    return record;
}

}  // namespace

std::string format_cni_record(const CniRecord& record) {
    std::string text;
    const auto add = [&text](std::string_view field) {
        text += field;
        text += '\0';
    };
    add(record.parameters.key.container_id);
    add(record.parameters.key.interface);
    add(record.parameters.network_namespace);
    add(record.parameters.args);
    add(format_raw(record.parameters.capabilities));
    add(format_cni_config(record.config));
    return text + (record.result ? record.result->json : "");
}

Result<CniRecord> parse_cni_record(std::string_view text) {
    const auto fields = split(text, '\0');
    if (fields.size() != kFields) {
        return fail(Code::corrupt, "{} fields instead of {}", fields.size(),
                    static_cast<int>(kFields));
    }
    auto record = read_record(fields);
    if (!record) {
        record.error().code = Code::corrupt;
    }
    return record;
}

std::filesystem::path CniCache::path_of(const CniKey& key) const {
    return folder_ / fmt::format("{}@{}", key.container_id, key.interface);
}

Result<void> CniCache::store(const CniRecord& record) const {
    SKIFF_CHECK(check_cni_key(record.parameters.key));
    SKIFF_CHECK(os::make_folders(folder_, 0700));
    return state::store_checkpoint(path_of(record.parameters.key), kKind, format_cni_record(record),
                                   durability_);
}

Result<std::optional<CniRecord>> CniCache::find(const CniKey& key) const {
    SKIFF_CHECK(check_cni_key(key));
    auto text = state::load_checkpoint(path_of(key), kKind);
    if (!text && text.error().code == Code::not_found) {
        return std::optional<CniRecord>();
    }
    if (!text && text.error().code != Code::corrupt) {
        return fail(std::move(text.error()));
    }
    auto record = text ? parse_cni_record(*text) : Result<CniRecord>(fail(text.error()));
    if (record && record->parameters.key == key) {
        return std::optional<CniRecord>(std::move(*record));
    }
    log::warn("record of a CNI attachment unreadable", log::kv("path", path_of(key).string()),
              log::kv("error", record ? "it is another one's" : record.error().message));
    return std::optional<CniRecord>();
}

Result<void> CniCache::remove(const CniKey& key) const {
    SKIFF_CHECK(check_cni_key(key));
    return os::remove_file(path_of(key));
}

Result<std::vector<CniKey>> CniCache::list() const {
    os::remove_stale_temporaries(folder_);
    auto names = os::list_folder(folder_);
    std::vector<CniKey> keys;
    if (!names) {
        if (names.error().code == Code::not_found) {
            return keys;
        }
        return fail(std::move(names.error()));
    }
    for (const std::string& name : *names) {
        const std::size_t at = name.find('@');
        if (at == std::string::npos) {
            continue;
        }
        CniKey key{name.substr(0, at), name.substr(at + 1)};
        if (check_cni_key(key)) {
            keys.push_back(std::move(key));
        }
    }
    std::ranges::sort(keys);
    return keys;
}

}  // namespace skiff::network
