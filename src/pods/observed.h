// What is known of each container of a pod: the node's own records first, the API server's status
// where there is no record (after a reboot, or after records were lost). Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "kube/types.h"
#include "pods/ports.h"

namespace skiff::pods {

// How one run of a container ended.
struct Ended {
    std::int32_t exit_code = 0;
    std::string reason;
    std::string message;
    WallTime finished;
    // Whether the guest came to its end, or this node made it end.
    enum class By { guest, node } by = By::guest;
};

// One run of a container.
struct Instance {
    enum class Source {
        record,   // the node has it
        earlier,  // the node remembers it from before the machine was booted anew; it has ended
        status,   // only the API server remembers it; it has ended
    };
    Source source = Source::record;
    std::uint32_t attempt = 0;
    std::optional<std::uint32_t> round;  // rounds.h; nullopt when it comes from a status
    ContainerId id;
    std::string spec_hash;  // empty when it comes from a status
    std::string image;
    std::string image_id;
    std::optional<ContainerIds> ids;
    // What it runs with; nullopt where nobody knows.
    std::optional<kube::ResourceRequirements> resources;
    WallTime started;
    std::optional<Ended> ended;  // nullopt while it runs

    [[nodiscard]] bool runs() const { return !ended.has_value(); }
};

// The two newest runs of a container.
struct ContainerView {
    std::optional<Instance> latest;
    std::optional<Instance> before;
    // A start that nobody has answered: newer than `latest`, and perhaps it runs already.
    std::optional<ContainerId> starting;
    std::uint32_t starting_round = 0;
    // Ended records older than these: nobody asks for their logs any more.
    std::vector<ContainerId> outdated;
    // past: it was started before all containers of the pod were restarted (rounds.h). It has to
    // end, and in the present round the container has not run.
    enum class Round { present, past } round = Round::present;

    [[nodiscard]] bool runs() const { return latest && latest->runs(); }
    // The latest run of the present round: nullptr for none.
    [[nodiscard]] const Instance* ran() const {
        return latest && round == Round::present ? &*latest : nullptr;
    }
    // What has to end before the container may count as ended: nullptr for nothing.
    [[nodiscard]] const ContainerId* active() const {
        return starting ? &*starting : runs() ? &latest->id : nullptr;
    }
};

// Keyed by container name; every container of the spec has an entry, ephemeral ones too.
using PodView = std::map<std::string, ContainerView>;

// `records` as Runtime::containers() gives them. A container whose status says that it ran, and of
// which there is no record, ended with ContainerStatusUnknown 137 (contract §4.2) at `now`.
[[nodiscard]] PodView observe(const kube::Pod& pod, const std::vector<ContainerRecord>& records,
                              const kube::PodStatus& previous, WallTime now);

// Kept on disk from an earlier boot: it ended then, and nothing of it is there now.
[[nodiscard]] inline bool is_earlier(const ContainerRecord& record) {
    return record.boot == ContainerRecord::Boot::earlier;
}

// True when the pod ran before and the node has nothing of those runs any more but how they ended:
// the machine was booted anew, so init containers have to run again (some of them may have done so
// already).
[[nodiscard]] bool sandbox_was_lost(const std::vector<ContainerRecord>& records,
                                    const kube::PodStatus& previous);

// What a container must be restarted for when it changes (contract row 23): its name and image.
[[nodiscard]] std::string spec_hash(const kube::Container& container);

// The part after "skiff://" of a status' containerID, and the whole.
[[nodiscard]] ContainerId parse_container_id(std::string_view status_id);
[[nodiscard]] std::string format_container_id(const ContainerId& id);

// An init container that goes on running beside the others (restartPolicy: Always).
[[nodiscard]] bool is_sidecar(const kube::Container& init_container);
[[nodiscard]] const kube::ContainerStatus* find_status(
    const std::vector<kube::ContainerStatus>& statuses, std::string_view name);
// Of a container of whatever kind: names are unique in a pod.
[[nodiscard]] const kube::ContainerStatus* find_status(const kube::PodStatus& status,
                                                       std::string_view name);
// The same if the status speaks of this very run, else nullptr.
[[nodiscard]] const kube::ContainerStatus* find_status(const kube::PodStatus& status,
                                                       std::string_view name,
                                                       const ContainerId& run);
[[nodiscard]] bool is_terminal(std::string_view phase);
// A pod of a file: it runs without an API server and waits for nothing of it. Told as the kubelet
// tells it, by the annotation that the reader of files sets. Written into a pod of the API it only
// lets that pod be judged a moment before the first list is complete.
[[nodiscard]] bool is_static(const kube::Pod& pod);
// "name_namespace(uid)": how kubelet messages name a pod.
[[nodiscard]] std::string describe_pod(const kube::Pod& pod);

}  // namespace skiff::pods
