// The API server of a simulation, and the agent's line to it: objects, deletion with grace, status
// patches and watch events that arrive late, out of step, or not at all while the line is down.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "pods/pods.h"
#include "world.h"

namespace skiff::sim {

class Api final : public pods::StatusSink {
public:
    explicit Api(World& world) : world_(world) {}

    struct Watcher {
        // Before the server takes it: the object, with its old status.
        std::function<void(const kube::Pod&, const kube::PodStatus&)> stores;
        // What the agent says, whether or not the server hears it.
        std::function<void(const kube::Pod&, const kube::PodStatus&)> publishes;
        // The object goes because the agent says that the pod has ended.
        std::function<void(const kube::Pod&)> finishes;
        // What the agent is told: it may act by it until it is told something newer.
        std::function<void(const kube::Pod&)> tells;
    };
    void set_watcher(Watcher watcher) { watcher_ = std::move(watcher); }

    // Users.
    void create(kube::Pod pod);
    // A change of the spec, which is another generation, or of labels, which is not.
    enum class Change { of_spec, of_labels };
    void edit(const std::string& uid, Change change, const std::function<void(kube::Pod&)>& edit);
    // A pod that has ended, or a grace of 0: it is gone at once. A later deletion only shortens.
    void remove(const std::string& uid, std::int64_t grace_s);
    [[nodiscard]] std::vector<std::string> uids() const;
    [[nodiscard]] const kube::Pod* find(const std::string& uid) const;
    [[nodiscard]] bool is_empty() const { return objects_.empty(); }

    // The line between server and agent.
    enum class Line { up, down };
    void set_line(Line line);
    [[nodiscard]] Line line() const { return line_; }
    // The agent that hears from now on; nullptr while none runs. What an agent said and the server
    // has not heard dies with it.
    void connect(pods::Pods* agent);

    // StatusSink.
    void publish(std::shared_ptr<const kube::Pod> pod, kube::PodStatus status) override;
    void finish(std::shared_ptr<const kube::Pod> pod) override;
    void forget(const PodUid& pod) override;

private:
    struct Object {
        kube::Pod pod;
        std::uint64_t version = 0;
    };
    void changed();
    void deliver();
    void send();
    void store(Object& object, const kube::PodStatus& status);
    void send_finishes();

    World& world_;
    Watcher watcher_;
    std::map<std::string, Object> objects_;
    std::uint64_t version_ = 0;
    Line line_ = Line::up;
    pods::Pods* agent_ = nullptr;
    std::uint32_t connection_ = 0;  // of the agent: what is under way to an earlier one gets lost
    enum class Listed { no, yes } listed_ = Listed::no;
    std::map<std::string, std::uint64_t> delivered_;  // to this agent
    std::map<std::string, kube::PodStatus> unsent_;
    std::set<std::string> unsent_finishes_;
};

}  // namespace skiff::sim
