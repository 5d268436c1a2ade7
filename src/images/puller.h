// From a reference to an image that can be run: resolve, recognise, download, unpack, name.
// Reactor thread only.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "images/downloads.h"
#include "images/formats.h"
#include "images/turns.h"

namespace skiff::images {

struct PullRequest {
    Reference reference;
    // Tried in order until one works; empty means anonymous.
    std::vector<CredentialEntry> credentials;
    // What the pod's `command` starts with, empty if it has none: it may name a Wasm file.
    std::string command;
    ProgressSink progress;
    Purpose purpose = Purpose::run;
    enum class Until {
        runnable,  // layers are unpacked
        stored,    // everything is in the layout, LocalImage::paths stays empty
    } until = Until::runnable;
};

// An image whose files are here.
struct LocalImage {
    StoredImage stored;
    Recipe recipe;
    // artifact: the one module. layered: unpacked folders, lowest first. files: one for each.
    std::vector<std::filesystem::path> paths;
};

struct PullOutcome {
    LocalImage image;
    // Which credential opened it; nullopt when none was needed or given.
    std::optional<CredentialEntry> used;
    Duration waiting{};  // for other pulls
};

class Puller {
public:
    // All must outlive it. `images_in_parallel` pulls run at a time, the others wait; of several,
    // one registry gets all but one, and a pull that takes longer than kPullTurnMax counts no more.
    Puller(Store& store, Registry& registry, Downloads& downloads, const Clock& clock,
           std::size_t images_in_parallel);

    // Pulls or re-checks an image. Errors as Registry's, unsupported (not Wasm), exhausted (disk,
    // limits), corrupt.
    [[nodiscard]] async::Task<Result<PullOutcome>> pull(PullRequest request);
    // The image as it is here. Fails with not_found when a part is missing or was corrupt, and with
    // unsupported when it is not Wasm for this `command` and is to be run.
    [[nodiscard]] async::Task<Result<LocalImage>> inspect(StoredImage stored, std::string command,
                                                          Purpose purpose = Purpose::run);

private:
    struct Resolved {
        Digest top;  // what the name stands for
        Descriptor manifest;
        Manifest document;
        // Documents to be kept: digest and bytes.
        std::vector<FetchedDocument> fetched;
    };
    [[nodiscard]] async::Task<Result<Resolved>> resolve(Reference reference, Purpose purpose,
                                                        std::optional<Credential> credential);
    [[nodiscard]] async::Task<Result<LocalImage>> pull_with(PullRequest request,
                                                            std::optional<Credential> credential);
    [[nodiscard]] async::Task<Result<void>> prove_access(Reference reference,
                                                         std::vector<Descriptor> layers,
                                                         std::optional<Credential> credential);
    [[nodiscard]] async::Task<Result<std::vector<std::filesystem::path>>> lay_out(Recipe recipe);

    Store& store_;
    Registry& registry_;
    Downloads& downloads_;
    const Clock& clock_;
    std::size_t of_registry_max_;
    Turns pulling_;
};

}  // namespace skiff::images
