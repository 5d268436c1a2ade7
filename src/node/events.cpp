#include "node/events.h"

#include "base/log.h"
#include "base/text.h"
#include "kube/patch.h"

namespace skiff::node {

namespace {

constexpr int kSendTries = 12;
constexpr Duration kSendRetry = std::chrono::seconds(10);

std::string field_path(const kube::Pod& pod, std::string_view container) {
    if (container.empty()) {
        return {};
    }
    auto among = [&](const auto& containers) {
        return std::any_of(containers.begin(), containers.end(),
                           [&](const kube::Container& each) { return each.name == container; });
    };
    std::string_view list = among(pod.spec.initContainers)        ? "initContainers"
                            : among(pod.spec.ephemeralContainers) ? "ephemeralContainers"
                                                                  : "containers";
    return fmt::format("spec.{}{{{}}}", list, container);
}

template <typename Map>
void drop_oldest(Map& map, SteadyTime Map::mapped_type::* when) {
    auto oldest = map.begin();
    for (auto at = map.begin(); at != map.end(); ++at) {
        if (at->second.*when < oldest->second.*when) {
            oldest = at;
        }
    }
    map.erase(oldest);
}

}  // namespace

kube::ObjectReference reference_to(const kube::Pod& pod, std::string_view container) {
    kube::ObjectReference about;
    about.kind = "Pod";
    about.apiVersion = "v1";
    about.namespace_ = pod.metadata.namespace_;
    about.name = pod.metadata.name;
    about.uid = pod.metadata.uid;
    about.resourceVersion = pod.metadata.resourceVersion;
    about.fieldPath = field_path(pod, container);
    return about;
}

kube::Event make_event(kube::ObjectReference about, EventWords words, const std::string& node_name,
                       WallTime now) {
    kube::Event event;
    event.type = words.type == pods::EventType::normal ? "Normal" : "Warning";
    event.reason = words.reason;
    event.message = bounded_utf8(words.message, kEventMessageBytesMax);
    event.metadata.namespace_ = about.namespace_.empty() ? "default" : about.namespace_;
    event.involvedObject = std::move(about);
    event.source.component = "kubelet";
    event.source.host = node_name;
    event.reportingComponent = "kubelet";
    event.reportingInstance = node_name;
    event.firstTimestamp = kube::Time(now);
    event.lastTimestamp = kube::Time(now);
    event.count = 1;
    return event;
}

EventRecorder::EventRecorder(kube::ApiClient& client, const Clock& clock, Random& random,
                             std::string node_name)
    : client_(client), clock_(clock), random_(random), node_name_(std::move(node_name)) {}

void EventRecorder::emit(const kube::Pod& pod, std::string_view container, pods::EventType type,
                         std::string_view reason, std::string_view message) {
    record(reference_to(pod, container), {type, reason, message});
}

void EventRecorder::emit_node(const std::string& node_uid, pods::EventType type,
                              std::string_view reason, std::string_view message) {
    kube::ObjectReference about;
    about.kind = "Node";
    about.apiVersion = "v1";
    about.name = node_name_;
    about.uid = node_uid.empty() ? node_name_ : node_uid;
    record(std::move(about), {type, reason, message});
}

bool EventRecorder::is_spam(const std::string& object) {
    auto now = clock_.steady_now();
    auto [at, fresh] = buckets_.try_emplace(object);
    Bucket& bucket = at->second;
    if (fresh) {
        bucket.refilled = now;
    }
    std::chrono::duration<double> passed = now - bucket.refilled;
    std::chrono::duration<double> refill = kEventRefill;
    bucket.tokens = std::min(kEventBurst, bucket.tokens + passed / refill);
    bucket.refilled = now;
    if (bucket.tokens < 1) {
        return true;
    }
    bucket.tokens -= 1;
    return false;
}

bool EventRecorder::is_flood_of_similar(const std::string& key, const std::string& message) {
    auto now = clock_.steady_now();
    Similar& similar = similar_[key];
    if (now - similar.last > kSimilarEventsWindow) {
        similar.messages.clear();
    }
    similar.last = now;
    auto& messages = similar.messages;
    bool seen = std::find(messages.begin(), messages.end(), message) != messages.end();
    if (!seen && messages.size() < kSimilarEventsMax) {
        messages.push_back(message);
        seen = true;
    }
    return !seen;
}

void EventRecorder::trim_memory() {
    if (known_.size() > kEventMemoryMax) {
        drop_oldest(known_, &Known::last);
    }
    if (similar_.size() > kEventMemoryMax) {
        drop_oldest(similar_, &Similar::last);
    }
    if (buckets_.size() > kEventMemoryMax) {
        drop_oldest(buckets_, &Bucket::refilled);
    }
}

void EventRecorder::record(kube::ObjectReference about, EventWords words) {
    trim_memory();
    kube::Event event = make_event(std::move(about), words, node_name_, clock_.wall_now());
    if (seen_) {
        seen_(event);
    }
    std::string object = fmt::format("{}/{}", event.involvedObject.kind, event.involvedObject.uid);
    if (queue_.size() >= kEventQueueMax || is_spam(object)) {
        ++dropped_;
        return;
    }
    std::string key = fmt::format("{}|{}|{}|{}", object, event.involvedObject.fieldPath, event.type,
                                  event.reason);
    if (is_flood_of_similar(key, event.message)) {
        event.message =
            bounded_utf8("(combined from similar events): " + event.message, kEventMessageBytesMax);
        key += "|combined";
    } else {
        key += "|" + event.message;
    }
    event.metadata.name = fmt::format("{}.{}", event.involvedObject.name, random_.hex(8));
    queue_.push_back(Waiting{std::move(event), std::move(key)});
    wake_.set();
}

async::Task<Result<void>> EventRecorder::send(kube::Event event, std::string key) {
    auto found = known_.find(key);
    if (found != known_.end()) {
        std::int32_t count = found->second.count + 1;
        std::string patch =
            fmt::format(R"({{"count":{},"lastTimestamp":"{}","message":{}}})", count,
                        format_rfc3339(event.lastTimestamp->at), kube::quote_json(event.message));
        auto patched = co_await client_.patch<kube::Event>(
            event.metadata.namespace_, found->second.name, "", patch, kube::kStrategicMergePatch);
        if (patched) {
            known_[key] = Known{patched->metadata.name, count, clock_.steady_now()};
            co_return Result<void>();
        }
        if (patched.error().code != Code::not_found) {
            co_return fail(std::move(patched.error()));
        }
        known_.erase(key);  // the server has forgotten it: events live for an hour
    }
    auto created = co_await client_.create(event);
    if (!created) {
        co_return fail(std::move(created.error()));
    }
    known_[key] = Known{created->metadata.name, created->count, clock_.steady_now()};
    co_return Result<void>();
}

// False once cancelled.
async::Task<bool> EventRecorder::send_with_retries(kube::Event event, std::string key) {
    for (int attempt = 0; attempt < kSendTries; ++attempt) {
        auto sent = co_await send(event, key);
        if (sent) {
            co_return true;
        }
        switch (sent.error().code) {
            case Code::cancelled:
                co_return false;
            case Code::unavailable:
            case Code::timeout:
            case Code::unauthenticated:
                break;
            default:
                // Refused, for instance because the namespace is being deleted.
                log::debug("event refused", log::kv("reason", event.reason),
                           log::kv("error", format_as(sent.error())));
                ++dropped_;
                co_return true;
        }
        auto paused = co_await async::sleep_for(kSendRetry);
        if (!paused) {
            co_return false;
        }
    }
    ++dropped_;
    co_return true;
}

async::Task<void> EventRecorder::run() {
    while (true) {
        auto woken = co_await wake_.wait();
        if (!woken) {
            co_return;
        }
        if (queue_.empty()) {
            wake_.reset();
            continue;
        }
        Waiting next = std::move(queue_.front());
        queue_.pop_front();
        bool go_on = co_await send_with_retries(std::move(next.event), std::move(next.key));
        if (!go_on) {
            co_return;
        }
    }
}

}  // namespace skiff::node
