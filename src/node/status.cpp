#include "node/status.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "os/file.h"
#include "os/machine.h"

namespace skiff::node {

namespace {

std::string go_architecture(std::string_view machine) {
    static const std::map<std::string_view, std::string_view> kNames = {
        {"x86_64", "amd64"},    {"aarch64", "arm64"}, {"armv7l", "arm"},     {"i686", "386"},
        {"ppc64le", "ppc64le"}, {"s390x", "s390x"},   {"riscv64", "riscv64"}};
    auto found = kNames.find(machine);
    return std::string(found == kNames.end() ? machine : found->second);
}

std::int64_t read_number(const char* path) {
    auto text = os::read_kernel_file(path);
    auto number = text ? parse_int(trim(*text)) : std::nullopt;
    return number.value_or(0);
}

// The fourth field of /proc/loadavg: "running/all" tasks.
std::int64_t count_tasks() {
    auto text = os::read_kernel_file("/proc/loadavg");
    if (!text) {
        return 0;
    }
    auto fields = split(trim(*text), ' ');
    if (fields.size() < 4) {
        return 0;
    }
    auto slash = fields[3].find('/');
    return slash == std::string_view::npos ? 0 : parse_int(fields[3].substr(slash + 1)).value_or(0);
}

std::uint64_t threshold(const NodeSettings& settings, const std::string& signal,
                        std::uint64_t total) {
    auto found = settings.eviction_hard.find(signal);
    if (found == settings.eviction_hard.end()) {
        return 0;
    }
    return threshold_of(found->second, total).value_or(0);
}

const kube::NodeCondition* find_condition(const kube::NodeStatus& status, std::string_view type) {
    for (const auto& condition : status.conditions) {
        if (condition.type == type) {
            return &condition;
        }
    }
    return nullptr;
}

enum class Holds { no, yes };

void set_condition(kube::NodeStatus& status, const kube::NodeStatus& previous,
                   std::string_view type, Holds holds, std::string_view reason, std::string message,
                   WallTime now) {
    kube::NodeCondition condition;
    condition.type = type;
    condition.status = holds == Holds::yes ? "True" : "False";
    condition.reason = reason;
    condition.message = std::move(message);
    condition.lastHeartbeatTime = kube::Time(now);
    const kube::NodeCondition* old = find_condition(previous, type);
    bool same = old != nullptr && old->status == condition.status && old->lastTransitionTime;
    condition.lastTransitionTime = same ? old->lastTransitionTime : kube::Time(now);
    auto present = std::find_if(status.conditions.begin(), status.conditions.end(),
                                [&](const auto& each) { return each.type == type; });
    if (present != status.conditions.end()) {
        status.conditions.erase(present);
    }
    // In the order of the calls, after conditions that are not ours: Ready is last.
    status.conditions.push_back(std::move(condition));
}

struct PressureWords {
    std::string_view condition;
    std::string_view reason;
    std::string_view message;
    std::string_view reason_none;
    std::string_view message_none;
};
constexpr std::array kPressures = {
    PressureWords{"MemoryPressure", "KubeletHasInsufficientMemory",
                  "kubelet has insufficient memory available", "KubeletHasSufficientMemory",
                  "kubelet has sufficient memory available"},
    PressureWords{"DiskPressure", "KubeletHasDiskPressure", "kubelet has disk pressure",
                  "KubeletHasNoDiskPressure", "kubelet has no disk pressure"},
    PressureWords{"PIDPressure", "KubeletHasInsufficientPID",
                  "kubelet has insufficient PID available", "KubeletHasSufficientPID",
                  "kubelet has sufficient PID available"},
};

void set_pressures(kube::NodeStatus& status, const std::vector<std::string>& pressures,
                   const kube::NodeStatus& previous, WallTime now) {
    for (const PressureWords& words : kPressures) {
        bool holds = std::ranges::find(pressures, words.condition) != pressures.end();
        set_condition(status, previous, words.condition, holds ? Holds::yes : Holds::no,
                      holds ? words.reason : words.reason_none,
                      std::string(holds ? words.message : words.message_none), now);
    }
}

void set_resources(kube::NodeStatus& status, const NodeSettings& settings,
                   const MachineFacts& facts) {
    using kube::Quantity;
    status.capacity["cpu"] = Quantity::of_units(facts.cpus);
    status.capacity["memory"] = Quantity::of_bytes(facts.memory_total.value / 1024 * 1024);
    status.capacity["ephemeral-storage"] = Quantity::of_bytes(facts.disk_total.value / 1024 * 1024);
    status.capacity["pods"] = Quantity::of_units(settings.max_pods);
    status.capacity["hugepages-2Mi"] = Quantity();
    status.capacity["hugepages-1Gi"] = Quantity();
    status.allocatable = status.capacity;
    for (const auto& [name, amount] : settings.system_reserved) {
        status.allocatable[name] -= amount;
    }
    for (const auto& [name, amount] : settings.kube_reserved) {
        status.allocatable[name] -= amount;
    }
    status.allocatable["memory"] -= Quantity::of_bytes(
        threshold(settings, "memory.available", facts.memory_total.value) / 1024 * 1024);
    status.allocatable["ephemeral-storage"] -= Quantity::of_bytes(
        threshold(settings, "nodefs.available", facts.disk_total.value) / 1024 * 1024);
    for (auto at = status.allocatable.begin(); at != status.allocatable.end();) {
        if (!status.capacity.contains(at->first)) {
            at = status.allocatable.erase(at);  // a reservation of what the node does not have
            continue;
        }
        if (at->second.is_negative()) {
            at->second = Quantity();
        }
        ++at;
    }
}

// What pods may ask of the node that an older node would not do: the scheduler keeps pods that ask
// for anything else away (contract §8). Sorted, or the server refuses the status.
constexpr std::array<std::string_view, 2> kDeclaredFeatures = {
    "ExtendWebSocketsToKubelet", "RestartAllContainersOnContainerExits"};

void set_identity(kube::NodeStatus& status, const NodeSettings& settings, const MachineFacts& facts,
                  const StatusInputs& inputs) {
    status.addresses.clear();
    for (const std::string& ip : settings.ips) {
        status.addresses.push_back(kube::NodeAddress{"InternalIP", ip});
    }
    status.addresses.push_back(kube::NodeAddress{
        "Hostname", settings.hostname.empty() ? settings.name : settings.hostname});
    status.daemonEndpoints.kubeletEndpoint.Port = settings.port;
    kube::NodeSystemInfo& about = status.nodeInfo;
    about.machineID = facts.machine_id;
    about.systemUUID = facts.system_uuid;
    about.bootID = facts.boot_id;
    about.kernelVersion = facts.kernel_release;
    about.osImage = facts.os_image;
    about.containerRuntimeVersion = "skiff://" SKIFF_VERSION;
    about.kubeletVersion = inputs.kubelet_version;
    about.operatingSystem = "linux";
    about.architecture = facts.architecture;
    if (facts.swap_total.value > 0) {
        about.swap.emplace().capacity = static_cast<std::int64_t>(facts.swap_total.value);
    }
    status.declaredFeatures.assign(kDeclaredFeatures.begin(), kDeclaredFeatures.end());
    // Strict: no image can add groups, for none is looked into for them.
    status.features.emplace().supplementalGroupsPolicy = true;
    status.runtimeHandlers.clear();
    for (const std::string& handler : settings.runtime_handlers) {
        kube::NodeRuntimeHandler entry;
        entry.name = handler;
        kube::NodeRuntimeHandlerFeatures& features = entry.features.emplace();
        features.recursiveReadOnlyMounts = true;
        features.userNamespaces = true;
        status.runtimeHandlers.push_back(std::move(entry));
    }
}

static_assert(std::ranges::is_sorted(kDeclaredFeatures));

std::vector<kube::ContainerImage> largest(std::vector<kube::ContainerImage> images,
                                          std::int64_t images_max) {
    std::stable_sort(images.begin(), images.end(),
                     [](const auto& a, const auto& b) { return a.sizeBytes > b.sizeBytes; });
    if (images_max >= 0) {
        images.resize(std::min(images.size(), static_cast<std::size_t>(images_max)));
    }
    for (kube::ContainerImage& image : images) {
        image.names.resize(std::min(image.names.size(), kImageNamesMax));
    }
    return images;
}

struct Version {
    std::int64_t minor = 0;
    std::int64_t patch = 0;
    friend auto operator<=>(const Version&, const Version&) = default;
};

// "v1.34.2-rc.1+k3s1" → 34, 2.
std::optional<Version> parse_version(std::string_view text) {
    text = text.substr(0, text.find_first_of("-+"));
    auto parts = split(text, '.');
    if (parts.size() != 3 || parts[0] != "v1") {
        return std::nullopt;
    }
    auto minor = parse_int(parts[1]);
    auto patch = parse_int(parts[2]);
    if (!minor || !patch) {
        return std::nullopt;
    }
    return Version{*minor, *patch};
}

}  // namespace

Result<MachineFacts> observe_machine(const std::filesystem::path& root_dir) {
    SKIFF_TRY(auto memory, os::memory());
    SKIFF_TRY(auto disk, os::disk_usage(root_dir));
    auto image_disk = os::disk_usage(root_dir / "images").value_or(disk);
    os::Kernel kernel = os::kernel();
    MachineFacts facts;
    facts.cpus = os::cpu_count();
    facts.memory_total = memory.total;
    facts.memory_available = memory.available;
    facts.swap_total = memory.swap_total;
    facts.disk_total = disk.total;
    facts.disk_available = disk.available;
    facts.inodes_total = disk.inodes_total;
    facts.inodes_available = disk.inodes_available;
    facts.image_disk_total = image_disk.total;
    facts.image_disk_available = image_disk.available;
    facts.image_inodes_total = image_disk.inodes_total;
    facts.image_inodes_available = image_disk.inodes_available;
    facts.pids_max = read_number("/proc/sys/kernel/pid_max");
    facts.pids_used = count_tasks();
    facts.machine_id = os::machine_id();
    facts.system_uuid = os::system_uuid();
    facts.boot_id = os::boot_id();
    facts.kernel_release = kernel.release;
    facts.os_image = kernel.os_image;
    facts.architecture = go_architecture(kernel.machine);
    return facts;
}

std::string kubelet_version_for(std::string_view server_version) {
    auto server = parse_version(server_version);
    auto own = parse_version(kKubeletVersion);
    if (!server || *server >= *own) {
        return std::string(kKubeletVersion);
    }
    return fmt::format("v1.{}.{}", server->minor, server->patch);
}

std::map<std::string, std::string> node_labels(const NodeSettings& settings) {
    std::map<std::string, std::string> labels = settings.labels;
    labels.emplace("kubernetes.io/hostname",
                   settings.hostname.empty() ? settings.name : settings.hostname);
    labels.emplace("kubernetes.io/arch", "wasm32-wasi");
    labels.emplace("kubernetes.io/os", "wasi");
    labels.emplace("type", "krustlet");
    // The twins follow what the configuration makes of the plain ones.
    labels.emplace("beta.kubernetes.io/arch", labels.at("kubernetes.io/arch"));
    labels.emplace("beta.kubernetes.io/os", labels.at("kubernetes.io/os"));
    return labels;
}

kube::Node make_node(const NodeSettings& settings, kube::NodeStatus status) {
    kube::Node node;
    node.metadata.name = settings.name;
    node.metadata.labels = node_labels(settings);
    node.metadata.annotations["volumes.kubernetes.io/controller-managed-attach-detach"] = "true";
    node.spec.taints = settings.taints;
    node.spec.providerID = settings.provider_id;
    node.status = std::move(status);
    return node;
}

kube::NodeStatus make_status(const NodeSettings& settings, const MachineFacts& facts,
                             const StatusInputs& inputs, const kube::NodeStatus& previous,
                             WallTime now) {
    kube::NodeStatus status = previous;
    set_resources(status, settings, facts);
    set_identity(status, settings, facts, inputs);
    status.images = largest(inputs.images, settings.status_images_max);
    set_pressures(status, inputs.pressures, previous, now);
    std::string problems = missing_capacity(status.capacity);
    for (const std::string& problem : inputs.problems) {
        problems += (problems.empty() ? "" : ", ") + problem;
    }
    bool ready = problems.empty();
    set_condition(status, previous, "Ready", ready ? Holds::yes : Holds::no,
                  ready ? "KubeletReady" : "KubeletNotReady",
                  ready ? "kubelet is posting ready status" : problems, now);
    return status;
}

std::string missing_capacity(const kube::ResourceList& capacity) {
    std::string missing;
    for (const char* name : {"cpu", "ephemeral-storage", "memory", "pods"}) {
        auto found = capacity.find(name);
        if (found == capacity.end() || found->second == kube::Quantity()) {
            missing += missing.empty() ? "missing node capacity for resources: " : ", ";
            missing += name;
        }
    }
    return missing;
}

bool differs_beyond_heartbeat(const kube::NodeStatus& a, const kube::NodeStatus& b) {
    auto without = [](kube::NodeStatus status) {
        for (kube::NodeCondition& condition : status.conditions) {
            condition.lastHeartbeatTime.reset();
        }
        return status;
    };
    return without(a) != without(b);
}

std::optional<std::uint64_t> threshold_of(std::string_view text, std::uint64_t total) {
    if (text.ends_with('%')) {
        std::string number(text.substr(0, text.size() - 1));
        auto share = kube::Quantity::parse(number);
        if (!share || share->is_negative() || share->milli_value() > 100'000) {
            return std::nullopt;
        }
        long double part = static_cast<long double>(share->milli_value()) / 100'000.0L;
        return static_cast<std::uint64_t>(static_cast<long double>(total) * part);
    }
    auto quantity = kube::Quantity::parse(text);
    if (!quantity || quantity->is_negative()) {
        return std::nullopt;
    }
    return static_cast<std::uint64_t>(quantity->value());
}

}  // namespace skiff::node
