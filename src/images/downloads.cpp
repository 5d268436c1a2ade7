#include "images/downloads.h"

#include <algorithm>

#include "base/log.h"

namespace skiff::images {

namespace {

// Breaks in a row, with less than this in between, after which a download fails; and how often it
// may start again from nothing.
constexpr int kBreaksMax = 4;
constexpr std::uint64_t kBreakBytesMin = 64U << 10;

bool is_about_access(const Error& error) {
    return error.code == Code::unauthenticated || error.code == Code::denied ||
           error.code == Code::not_found;
}

std::uint64_t window_bytes(const DownloadLimits& limits) {
    std::chrono::duration<double> window = limits.rate_window;
    return static_cast<std::uint64_t>(window.count() *
                                      static_cast<double>(limits.bytes_per_second_min));
}

// How fast the registry sends, window by window. A window is time spent waiting for it.
class Pace {
public:
    explicit Pace(const DownloadLimits& limits) : limits_(limits) {}
    Result<void> add(Duration waited, std::uint64_t bytes) {
        waited_ += waited;
        bytes_ += bytes;
        if (waited_ < limits_.rate_window) {
            return {};
        }
        if (bytes_ < window_bytes(limits_)) {
            return fail(Code::timeout, "only {} came in {}, less than {} per second", Bytes{bytes_},
                        format_duration(waited_), Bytes{limits_.bytes_per_second_min});
        }
        waited_ = {};
        bytes_ = 0;
        return {};
    }

private:
    const DownloadLimits& limits_;
    Duration waited_{};
    std::uint64_t bytes_ = 0;
};

}  // namespace

// Takes a listener off its flight when its caller leaves, cancelled or not; the last one ends it.
class Downloads::Listening {
public:
    Listening(std::shared_ptr<Flight> flight, ProgressSink sink)
        : flight_(std::move(flight)),
          place_(flight_->listeners.insert(flight_->listeners.end(), std::move(sink))) {}
    ~Listening() {
        flight_->listeners.erase(place_);
        if (flight_->listeners.empty() && !flight_->result) {
            flight_->abandoned = true;
            flight_->enough.set();
        }
    }
    Listening(const Listening&) = delete;
    Listening& operator=(const Listening&) = delete;

private:
    std::shared_ptr<Flight> flight_;
    std::list<ProgressSink>::iterator place_;
};

// A caller's share in a flight.
struct Downloads::Ticket {
    Descriptor blob;
    std::shared_ptr<Flight> flight;
    enum class Role { first, joined } role;
    std::unique_ptr<Listening> listening;
};

// One blob on its way to its file.
struct Downloads::Transfer {
    std::shared_ptr<Flight> flight;
    Descriptor blob;
    BlobSource source;
    std::shared_ptr<Ingest> ingest;
    Pace pace;
    bool too_slow = false;
    std::uint64_t arrived = 0;  // from the response in progress
    int restarts = 0;

    void report() const {
        for (const ProgressSink& listener : flight->listeners) {
            if (listener) {
                listener(BlobProgress{blob.digest, ingest->size(), blob.size});
            }
        }
    }
};

Downloads::Downloads(async::Executor executor, Store& store, Registry& registry,
                     DownloadLimits limits)
    : store_(store),
      registry_(registry),
      limits_(limits),
      turns_(Turns::Limits{limits.in_all, Duration::max(), Turns::Limits::First::passes}),
      scope_(std::move(executor)) {}

bool Downloads::is_running(const Digest& digest) const {
    auto first = flights_.lower_bound(Key(digest, ""));
    return first != flights_.end() && first->first.first == digest;
}

Downloads::Ticket Downloads::join(const Descriptor& blob, const BlobSource& source,
                                  const ProgressSink& progress) {
    // Who names the same digest at a registry of its own must not make others wait for that one.
    Key key(blob.digest, source.reference.registry);
    auto found = flights_.find(key);
    Ticket::Role role = Ticket::Role::joined;
    if (found == flights_.end()) {
        role = Ticket::Role::first;
        found = flights_.emplace(key, std::make_shared<Flight>()).first;
        scope_.spawn("download " + blob.digest.str(), fly(found->second, blob, source));
    }
    std::shared_ptr<Flight> flight = found->second;
    auto listening = std::make_unique<Listening>(flight, progress);
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
            bool others = !result && ticket.role == Ticket::Role::joined &&
                          (ticket.flight->abandoned || is_about_access(result.error()));
            if (!others) {
                SKIFF_CO_CHECK(result);
                break;
            }
            // Somebody else's credentials failed, or it was being given up as we came: try our own.
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
        Key key;
        ~Landing() {
            if (!flight->result) {
                flight->result = fail(Code::cancelled, "download cancelled");
            }
            downloads->flights_.erase(key);
            flight->done.set();
        }
    } landing{this, flight, Key(blob.digest, source.reference.registry)};
    auto task = download_in_turn(flight, blob, std::move(source));
    flight->result = co_await async::run_until(std::move(task), flight->enough, async::kNoDeadline,
                                               "download " + blob.digest.str());
    if (*flight->result) {
        store_.trust_blob(blob.digest);
    }
}

async::Task<Result<void>> Downloads::download_in_turn(std::shared_ptr<Flight> flight,
                                                      Descriptor blob, BlobSource source) {
    std::vector<Turns::Group> groups = {
        {"registry " + source.reference.registry, limits_.of_registry},
        {"image " + source.reference.str(), limits_.of_image}};
    SKIFF_CO_TRY(auto turn, co_await turns_.take(std::move(groups)));
    flight->begun = std::chrono::steady_clock::now();
    co_return co_await download(std::move(flight), std::move(blob), std::move(source));
}

async::Task<Result<void>> Downloads::download(std::shared_ptr<Flight> flight, Descriptor blob,
                                              BlobSource source) {
    auto open = [path = store_.ingest_path(blob.digest), digest = blob.digest, size = blob.size]() {
        return Ingest::open(path, digest, size);
    };
    SKIFF_CO_TRY(std::shared_ptr<Ingest> ingest, co_await store_.pool().run(std::move(open)));
    bool resumed = ingest->size() > 0;
    auto transfer = std::make_shared<Transfer>(
        Transfer{flight, blob, source, std::move(ingest), Pace(limits_)});
    SKIFF_CO_CHECK(co_await receive_all(transfer));
    auto finish = [ingest = transfer->ingest, target = store_.blob_path(blob.digest)]() {
        return ingest->finish(target);
    };
    auto finished = co_await store_.pool().run(std::move(finish));
    if (!finished && finished.error().code == Code::corrupt && resumed) {
        // The part from an earlier try may be to blame: once more without it.
        transfer.reset();
        co_return co_await download(std::move(flight), std::move(blob), std::move(source));
    }
    co_return std::move(finished);
}

async::Task<Result<void>> Downloads::receive_all(std::shared_ptr<Transfer> transfer) {
    for (int breaks = 0; !transfer->ingest->complete();) {
        transfer->arrived = 0;
        auto received = co_await receive(transfer);
        if (received) {
            continue;
        }
        Code code = received.error().code;
        bool passing = code == Code::unavailable || code == Code::timeout;
        breaks = transfer->arrived >= kBreakBytesMin ? 1 : breaks + 1;
        bool late = std::chrono::steady_clock::now() - transfer->flight->begun > limits_.time_max;
        if (!passing || transfer->too_slow || late || breaks >= kBreaksMax ||
            transfer->restarts >= kBreaksMax) {
            co_return fail(std::move(received.error()));
        }
        log::debug("download broke off", log::kv("blob", transfer->blob.digest),
                   log::kv("at", transfer->ingest->size()),
                   log::kv("why", received.error().message));
        SKIFF_CO_CHECK(co_await async::sleep_for(registry_.retry_delay(breaks)));
    }
    co_return Result<void>{};
}

async::Task<Result<void>> Downloads::receive(std::shared_ptr<Transfer> transfer) {
    const Descriptor& blob = transfer->blob;
    std::shared_ptr<Ingest> ingest = transfer->ingest;
    SKIFF_CO_TRY(auto opened,
                 co_await registry_.open_blob(transfer->source.reference, blob.digest,
                                              ingest->size(), transfer->source.credential));
    if (opened.starts_at != ingest->size()) {
        ++transfer->restarts;
        auto restart = [ingest] { return ingest->restart(); };
        SKIFF_CO_CHECK(co_await store_.pool().run(std::move(restart)));
    }
    auto length = opened.stream->content_length();
    if (length && *length != blob.size - opened.starts_at) {
        co_return fail(Code::corrupt, "{} has {} bytes in the registry, {} in the manifest",
                       blob.digest, *length + opened.starts_at, blob.size);
    }
    while (true) {
        SteadyTime asked = std::chrono::steady_clock::now();
        SKIFF_CO_TRY(auto chunk, co_await opened.stream->next_chunk());
        if (!chunk) {
            break;
        }
        std::uint64_t bytes = chunk->size();
        transfer->arrived += bytes;
        // While the pool hashes and writes, the stream goes on filling its window.
        auto append = [ingest, text = std::move(*chunk)] { return ingest->append(text); };
        Duration waited = std::chrono::steady_clock::now() - asked;
        SKIFF_CO_CHECK(co_await store_.pool().run(std::move(append)));
        transfer->report();
        auto pace = transfer->pace.add(waited, bytes);
        if (!pace) {
            transfer->too_slow = true;
            co_return fail(std::move(pace.error()).context(blob.digest.str()));
        }
    }
    if (!ingest->complete()) {
        co_return fail(Code::unavailable, "{} ended after {} of {} bytes", blob.digest,
                       ingest->size(), blob.size);
    }
    co_return Result<void>{};
}

}  // namespace skiff::images
