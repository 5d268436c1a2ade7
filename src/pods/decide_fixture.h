// A pod under decision, for the tables of decide_*test.cpp.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "pods/decide.h"
#include "pods/fakes.h"

namespace skiff::pods {

using std::chrono::seconds;

inline constexpr WallTime kNow{std::chrono::seconds(1'800'000'000)};

// A pod under decision; tests change what they are about.
class Decide : public ::testing::Test {
protected:
    Decide() {
        memory.admission.verdict = Admission::Verdict::admitted;
        memory.sandbox.phase = Step::Phase::done;
        memory.volumes.phase = Step::Phase::done;
        node.host_ips = {"192.168.1.5"};
        pod_ips = {"10.0.0.7"};
    }

    ContainerRecord& ran(const std::string& name, std::uint32_t attempt = 0,
                         ContainerKind kind = ContainerKind::regular) {
        ContainerRecord record;
        record.id = ContainerId(fmt::format("{}-{}", name, attempt));
        record.pod = PodUid(pod.metadata.uid);
        record.name = name;
        record.kind = kind;
        record.attempt = attempt;
        for (const auto* list : {&pod.spec.containers, &pod.spec.initContainers}) {
            for (const kube::Container& container : *list) {
                if (container.name == name) {
                    record.spec_hash = spec_hash(container);
                }
            }
        }
        record.image = "registry.test/hello:1";
        record.image_id = "registry.test/hello@sha256:00";
        record.started = now - seconds(60);
        records.push_back(record);
        return records.back();
    }
    // A start that nobody has answered.
    ContainerRecord& starts(const std::string& name, std::uint32_t attempt = 0) {
        ContainerRecord& record = ran(name, attempt);
        record.phase = ContainerRecord::Phase::starting;
        record.started = WallTime{};
        return record;
    }
    void ended(const std::string& name, int code, std::uint32_t attempt = 0,
               Duration ago = seconds(1)) {
        ContainerRecord& record = ran(name, attempt);
        ContainerExit exit;
        exit.kind = ExitKind::exited;
        exit.exit_code = code;
        exit.reason = code == 0 ? "Completed" : "Error";
        exit.finished = now - ago;
        record.exit = exit;
    }
    // The machine was booted anew: of what ended only that is known which was kept on disk, of what
    // ran nothing.
    void reboot() {
        std::erase_if(records, [](const ContainerRecord& record) { return !record.exit; });
        for (ContainerRecord& record : records) {
            record.boot = ContainerRecord::Boot::earlier;
        }
        memory = PodMemory{};
        memory.admission.verdict = Admission::Verdict::admitted;
        memory.sandbox.phase = Step::Phase::done;
        memory.volumes.phase = Step::Phase::done;
        if (sandbox_was_lost(records, previous)) {
            memory.boot = PodMemory::Boot::anew;
        }
    }
    kube::Container& add_container(const std::string& name) {
        kube::Container container;
        container.name = name;
        container.image = "registry.test/" + name + ":1";
        pod.spec.containers.push_back(std::move(container));
        return pod.spec.containers.back();
    }
    kube::Container& add_init(const std::string& name) {
        kube::Container container;
        container.name = name;
        container.image = "registry.test/" + name + ":1";
        pod.spec.initContainers.push_back(std::move(container));
        return pod.spec.initContainers.back();
    }
    void delete_pod(std::int64_t grace) {
        pod.metadata.deletionTimestamp = kube::Time(now + seconds(grace));
        pod.metadata.deletionGracePeriodSeconds = grace;
    }
    Decision run() {
        const ProbeResults* results = probes ? &*probes : nullptr;
        Situation situation{pod, records, previous, memory, node, pod_ips, results, now};
        Decision decision = decide(situation);
        previous = decision.status;
        if (decision.termination) {
            memory.termination = decision.termination;
        }
        return decision;
    }
    static std::string describe(const Decision& decision) {
        std::string text;
        for (const Action& action : decision.actions) {
            constexpr std::array kNames = {
                "prepare",   "mount",  "start",      "stop",   "cancel",     "resize",  "remove",
                "tear_down", "finish", "remove_pod", "retire", "post_start", "pre_stop"};
            text += text.empty() ? "" : " ";
            text += kNames[static_cast<std::size_t>(action.kind)];
            text += action.container.empty() ? "" : ":" + action.container;
        }
        return text;
    }
    static const kube::PodCondition& condition(const Decision& decision, std::string_view type) {
        auto found = std::ranges::find(decision.status.conditions, type, &kube::PodCondition::type);
        EXPECT_NE(found, decision.status.conditions.end()) << type;
        return *found;
    }
    static const kube::ContainerStatus& of(const Decision& decision, std::string_view name) {
        const auto* found = find_status(decision.status.containerStatuses, name);
        if (found == nullptr) {
            found = find_status(decision.status.initContainerStatuses, name);
        }
        EXPECT_NE(found, nullptr) << name;
        return *found;
    }

    kube::Pod pod = fakes::make_pod("web");
    std::vector<ContainerRecord> records;
    kube::PodStatus previous = pod.status;
    PodMemory memory;
    NodeFacts node;
    std::vector<std::string> pod_ips;
    std::optional<ProbeResults> probes;
    WallTime now = kNow;
};

}  // namespace skiff::pods
