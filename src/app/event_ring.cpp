#include "app/event_ring.h"

#include <fmt/format.h>

#include "base/log.h"

namespace skiff::app {

bool EventFilter::takes(const kube::Event& event) const {
    const kube::ObjectReference& about = event.involvedObject;
    return (ns.empty() || about.namespace_ == ns) &&
           (pod.empty() || (about.kind == "Pod" && about.name == pod));
}

// "spec.containers{main}" → "main".
static std::string container_of(const std::string& field_path) {
    std::size_t open = field_path.find('{');
    return open == std::string::npos || !field_path.ends_with('}')
               ? ""
               : field_path.substr(open + 1, field_path.size() - open - 2);
}

void log_event(const kube::Event& event) {
    const kube::ObjectReference& about = event.involvedObject;
    log::Level level = event.type == "Warning" ? log::Level::warn : log::Level::info;
    log::Field reason = log::kv("reason", event.reason);
    log::Field message = log::kv("message", event.message);
    if (about.kind != "Pod") {
        log::write(level, "event", {log::kv("node", about.name), reason, message});
        return;
    }
    log::Field pod = log::kv("pod", about.namespace_ + "/" + about.name);
    log::Field uid = log::kv("uid", about.uid);
    std::string container = container_of(about.fieldPath);
    if (container.empty()) {
        log::write(level, "event", {pod, uid, reason, message});
    } else {
        log::write(level, "event", {pod, uid, log::kv("container", container), reason, message});
    }
}

std::string EventRing::saying(const kube::Event& event) {
    // The message goes last: only it may have lines.
    return fmt::format("{}\n{}\n{}\n{}\n{}", event.involvedObject.uid,
                       event.involvedObject.fieldPath, event.type, event.reason, event.message);
}

std::int32_t EventRing::add(kube::Event event) {
    auto place = by_saying_.try_emplace(saying(event), entries_.end()).first;
    if (place->second != entries_.end()) {
        event.firstTimestamp = place->second->event.firstTimestamp;
        event.count += place->second->event.count;
        entries_.erase(place->second);
    }
    place->second = entries_.insert(entries_.end(), Entry{++place_, std::move(event)});
    if (entries_.size() > events_max_) {
        by_saying_.erase(saying(entries_.front().event));
        entries_.pop_front();
    }
    for (async::Event* waiter : waiters_) {
        waiter->set();
    }
    return entries_.back().event.count;
}

void record_event(EventRing& ring, kube::Event event) {
    kube::Event said = event;
    if (ring.add(std::move(event)) == 1) {
        log_event(said);
    }
}

std::vector<kube::Event> EventRing::after(std::uint64_t place, const EventFilter& filter) const {
    std::vector<kube::Event> found;
    for (const Entry& entry : entries_) {
        if (entry.place > place && filter.takes(entry.event)) {
            found.push_back(entry.event);
        }
    }
    return found;
}

async::Task<Result<void>> EventRing::wait_after(std::uint64_t place, SteadyTime deadline) {
    if (place_ > place) {
        co_return Result<void>{};
    }
    async::Event added;
    struct Waiting {
        std::list<async::Event*>& all;
        std::list<async::Event*>::iterator place;
        ~Waiting() { all.erase(place); }
    } waiting{waiters_, waiters_.insert(waiters_.end(), &added)};
    co_return co_await added.wait(deadline);
}

}  // namespace skiff::app
