// Events about pods and the node, written to the API server: repeated ones are counted instead of
// repeated, floods are held back, and nobody who emits one ever waits (contract row 12).
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "async/event.h"
#include "async/task.h"
#include "kube/client_api.h"
#include "pods/ports.h"

namespace skiff::node {

inline constexpr std::size_t kEventQueueMax = 1000;
inline constexpr std::size_t kEventMemoryMax = 4096;
inline constexpr std::size_t kEventMessageBytesMax = 1024;
// For one object: this many at once, then one in five minutes.
inline constexpr double kEventBurst = 25;
inline constexpr Duration kEventRefill = std::chrono::minutes(5);
// So many messages under one reason within ten minutes become one combined event.
inline constexpr std::size_t kSimilarEventsMax = 10;
inline constexpr Duration kSimilarEventsWindow = std::chrono::minutes(10);

// What an event is about: the pod, or a container of it.
[[nodiscard]] kube::ObjectReference reference_to(const kube::Pod& pod, std::string_view container);

struct EventWords {
    pods::EventType type = pods::EventType::normal;
    std::string_view reason;
    std::string_view message;  // cut to kEventMessageBytesMax
};
// The object as it is sent, without a name.
[[nodiscard]] kube::Event make_event(kube::ObjectReference about, EventWords words,
                                     const std::string& node_name, WallTime now);

class EventRecorder final : public pods::EventSink {
public:
    // All outlive it.
    EventRecorder(kube::ApiClient& client, const Clock& clock, Random& random,
                  std::string node_name);

    void emit(const kube::Pod& pod, std::string_view container, pods::EventType type,
              std::string_view reason, std::string_view message) override;
    // About the node itself. `node_uid` is empty until the node is registered.
    void emit_node(const std::string& node_uid, pods::EventType type, std::string_view reason,
                   std::string_view message);

    // `seen` is told every event as it is emitted, those too that are never sent. Set it once.
    void set_observer(std::function<void(const kube::Event&)> seen) { seen_ = std::move(seen); }

    // Sends what is emitted, until cancelled. Spawn it once.
    [[nodiscard]] async::Task<void> run();

    // Events that were not sent: spam, a full queue, refused by the server.
    [[nodiscard]] std::uint64_t dropped() const { return dropped_; }
    [[nodiscard]] std::size_t waiting() const { return queue_.size(); }

private:
    struct Known {
        std::string name;  // of the Event object
        std::int32_t count = 0;
        SteadyTime last;
    };
    struct Similar {
        std::vector<std::string> messages;
        SteadyTime last;
    };
    struct Bucket {
        double tokens = kEventBurst;
        SteadyTime refilled;
    };

    void record(kube::ObjectReference about, EventWords words);
    [[nodiscard]] bool is_spam(const std::string& object);
    [[nodiscard]] bool is_flood_of_similar(const std::string& key, const std::string& message);
    void trim_memory();
    [[nodiscard]] async::Task<Result<void>> send(kube::Event event, std::string key);
    [[nodiscard]] async::Task<bool> send_with_retries(kube::Event event, std::string key);

    kube::ApiClient& client_;
    const Clock& clock_;
    Random& random_;
    std::string node_name_;
    std::function<void(const kube::Event&)> seen_;
    struct Waiting {
        kube::Event event;
        std::string key;  // what makes two events the same
    };
    std::deque<Waiting> queue_;
    async::Event wake_;
    std::map<std::string, Known> known_;
    std::map<std::string, Similar> similar_;
    std::map<std::string, Bucket> buckets_;
    std::uint64_t dropped_ = 0;
};

}  // namespace skiff::node
