// Who may use an image that is on the node: what the registry once granted, remembered on disk.
//
// An image that was pulled with a pod's credentials is not given to a pod that has none: its own
// credentials must open it too (the kubelet's NeverVerifyPreloadedImages). Credentials are
// remembered as keyed hashes only. Reactor thread only; files are written on the pool.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "async/blocking.h"
#include "images/credentials.h"
#include "images/store.h"

namespace skiff::images {

class AccessRecords {
public:
    // Files in `folder` (made if missing). A corrupt record is removed: its image must be proved
    // again. `pool` must outlive it.
    [[nodiscard]] static async::Task<Result<std::unique_ptr<AccessRecords>>> open(
        async::BlockingPool& pool, std::filesystem::path folder);

    // Whether a holder of `credentials` (those that fit the image) may use it without asking the
    // registry. An image that somebody loaded by hand is everybody's.
    [[nodiscard]] bool allows(const StoredImage& image,
                              const std::vector<CredentialEntry>& credentials) const;
    // The registry opened the image to `used`; without one, or with one of the node's own, to
    // everybody. Resolves when it is on disk.
    [[nodiscard]] async::Task<Result<void>> grant(const StoredImage& image,
                                                  std::optional<CredentialEntry> used);
    // The image is gone.
    [[nodiscard]] async::Task<Result<void>> forget(std::string image_id);

private:
    struct Record {
        enum class Audience { holders, everybody } audience = Audience::holders;
        std::set<std::string> holders;  // keyed hashes of credentials
    };
    struct Loaded {
        std::string key;
        std::map<std::string, Record> records;
    };
    AccessRecords(async::BlockingPool& pool, std::filesystem::path folder, Loaded loaded);
    static Result<Loaded> load(const std::filesystem::path& folder);
    [[nodiscard]] std::string hash(const Credential& credential) const;

    async::BlockingPool& pool_;
    std::filesystem::path folder_;
    std::string key_;
    std::map<std::string, Record> records_;  // by StoredImage::image_id()
};

}  // namespace skiff::images
