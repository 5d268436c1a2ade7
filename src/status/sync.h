// Brings the statuses of pods to the API server and keeps them there: one PATCH for what changed,
// no GET. Reactor thread only.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "async/event.h"
#include "async/scope.h"
#include "async/task.h"
#include "base/random.h"
#include "base/time.h"
#include "pods/ports.h"

namespace skiff::status {

using async::Task;

// How many requests are on their way at once.
inline constexpr std::size_t kRequestsMax = 16;
// Statuses that somebody else overwrote are written back after at most so long (contract row 21).
inline constexpr Duration kReconcile = std::chrono::seconds(10);
inline constexpr Duration kRetryFirst = std::chrono::seconds(1);
inline constexpr Duration kRetryMax = std::chrono::seconds(30);

// The two requests that statuses need. Implemented over the API client by app.
class PodApi {
public:
    virtual ~PodApi() = default;
    // Strategic merge patch of the status subresource; `patch` holds metadata.uid as precondition.
    // Returns the object as the server has it now. not_found: no such pod; conflict: the name
    // belongs to another pod; anything else may pass.
    [[nodiscard]] virtual Task<Result<std::shared_ptr<const kube::Pod>>> patch_status(
        PodName pod, std::string patch) = 0;
    // DELETE with grace period 0 and the uid as precondition. Errors as above.
    [[nodiscard]] virtual Task<Result<void>> delete_pod(PodName pod, PodUid uid) = 0;
};

class StatusSync final : public pods::StatusSink {
public:
    // Everything given outlives this object.
    StatusSync(async::Executor executor, const Clock& clock, Random& random, PodApi& api);
    StatusSync(const StatusSync&) = delete;
    StatusSync& operator=(const StatusSync&) = delete;

    // Starts the periodic reconcile.
    void start();
    // Cancels what is on its way.
    [[nodiscard]] Task<void> stop();

    // `pod` is the watched copy: what the server has, as far as is known.
    void publish(std::shared_ptr<const kube::Pod> pod, kube::PodStatus status) override;
    void finish(std::shared_ptr<const kube::Pod> pod) override;
    void forget(const PodUid& pod) override;

    // Looks at every pod now: what start() does every kReconcile.
    void reconcile();
    // Pods whose status is not yet known to be at the server.
    [[nodiscard]] std::size_t pending() const;

private:
    struct Entry {
        // What the server has, as far as is known: watched, or the answer to our last PATCH.
        std::shared_ptr<const kube::Pod> known;
        std::optional<kube::PodStatus> wanted;
        enum class Sending { idle, queued, busy } sending = Sending::idle;
        enum class Changed { no, yes } changed = Changed::no;  // while busy
        enum class Finish { no, wanted, done } finish = Finish::no;
        // A server before 1.35 does not keep what a pod as a whole has.
        enum class PodResources { kept, dropped } pod_resources = PodResources::kept;
        std::uint32_t failures = 0;
        std::optional<SteadyTime> retry_at;
    };

    void learn(Entry& entry, std::shared_ptr<const kube::Pod> pod);
    [[nodiscard]] static std::optional<std::string> patch_of(const Entry& entry);
    [[nodiscard]] static bool may_delete(const Entry& entry);
    // Sends what is to be sent for this pod, unless that is under way.
    void kick(const PodUid& uid, Entry& entry);
    [[nodiscard]] Task<void> send(PodUid uid);
    enum class Next { again, rest };
    [[nodiscard]] Task<Next> send_once(PodUid uid);
    [[nodiscard]] Next settle_patch(const PodUid& uid,
                                    Result<std::shared_ptr<const kube::Pod>> answer);
    [[nodiscard]] Next settle_delete(const PodUid& uid, const Result<void>& answer);
    void retry_later(const PodUid& uid, Entry& entry, const Error& error);
    [[nodiscard]] Task<void> tick();

    const Clock& clock_;
    Random& random_;
    PodApi& api_;
    std::map<PodUid, Entry> entries_;
    async::Semaphore requests_;
    async::Event wake_;
    async::Scope scope_;
};

}  // namespace skiff::status
