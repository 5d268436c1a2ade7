// The rules that hold at every moment of every simulation, kept apart from the code that they
// judge: what the checker knows it has from the world, and its few rules of Kubernetes are written
// anew.
//
//   I1  at most one live run of a container          I4  the API's status comes to equal the truth
//   I2  nothing lives without its pod                I5  nothing is stopped without a reason
//   I3  terminal phases stay, restart counts are     I6  an object goes after its last run
//       the real starts, start times do not change
// (facts: reliability.md §2), and of the contract: containers start in order, sidecars stop after
// the others and in reverse, no terminal pod runs again, a pod is Ready only while its containers
// run and their probes say so, what must not go on by its probes ends, what ends again and again
// waits, nobody has more time to end than was asked for him.
#pragma once

#include <map>
#include <set>
#include <string>

#include "api.h"
#include "guests.h"
#include "ports.h"
#include "prober.h"

namespace skiff::sim {

class Checker {
public:
    Checker(World& world, Guests& guests, Api& api, const Prober& prober, const Commands& commands);

    // At the end, when all was calm for long: what should run runs, and the API says what is.
    void check_settled();
    // After every pod was deleted and its grace is over: nothing is left anywhere.
    void check_empty(const Volumes& volumes, const Network& network);
    // Pods that were on the node, and for how long: what the simulation is worth.
    [[nodiscard]] double pod_hours() const;

private:
    // What was seen of a pod so far.
    struct Seen {
        kube::Pod pod;                         // with the spec as the API has it, or had it last
        std::set<std::string> edited;          // containers whose image was changed
        std::optional<kube::Time> start_time;  // as the server has it
        std::optional<kube::Time> told_start_time;  // as the agent said last, perhaps to nobody
        std::int64_t told_grace_s = 0;              // of its deletion, as the agent was told last
        std::string api_phase;
        std::map<std::string, std::int32_t> api_restarts;
        std::uint32_t rounds = 0;  // ended by containers, over all boots
        SteadyTime first{};
        SteadyTime last{};
    };

    void on_start(const Run& run);
    void on_stop(const Run& run, Duration grace);
    void on_end(const Run& run);
    void on_publish(const kube::Pod& pod, const kube::PodStatus& status);
    void on_store(const kube::Pod& pod, const kube::PodStatus& status);
    void on_finish(const kube::Pod& pod);

    Seen& seen(const kube::Pod& pod);
    void check_order(const Seen& seen, const Run& run);
    void check_before(const Run& run, const kube::Container& earlier);
    void check_back_off(const Run& run);
    void check_grace(const Seen& seen, const Run& run, Duration grace);
    void check_stop_order(const Seen& seen, const Run& run);
    void check_statuses(const kube::Pod& pod, const kube::PodStatus& status);
    void check_pod_settled(const kube::Pod& pod);
    [[nodiscard]] bool ended_before_a_lost_run(const kube::Pod& pod,
                                               const kube::Container& container) const;
    [[nodiscard]] bool is_past_deadline(const Seen& seen, const kube::Pod& pod) const;
    [[nodiscard]] bool may_stop(const Seen& seen, const Run& run) const;
    [[nodiscard]] bool work_is_over(const kube::Pod& pod) const;
    // Runs of the pod, or of one container of it; in the order of their starts.
    [[nodiscard]] std::vector<const Run*> runs_of(const std::string& uid) const;
    [[nodiscard]] std::vector<const Run*> runs_of(const std::string& uid,
                                                  const std::string& container) const;
    [[nodiscard]] const Run* active(const std::string& uid, const std::string& container) const;

    World& world_;
    Guests& guests_;
    Api& api_;
    const Prober& prober_;
    const Commands& commands_;
    std::map<std::string, Seen> pods_;
};

}  // namespace skiff::sim
