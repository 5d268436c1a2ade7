#include "status/sync.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "kube/patch.h"
#include "kube/pod_fields.h"

namespace skiff::status {
namespace {

bool is_terminal(const kube::Pod& pod) {
    return pod.status.phase == "Succeeded" || pod.status.phase == "Failed";
}

// Whether `a` is an older state of the object than `b`: versions of one resource compare as
// numbers; if they do not look like that, what arrived later counts.
bool is_older(const kube::Pod& a, const kube::Pod& b) {
    auto first = parse_uint(a.metadata.resourceVersion);
    auto second = parse_uint(b.metadata.resourceVersion);
    return first && second && *first < *second;
}

// The agent's or somebody else's: whoever says it first.
bool is_shared(std::string_view type) {
    return type == "DisruptionTarget";
}

// Whether there is no such pod any more: its name is free, or belongs to another uid. The server
// says the latter as a failed precondition or as an attempt to change the uid; any other conflict
// passes.
bool is_gone(const Error& error) {
    switch (error.code) {
        case Code::not_found:
            return true;
        case Code::conflict:
            return error.message.find("UID") != std::string::npos;
        case Code::invalid:
            return error.message.find("metadata.uid:") != std::string::npos;
        default:
            return false;
    }
}

bool has_pod_resources(const kube::PodStatus& status) {
    return status.resources.has_value() || !status.allocatedResources.empty();
}

// What others own is taken from the server's copy, so that it is never written back old.
kube::PodStatus merged(const kube::PodStatus& wanted, const kube::PodStatus& known) {
    kube::PodStatus status = wanted;
    std::erase_if(status.conditions, [](const kube::PodCondition& condition) {
        return !kube::is_agents_condition(condition.type) && !is_shared(condition.type);
    });
    auto is_told = [&status](const std::string& type) {
        return std::ranges::find(status.conditions, type, &kube::PodCondition::type) !=
               status.conditions.end();
    };
    for (const kube::PodCondition& condition : known.conditions) {
        if (!kube::is_agents_condition(condition.type) && !is_told(condition.type)) {
            status.conditions.push_back(condition);
        }
    }
    // An older copy of the object must not take the generation back.
    status.observedGeneration = std::max(status.observedGeneration, known.observedGeneration);
    status.nominatedNodeName = known.nominatedNodeName;
    return status;
}

}  // namespace

StatusSync::StatusSync(async::Executor executor, const Clock& clock, Random& random, PodApi& api)
    : clock_(clock), random_(random), api_(api), requests_(kRequestsMax), scope_(executor) {}

void StatusSync::start() {
    scope_.spawn("status reconcile", tick());
}

Task<void> StatusSync::stop() {
    co_await scope_.stop();
}

void StatusSync::learn(Entry& entry, std::shared_ptr<const kube::Pod> pod) {
    if (!entry.known || !is_older(*pod, *entry.known)) {
        entry.known = std::move(pod);
    }
}

std::optional<std::string> StatusSync::patch_of(const Entry& entry) {
    if (!entry.wanted) {
        return std::nullopt;
    }
    kube::PodStatus status = merged(*entry.wanted, entry.known->status);
    if (entry.pod_resources == Entry::PodResources::dropped) {
        status.resources.reset();
        status.allocatedResources.clear();
    }
    return kube::pod_status_patch(*entry.known, status);
}

bool StatusSync::may_delete(const Entry& entry) {
    return entry.finish == Entry::Finish::wanted && is_terminal(*entry.known);
}

void StatusSync::publish(std::shared_ptr<const kube::Pod> pod, kube::PodStatus status) {
    PodUid uid(pod->metadata.uid);
    Entry& entry = entries_[uid];
    learn(entry, std::move(pod));
    if (entry.wanted && *entry.wanted == status) {
        // Only the server's copy changed. If somebody overwrote us, the next reconcile answers: at
        // once would make an endless quarrel with whoever insists.
        if (may_delete(entry)) {
            kick(uid, entry);
        }
        return;
    }
    // New content is worth a try even while an older one waits for its retry.
    entry.retry_at.reset();
    entry.wanted = std::move(status);
    kick(uid, entry);
}

void StatusSync::finish(std::shared_ptr<const kube::Pod> pod) {
    PodUid uid(pod->metadata.uid);
    Entry& entry = entries_[uid];
    learn(entry, std::move(pod));
    if (entry.finish == Entry::Finish::no) {
        entry.finish = Entry::Finish::wanted;
    }
    kick(uid, entry);
}

void StatusSync::forget(const PodUid& pod) {
    entries_.erase(pod);
}

void StatusSync::kick(const PodUid& uid, Entry& entry) {
    if (entry.sending == Entry::Sending::busy) {
        entry.changed = Entry::Changed::yes;
        return;
    }
    if (entry.sending == Entry::Sending::queued) {
        return;
    }
    if (entry.retry_at && *entry.retry_at > clock_.steady_now()) {
        return;
    }
    if (!patch_of(entry) && !may_delete(entry)) {
        return;
    }
    entry.sending = Entry::Sending::queued;
    scope_.spawn("status " + uid.str(), send(uid));
}

// One pod's requests, one after the other, as long as there is something to say.
Task<void> StatusSync::send(PodUid uid) {
    auto permit = co_await requests_.acquire();
    if (!permit) {
        co_return;
    }
    for (;;) {
        Next next = co_await send_once(uid);
        if (next == Next::rest) {
            break;
        }
    }
    auto found = entries_.find(uid);
    if (found != entries_.end()) {
        found->second.sending = Entry::Sending::idle;
    }
}

Task<StatusSync::Next> StatusSync::send_once(PodUid uid) {
    auto found = entries_.find(uid);
    if (found == entries_.end()) {
        co_return Next::rest;
    }
    Entry& entry = found->second;
    entry.sending = Entry::Sending::busy;
    entry.changed = Entry::Changed::no;
    PodName name{entry.known->metadata.namespace_, entry.known->metadata.name};
    // `entry` may be gone after each wait: the settling functions look it up again.
    if (auto patch = patch_of(entry)) {
        auto answer = co_await api_.patch_status(name, std::move(*patch));
        co_return settle_patch(uid, std::move(answer));
    }
    if (may_delete(entry)) {
        auto answer = co_await api_.delete_pod(name, uid);
        co_return settle_delete(uid, answer);
    }
    co_return Next::rest;
}

StatusSync::Next StatusSync::settle_patch(const PodUid& uid,
                                          Result<std::shared_ptr<const kube::Pod>> answer) {
    auto found = entries_.find(uid);
    if (found == entries_.end()) {
        return Next::rest;
    }
    Entry& entry = found->second;
    if (answer) {
        entry.failures = 0;
        entry.retry_at.reset();
        if (entry.wanted && has_pod_resources(*entry.wanted) &&
            !has_pod_resources((*answer)->status)) {
            entry.pod_resources = Entry::PodResources::dropped;
        }
        learn(entry, std::move(*answer));
        // A server that answers with something else than asked for (an admission plugin) is asked
        // again at the next reconcile, not at once.
        bool more = entry.changed == Entry::Changed::yes || may_delete(entry);
        return more ? Next::again : Next::rest;
    }
    if (is_gone(answer.error())) {
        // The watch will say so, too.
        entry.wanted.reset();
        entry.finish = Entry::Finish::done;
        return Next::rest;
    }
    retry_later(uid, entry, answer.error());
    return Next::rest;
}

StatusSync::Next StatusSync::settle_delete(const PodUid& uid, const Result<void>& answer) {
    auto found = entries_.find(uid);
    if (found == entries_.end()) {
        return Next::rest;
    }
    Entry& entry = found->second;
    if (answer || is_gone(answer.error())) {
        entry.finish = Entry::Finish::done;
        entry.failures = 0;
        return entry.changed == Entry::Changed::yes ? Next::again : Next::rest;
    }
    retry_later(uid, entry, answer.error());
    return Next::rest;
}

void StatusSync::retry_later(const PodUid& uid, Entry& entry, const Error& error) {
    if (error.code == Code::cancelled) {
        return;
    }
    Duration delay = kRetryFirst;
    for (std::uint32_t i = 0; i < entry.failures && delay < kRetryMax; ++i) {
        delay *= 2;
    }
    delay = std::min(delay, kRetryMax);
    ++entry.failures;
    auto extra =
        static_cast<std::int64_t>(random_.uniform() * 0.25 * static_cast<double>(delay.count()));
    entry.retry_at = clock_.steady_now() + delay + Duration(extra);
    log::warn("pod status not sent", log::kv("uid", uid), log::kv("failures", entry.failures),
              log::kv("error", error.message));
    wake_.set();
}

void StatusSync::reconcile() {
    for (auto& [uid, entry] : entries_) {
        kick(uid, entry);
    }
}

std::size_t StatusSync::pending() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        entries_, [](const auto& item) { return patch_of(item.second).has_value(); }));
}

Task<void> StatusSync::tick() {
    for (;;) {
        SteadyTime next = clock_.steady_now() + kReconcile;
        for (const auto& [uid, entry] : entries_) {
            if (entry.retry_at && entry.sending == Entry::Sending::idle) {
                next = std::min(next, *entry.retry_at + std::chrono::milliseconds(1));
            }
        }
        auto woken = co_await wake_.wait(next);
        wake_.reset();
        if (!woken && woken.error().code == Code::cancelled) {
            co_return;
        }
        if (!woken) {
            reconcile();
        }
    }
}

}  // namespace skiff::status
