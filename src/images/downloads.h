// Fetches blobs into the store: each digest once at a time, resumed after breaks, whoever asks.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>

#include "async/scope.h"
#include "images/ingest.h"
#include "images/registry.h"
#include "images/store.h"

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

class Downloads {
public:
    // All must outlive it.
    Downloads(async::Executor executor, Store& store, Registry& registry,
              std::size_t blobs_in_parallel);
    // stop() came first.
    ~Downloads() = default;

    // Returns when all blobs are in the store and right. Callers of the same digest join one
    // download; when that one fails for lack of access, the next caller's source is tried. A caller
    // that is cancelled leaves the downloads running for the others and for the next time.
    // `progress` may be empty.
    [[nodiscard]] async::Task<Result<void>> fetch(std::vector<Descriptor> blobs, BlobSource source,
                                                  ProgressSink progress);
    [[nodiscard]] bool is_running(const Digest& digest) const { return flights_.contains(digest); }
    // Cancels everything in progress; partial files stay and are resumed.
    [[nodiscard]] async::Task<void> stop() { return scope_.stop(); }

private:
    struct Flight {
        async::Event done;
        std::optional<Result<void>> result;
        std::list<ProgressSink> listeners;
        std::uint64_t bytes = 0;
    };
    struct Ticket;
    [[nodiscard]] Ticket join(const Descriptor& blob, const BlobSource& source,
                              const ProgressSink& progress);
    [[nodiscard]] async::Task<void> fly(std::shared_ptr<Flight> flight, Descriptor blob,
                                        BlobSource source);
    [[nodiscard]] async::Task<Result<void>> download(std::shared_ptr<Flight> flight,
                                                     Descriptor blob, BlobSource source);
    // One response's worth: sets `*arrived` when bytes came.
    [[nodiscard]] async::Task<Result<void>> receive(std::shared_ptr<Flight> flight,
                                                    std::shared_ptr<Ingest> ingest, Descriptor blob,
                                                    BlobSource source);
    void report(Flight& flight, const Descriptor& blob, std::uint64_t bytes);

    Store& store_;
    Registry& registry_;
    std::map<Digest, std::shared_ptr<Flight>> flights_;
    async::Semaphore running_;
    async::Scope scope_;
};

}  // namespace skiff::images
