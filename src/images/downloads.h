// Fetches blobs into the store: each digest once at a time from one registry, resumed after breaks,
// whoever asks. Registries are hostile: none can hold up the downloads from another, nor keep its
// own going by a trickle. Reactor thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "async/scope.h"
#include "images/ingest.h"
#include "images/limits.h"
#include "images/registry.h"
#include "images/store.h"
#include "images/turns.h"

namespace skiff::images {

// Told on the reactor thread how far one blob is; `done` may fall when a download starts again.
struct BlobProgress {
    Digest digest;
    std::uint64_t done = 0;
    std::uint64_t total = 0;
};
using ProgressSink = std::function<void(const BlobProgress&)>;

// Where a blob may be fetched from.
struct BlobSource {
    Reference reference;
    std::optional<Credential> credential;
};

// Tests choose smaller ones.
struct DownloadLimits {
    std::size_t in_all = kBlobsInParallelMax;
    std::size_t of_registry = kBlobsOfRegistryMax;
    std::size_t of_image = kBlobsOfImageMax;
    std::uint64_t bytes_per_second_min = kBlobBytesPerSecondMin;
    Duration rate_window = kBlobRateWindow;
    Duration time_max = kBlobTimeMax;
};

class Downloads {
public:
    // All must outlive it.
    Downloads(async::Executor executor, Store& store, Registry& registry,
              DownloadLimits limits = {});
    // stop() came first.
    ~Downloads() = default;

    // Returns when all blobs are in the store and right; at the first that fails, with its error.
    // Callers of the same digest from the same registry join one download; when that one fails for
    // lack of access, the next caller's source is tried. A download that its last caller leaves,
    // cancelled or for another blob's failure, is cancelled; what came of it is resumed next time.
    // `progress` may be empty. Errors as Registry's; timeout also for a blob that comes too slowly.
    [[nodiscard]] async::Task<Result<void>> fetch(std::vector<Descriptor> blobs, BlobSource source,
                                                  ProgressSink progress);
    // Whether it is on its way, from whatever registry.
    [[nodiscard]] bool is_running(const Digest& digest) const;
    // Cancels everything in progress; partial files stay and are resumed.
    [[nodiscard]] async::Task<void> stop() { return scope_.stop(); }

private:
    struct Flight {
        async::Event done;
        std::optional<Result<void>> result;
        std::list<ProgressSink> listeners;
        // Set when its last listener left.
        bool abandoned = false;
        async::Event enough;
        SteadyTime begun{};
    };
    struct Ticket;
    struct Transfer;
    class Listening;
    using Key = std::pair<Digest, std::string>;  // and the registry

    [[nodiscard]] Ticket join(const Descriptor& blob, const BlobSource& source,
                              const ProgressSink& progress);
    [[nodiscard]] async::Task<void> fly(std::shared_ptr<Flight> flight, Descriptor blob,
                                        BlobSource source);
    [[nodiscard]] async::Task<Result<void>> download_in_turn(std::shared_ptr<Flight> flight,
                                                             Descriptor blob, BlobSource source);
    [[nodiscard]] async::Task<Result<void>> download(std::shared_ptr<Flight> flight,
                                                     Descriptor blob, BlobSource source);
    // All responses it takes.
    [[nodiscard]] async::Task<Result<void>> receive_all(std::shared_ptr<Transfer> transfer);
    // One response's worth.
    [[nodiscard]] async::Task<Result<void>> receive(std::shared_ptr<Transfer> transfer);

    Store& store_;
    Registry& registry_;
    DownloadLimits limits_;
    std::map<Key, std::shared_ptr<Flight>> flights_;
    Turns turns_;
    async::Scope scope_;
};

}  // namespace skiff::images
