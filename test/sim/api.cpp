#include "api.h"

#include "pods/observed.h"

namespace skiff::sim {
namespace {

// " main-1:3r": its restarts, and whether it waits, runs, or has ended.
std::string shown(const kube::PodStatus& status) {
    std::string text;
    for (const auto* list : {&status.initContainerStatuses, &status.containerStatuses}) {
        for (const kube::ContainerStatus& own : *list) {
            text += fmt::format(" {}:{}{}{}", own.name, own.restartCount,
                                own.state.running      ? "r"
                                : own.state.terminated ? "t"
                                                       : "w",
                                own.ready ? "+" : "");
        }
    }
    return text;
}

}  // namespace

using namespace std::chrono_literals;

void Api::create(kube::Pod pod) {
    std::string uid = pod.metadata.uid;
    pod.metadata.generation = 1;
    pod.metadata.creationTimestamp = kube::Time(world_.clock.wall_now());
    world_.journal.note("create {} {}, grace {} s, deadline {} s", pod.metadata.name,
                        pod.spec.restartPolicy, pod.spec.terminationGracePeriodSeconds.value_or(-1),
                        pod.spec.activeDeadlineSeconds.value_or(-1));
    objects_[uid] = Object{std::move(pod), ++version_};
    changed();
}

void Api::edit(const std::string& uid, Change change, const std::function<void(kube::Pod&)>& edit) {
    Object& object = objects_.at(uid);
    edit(object.pod);
    if (change == Change::of_spec) {
        ++object.pod.metadata.generation;
    }
    object.version = ++version_;
    changed();
}

void Api::remove(const std::string& uid, std::int64_t grace_s) {
    Object& object = objects_.at(uid);
    kube::ObjectMeta& meta = object.pod.metadata;
    world_.journal.note("delete {} within {} s", meta.name, grace_s);
    if (grace_s == 0 || pods::is_terminal(object.pod.status.phase)) {
        objects_.erase(uid);
        changed();
        return;
    }
    if (meta.deletionGracePeriodSeconds && *meta.deletionGracePeriodSeconds <= grace_s) {
        return;
    }
    meta.deletionGracePeriodSeconds = grace_s;
    meta.deletionTimestamp = kube::Time(world_.clock.wall_now() + std::chrono::seconds(grace_s));
    ++meta.generation;
    object.version = ++version_;
    changed();
}

std::vector<std::string> Api::uids() const {
    std::vector<std::string> uids;
    for (const auto& [uid, object] : objects_) {
        uids.push_back(uid);
    }
    return uids;
}

const kube::Pod* Api::find(const std::string& uid) const {
    auto found = objects_.find(uid);
    return found == objects_.end() ? nullptr : &found->second.pod;
}

void Api::set_line(Line line) {
    line_ = line;
    world_.journal.note("line {}", line == Line::up ? "up" : "down");
    if (line == Line::up) {
        changed();
        world_.later(world_.dice.duration(10ms, 1s), [this] { send(); });
    }
}

void Api::connect(pods::Pods* agent) {
    agent_ = agent;
    ++connection_;
    listed_ = Listed::no;
    delivered_.clear();
    unsent_.clear();
    unsent_finishes_.clear();
    if (agent != nullptr) {
        changed();
    }
}

// Watch events: each delivery brings everything that is new by then, as one relist would.
void Api::changed() {
    std::uint32_t connection = connection_;
    world_.later(world_.dice.duration(1ms, 2s), [this, connection] {
        if (connection == connection_) {
            deliver();
        }
    });
}

void Api::deliver() {
    if (agent_ == nullptr || line_ == Line::down) {
        return;
    }
    for (auto seen = delivered_.begin(); seen != delivered_.end();) {
        if (objects_.contains(seen->first)) {
            ++seen;
            continue;
        }
        world_.journal.note("tell gone {}", seen->first);
        agent_->remove(PodUid(seen->first));
        seen = delivered_.erase(seen);
    }
    for (const auto& [uid, object] : objects_) {
        std::uint64_t& seen = delivered_[uid];
        if (seen != object.version) {
            seen = object.version;
            watcher_.tells(object.pod);
            agent_->apply(std::make_shared<const kube::Pod>(object.pod));
        }
    }
    if (listed_ == Listed::no) {
        listed_ = Listed::yes;
        agent_->sources_ready();
    }
}

void Api::publish(std::shared_ptr<const kube::Pod> pod, kube::PodStatus status) {
    world_.journal.note("publish {} {}{}", pod->metadata.name, status.phase, shown(status));
    watcher_.publishes(*pod, status);
    unsent_[pod->metadata.uid] = std::move(status);
    std::uint32_t connection = connection_;
    world_.later(world_.dice.duration(1ms, 1s), [this, connection] {
        if (connection == connection_) {
            send();
        }
    });
}

void Api::store(Object& object, const kube::PodStatus& status) {
    watcher_.stores(object.pod, status);
    if (object.pod.status == status) {
        return;
    }
    object.pod.status = status;
    object.version = ++version_;
    changed();
}

void Api::send() {
    if (line_ == Line::down || agent_ == nullptr) {
        return;
    }
    for (const auto& [uid, status] : std::exchange(unsent_, {})) {
        auto found = objects_.find(uid);
        if (found != objects_.end()) {
            store(found->second, status);
        }
    }
    send_finishes();
}

void Api::send_finishes() {
    for (const std::string& uid : std::exchange(unsent_finishes_, {})) {
        auto found = objects_.find(uid);
        if (found == objects_.end()) {
            continue;
        }
        world_.journal.note("finished {}", found->second.pod.metadata.name);
        watcher_.finishes(found->second.pod);
        objects_.erase(found);
        changed();
    }
}

void Api::finish(std::shared_ptr<const kube::Pod> pod) {
    unsent_finishes_.insert(pod->metadata.uid);
    std::uint32_t connection = connection_;
    world_.later(world_.dice.duration(1ms, 1s), [this, connection] {
        if (connection == connection_) {
            send();
        }
    });
}

void Api::forget(const PodUid& pod) {
    unsent_.erase(pod.str());
    unsent_finishes_.erase(pod.str());
}

}  // namespace skiff::sim
