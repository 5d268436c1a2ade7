#include "images/downloads.h"

#include "base/log.h"
#include "images/limits.h"

namespace skiff::images {

namespace {

// Breaks in a row, without a byte in between, after which a download fails.
constexpr int kBreaksMax = 4;

bool is_about_access(const Error& error) {
    return error.code == Code::unauthenticated || error.code == Code::denied ||
           error.code == Code::not_found;
}

// Takes a listener off its flight when its caller leaves, cancelled or not.
class Listening {
public:
    Listening(std::shared_ptr<std::list<ProgressSink>> list, ProgressSink sink)
        : list_(std::move(list)), place_(list_->insert(list_->end(), std::move(sink))) {}
    ~Listening() { list_->erase(place_); }
    Listening(const Listening&) = delete;
    Listening& operator=(const Listening&) = delete;

private:
    std::shared_ptr<std::list<ProgressSink>> list_;
    std::list<ProgressSink>::iterator place_;
};

}  // namespace

// A caller's share in a flight.
struct Downloads::Ticket {
    Descriptor blob;
    std::shared_ptr<Flight> flight;
    enum class Role { first, joined } role;
    std::unique_ptr<Listening> listening;
};

Downloads::Downloads(async::Executor executor, Store& store, Registry& registry,
                     std::size_t blobs_in_parallel)
    : store_(store),
      registry_(registry),
      running_(blobs_in_parallel),
      scope_(std::move(executor)) {}

void Downloads::report(Flight& flight, const Descriptor& blob, std::uint64_t bytes) {
    flight.bytes = bytes;
    for (const ProgressSink& listener : flight.listeners) {
        if (listener) {
            listener(BlobProgress{blob.digest, bytes, blob.size});
        }
    }
}

Downloads::Ticket Downloads::join(const Descriptor& blob, const BlobSource& source,
                                  const ProgressSink& progress) {
    auto found = flights_.find(blob.digest);
    Ticket::Role role = Ticket::Role::joined;
    if (found == flights_.end()) {
        role = Ticket::Role::first;
        found = flights_.emplace(blob.digest, std::make_shared<Flight>()).first;
        scope_.spawn("download " + blob.digest.str(), fly(found->second, blob, source));
    }
    std::shared_ptr<Flight> flight = found->second;
    // The list lives as long as its flight.
    std::shared_ptr<std::list<ProgressSink>> list(flight, &flight->listeners);
    auto listening = std::make_unique<Listening>(std::move(list), progress);
    return Ticket{blob, std::move(flight), role, std::move(listening)};
}

async::Task<Result<void>> Downloads::fetch(std::vector<Descriptor> blobs, BlobSource source,
                                           ProgressSink progress) {
    std::vector<Ticket> tickets;
    for (const Descriptor& blob : blobs) {
        SKIFF_CO_TRY(bool here, co_await store_.has_blob(blob.digest, blob.size));
        if (!here) {
            tickets.push_back(join(blob, source, progress));
        } else if (progress) {
            progress(BlobProgress{blob.digest, blob.size, blob.size});
        }
    }
    for (Ticket& ticket : tickets) {
        while (true) {
            SKIFF_CO_CHECK(co_await ticket.flight->done.wait());
            const Result<void>& result = *ticket.flight->result;
            bool others =
                ticket.role == Ticket::Role::joined && !result && is_about_access(result.error());
            if (!others) {
                SKIFF_CO_CHECK(result);
                break;
            }
            // Somebody else's credentials failed: try our own.
            Descriptor blob = ticket.blob;
            ticket = join(blob, source, progress);
        }
    }
    co_return Result<void>{};
}

async::Task<void> Downloads::fly(std::shared_ptr<Flight> flight, Descriptor blob,
                                 BlobSource source) {
    // Whatever ends this task, cancellation included, the waiters must learn of it.
    struct Landing {
        Downloads* downloads;
        std::shared_ptr<Flight> flight;
        Digest digest;
        ~Landing() {
            if (!flight->result) {
                flight->result = fail(Code::cancelled, "download cancelled");
            }
            downloads->flights_.erase(digest);
            flight->done.set();
        }
    } landing{this, flight, blob.digest};
    auto turn = co_await running_.acquire();
    if (!turn) {
        flight->result = fail(std::move(turn.error()));
        co_return;
    }
    flight->result = co_await download(flight, blob, std::move(source));
    if (*flight->result) {
        store_.trust_blob(blob.digest);
    }
}

async::Task<Result<void>> Downloads::download(std::shared_ptr<Flight> flight, Descriptor blob,
                                              BlobSource source) {
    auto open = [path = store_.ingest_path(blob.digest), digest = blob.digest, size = blob.size]() {
        return Ingest::open(path, digest, size);
    };
    SKIFF_CO_TRY(std::shared_ptr<Ingest> ingest, co_await store_.pool().run(std::move(open)));
    bool resumed = ingest->size() > 0;
    for (int breaks = 0; !ingest->complete();) {
        std::uint64_t before = ingest->size();
        auto received = co_await receive(flight, ingest, blob, source);
        if (received) {
            continue;
        }
        Code code = received.error().code;
        bool passing = code == Code::unavailable || code == Code::timeout;
        breaks = ingest->size() > before ? 1 : breaks + 1;
        if (!passing || breaks >= kBreaksMax) {
            co_return fail(std::move(received.error()));
        }
        log::debug("download broke off", log::kv("blob", blob.digest),
                   log::kv("at", ingest->size()), log::kv("why", received.error().message));
        SKIFF_CO_CHECK(co_await async::sleep_for(registry_.retry_delay(breaks)));
    }
    auto finish = [ingest, target = store_.blob_path(blob.digest)]() {
        return ingest->finish(target);
    };
    auto finished = co_await store_.pool().run(std::move(finish));
    if (!finished && finished.error().code == Code::corrupt && resumed) {
        // The part from an earlier try may be to blame: once more without it.
        ingest.reset();
        co_return co_await download(flight, blob, std::move(source));
    }
    co_return std::move(finished);
}

async::Task<Result<void>> Downloads::receive(std::shared_ptr<Flight> flight,
                                             std::shared_ptr<Ingest> ingest, Descriptor blob,
                                             BlobSource source) {
    SKIFF_CO_TRY(auto opened, co_await registry_.open_blob(source.reference, blob.digest,
                                                           ingest->size(), source.credential));
    if (opened.starts_at != ingest->size()) {
        auto restart = [ingest] { return ingest->restart(); };
        SKIFF_CO_CHECK(co_await store_.pool().run(std::move(restart)));
    }
    auto length = opened.stream->content_length();
    if (length && *length != blob.size - opened.starts_at) {
        co_return fail(Code::corrupt, "{} has {} bytes in the registry, {} in the manifest",
                       blob.digest, *length + opened.starts_at, blob.size);
    }
    while (true) {
        SKIFF_CO_TRY(auto chunk, co_await opened.stream->next_chunk());
        if (!chunk) {
            break;
        }
        // While the pool hashes and writes, the stream goes on filling its window.
        auto append = [ingest, bytes = std::move(*chunk)] { return ingest->append(bytes); };
        SKIFF_CO_CHECK(co_await store_.pool().run(std::move(append)));
        report(*flight, blob, ingest->size());
    }
    if (!ingest->complete()) {
        co_return fail(Code::unavailable, "{} ended after {} of {} bytes", blob.digest,
                       ingest->size(), blob.size);
    }
    co_return Result<void>{};
}

}  // namespace skiff::images
