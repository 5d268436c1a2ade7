#include "status/mirror.h"

#include "base/log.h"
#include "kube/pod_fields.h"

namespace skiff::status {
namespace {

constexpr Duration kRetry = std::chrono::seconds(1);
constexpr Duration kRetryMax = std::chrono::seconds(30);

PodName name_of(const kube::Pod& pod) {
    return PodName{pod.metadata.namespace_, pod.metadata.name};
}

// Of a file, and not itself the picture of one.
bool is_of_file(const kube::Pod& pod) {
    return kube::is_from_file(pod) && !is_mirror(pod);
}

bool shows(const kube::Pod& mirror, const kube::Pod& pod) {
    return !mirror.metadata.deletionTimestamp &&
           kube::annotation(mirror, kMirrorAnnotation) == kube::annotation(pod, kube::kConfigHash);
}

}  // namespace

bool is_mirror(const kube::Pod& pod) {
    return pod.metadata.annotations.contains(std::string(kMirrorAnnotation));
}

kube::Pod mirror_of(const kube::Pod& pod, const std::string& node_name,
                    const std::string& node_uid) {
    kube::Pod mirror;
    mirror.metadata.name = pod.metadata.name;
    mirror.metadata.namespace_ = pod.metadata.namespace_;
    mirror.metadata.labels = pod.metadata.labels;
    mirror.metadata.annotations = pod.metadata.annotations;
    mirror.metadata.annotations[std::string(kMirrorAnnotation)] =
        kube::annotation(pod, kube::kConfigHash);
    kube::OwnerReference owner;
    owner.apiVersion = "v1";
    owner.kind = "Node";
    owner.name = node_name;
    owner.uid = node_uid;
    owner.controller = true;
    mirror.metadata.ownerReferences.push_back(std::move(owner));
    mirror.spec = pod.spec;
    return mirror;
}

MirrorPods::MirrorPods(async::Executor executor, MirrorApi& api, pods::StatusSink& below,
                       std::string node_name, NodeUid node_uid)
    : api_(api),
      below_(below),
      node_name_(std::move(node_name)),
      node_uid_(std::move(node_uid)),
      scope_(executor) {}

Task<void> MirrorPods::stop() {
    co_await scope_.stop();
}

void MirrorPods::seen(std::shared_ptr<const kube::Pod> mirror) {
    PodName name = name_of(*mirror);
    entries_[name].mirror = std::move(mirror);
    kick(name);
}

void MirrorPods::gone(const kube::Pod& mirror) {
    below_.forget(PodUid(mirror.metadata.uid));
    PodName name = name_of(mirror);
    auto found = entries_.find(name);
    if (found == entries_.end()) {
        return;
    }
    Entry& entry = found->second;
    if (entry.mirror && entry.mirror->metadata.uid == mirror.metadata.uid) {
        entry.mirror.reset();
    }
    kick(name);
}

void MirrorPods::sources_ready() {
    sources_ = Sources::ready;
    std::vector<PodName> names;
    for (const auto& [name, entry] : entries_) {
        names.push_back(name);
    }
    for (const PodName& name : names) {
        kick(name);
    }
}

void MirrorPods::publish(std::shared_ptr<const kube::Pod> pod, kube::PodStatus status) {
    if (!is_of_file(*pod)) {
        below_.publish(std::move(pod), std::move(status));
        return;
    }
    PodName name = name_of(*pod);
    Entry& entry = entries_[name];
    entry.pod = std::move(pod);
    entry.status = std::move(status);
    kick(name);
}

void MirrorPods::finish(std::shared_ptr<const kube::Pod> pod) {
    // A pod of a file ends with its file; its mirror is not what is waited for.
    if (!is_of_file(*pod)) {
        below_.finish(std::move(pod));
    }
}

void MirrorPods::forget(const PodUid& pod) {
    for (auto& [name, entry] : entries_) {
        if (entry.pod && entry.pod->metadata.uid == pod.str()) {
            entry.pod.reset();
            entry.status.reset();
            kick(PodName(name));
            return;
        }
    }
    below_.forget(pod);
}

MirrorPods::Need MirrorPods::need(const PodName& name) const {
    auto found = entries_.find(name);
    if (found == entries_.end() || sources_ == Sources::unknown) {
        return Need::nothing;
    }
    const Entry& entry = found->second;
    if (entry.mirror) {
        return entry.pod && shows(*entry.mirror, *entry.pod) ? Need::nothing : Need::remove;
    }
    return entry.pod && node_uid_() ? Need::create : Need::nothing;
}

void MirrorPods::kick(const PodName& name) {
    auto found = entries_.find(name);
    if (found == entries_.end()) {
        return;
    }
    Entry& entry = found->second;
    if (entry.pod && entry.mirror && entry.status && shows(*entry.mirror, *entry.pod)) {
        below_.publish(entry.mirror, *entry.status);
    }
    if (!entry.pod && !entry.mirror && entry.busy == Entry::Busy::no) {
        entries_.erase(found);
        return;
    }
    if (entry.busy == Entry::Busy::no && need(name) != Need::nothing) {
        entry.busy = Entry::Busy::yes;
        scope_.spawn("mirror " + name.name, work(name));
    }
}

Task<Result<void>> MirrorPods::request(PodName name, Need need) {
    const Entry& entry = entries_.at(name);
    if (need == Need::remove) {
        PodUid uid(entry.mirror->metadata.uid);
        co_return co_await api_.delete_pod(name, uid);
    }
    kube::Pod mirror = mirror_of(*entry.pod, node_name_, *node_uid_());
    co_return co_await api_.create_pod(std::move(mirror));
}

// One request, then its echo by the watch, or the same again a little later. What is there already,
// or gone already, the watch will say, too.
Task<void> MirrorPods::work(PodName name) {
    Duration pause = kRetry;
    for (;;) {
        Need next = need(name);
        if (next == Need::nothing) {
            break;
        }
        auto done = co_await request(name, next);
        if (!done && done.error().code == Code::cancelled) {
            co_return;
        }
        if (!done && done.error().code != Code::exists && done.error().code != Code::not_found) {
            log::warn("mirror pod", log::kv("pod", name.name),
                      log::kv("error", done.error().message));
        }
        auto slept = co_await async::sleep_for(pause);
        if (!slept) {
            co_return;
        }
        pause = std::min(pause * 2, kRetryMax);
    }
    auto found = entries_.find(name);
    if (found != entries_.end()) {
        found->second.busy = Entry::Busy::no;
        kick(name);
    }
}

}  // namespace skiff::status
