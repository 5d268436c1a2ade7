#include "images/access.h"

#include <algorithm>

#include "base/assert.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "images/json.h"
#include "os/file.h"

namespace skiff::images {

namespace fs = std::filesystem;
namespace json = boost::json;

namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kHoldersMax = 256;

std::string file_name(const std::string& image_id) {
    return digest_of(image_id).hex() + ".json";
}

}  // namespace

AccessRecords::AccessRecords(async::BlockingPool& pool, fs::path folder, Loaded loaded)
    : pool_(pool),
      folder_(std::move(folder)),
      key_(std::move(loaded.key)),
      records_(std::move(loaded.records)) {}

async::Task<Result<std::unique_ptr<AccessRecords>>> AccessRecords::open(async::BlockingPool& pool,
                                                                        fs::path folder) {
    auto work = [folder] { return load(folder); };
    SKIFF_CO_TRY(Loaded loaded, co_await pool.run(std::move(work)));
    co_return std::unique_ptr<AccessRecords>(
        new AccessRecords(pool, std::move(folder), std::move(loaded)));
}

Result<AccessRecords::Loaded> AccessRecords::load(const fs::path& folder) {
    SKIFF_CHECK(os::make_folders(folder, 0700));
    os::remove_stale_temporaries(folder);
    Loaded out;
    auto key = os::read_file(folder / "key", Bytes{kKeyBytes});
    if (key && key->size() == kKeyBytes) {
        out.key = std::move(*key);
    } else {
        // Without the old key no old hash can match: everything is proved again.
        out.key.resize(kKeyBytes);
        SystemRandom random;
        random.fill(std::as_writable_bytes(std::span(out.key)));
        SKIFF_CHECK(os::write_file_atomic(folder / "key", out.key, 0600, os::Durability::power));
    }
    SKIFF_TRY(auto names, os::list_folder(folder));
    for (const std::string& name : names) {
        if (!name.ends_with(".json")) {
            continue;
        }
        auto text = os::read_file(folder / name, 256_KiB);
        auto object = text ? parse_object(*text) : fail(std::move(text.error()));
        std::string image_id = object ? string_in(*object, "image") : "";
        if (image_id.empty() || file_name(image_id) != name) {
            log::warn("access record is corrupt", log::kv("file", (folder / name).string()));
            SKIFF_CHECK(os::remove_file(folder / name));
            continue;
        }
        Record record;
        if (string_in(*object, "audience") == "everybody") {
            record.audience = Record::Audience::everybody;
        }
        for (std::string& holder : strings_in(*object, "holders")) {
            record.holders.insert(std::move(holder));
        }
        out.records.emplace(std::move(image_id), std::move(record));
    }
    return out;
}

std::string AccessRecords::hash(const Credential& credential) const {
    return to_hex(hmac_sha256(key_, credential.key()));
}

bool AccessRecords::allows(const StoredImage& image,
                           const std::vector<CredentialEntry>& credentials) const {
    if (image.origin == StoredImage::Origin::loaded) {
        return true;
    }
    auto found = records_.find(image.image_id());
    if (found == records_.end()) {
        return false;
    }
    const Record& record = found->second;
    return record.audience == Record::Audience::everybody ||
           std::any_of(credentials.begin(), credentials.end(), [&](const CredentialEntry& entry) {
               return record.holders.contains(hash(entry.credential));
           });
}

async::Task<Result<void>> AccessRecords::grant(const StoredImage& image,
                                               std::optional<CredentialEntry> used) {
    std::string image_id = image.image_id();
    Record& record = records_[image_id];
    Record before = record;
    if (!used || used->source.empty()) {
        record.audience = Record::Audience::everybody;
    } else if (record.holders.size() < kHoldersMax) {
        record.holders.insert(hash(used->credential));
    }
    bool same = before.audience == record.audience && before.holders == record.holders;
    if (same) {
        co_return Result<void>{};
    }
    json::object object;
    object["image"] = image_id;
    object["audience"] = record.audience == Record::Audience::everybody ? "everybody" : "holders";
    json::array holders;
    for (const std::string& holder : record.holders) {
        holders.push_back(json::value(holder));
    }
    object["holders"] = std::move(holders);
    auto work = [path = folder_ / file_name(image_id), text = json::serialize(object)] {
        return os::write_file_atomic(path, text, 0600, os::Durability::power);
    };
    co_return co_await pool_.run(std::move(work));
}

async::Task<Result<void>> AccessRecords::forget(std::string image_id) {
    records_.erase(image_id);
    auto work = [path = folder_ / file_name(image_id)] { return os::remove_file(path); };
    co_return co_await pool_.run(std::move(work));
}

}  // namespace skiff::images
