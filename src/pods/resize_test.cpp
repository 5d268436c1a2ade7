#include "pods/resize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pods/decide_fixture.h"
#include "pods/resources.h"
#include "pods/worker_fixture.h"

namespace skiff::pods {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

kube::Quantity milli(std::int64_t value) {
    return kube::Quantity::of_milli(value);
}
kube::Quantity mebi(std::uint64_t value) {
    return kube::Quantity::of_bytes(value << 20);
}

void ask(kube::Container& container, std::int64_t millis, std::uint64_t mebibytes) {
    container.resources.requests = {{"cpu", milli(millis)}, {"memory", mebi(mebibytes)}};
    container.resources.limits = container.resources.requests;
}

const kube::PodCondition* find(const kube::PodStatus& status, std::string_view type) {
    auto found = std::ranges::find(status.conditions, type, &kube::PodCondition::type);
    return found == status.conditions.end() ? nullptr : &*found;
}

// --- the decision --------------------------------------------------------------------------------

class Resize : public Decide {
protected:
    Resize() {
        ask(main(), 100, 64);
        ran("main").resources = run_resources(pod.spec, main());
        memory.share = sandbox_of(pod);
    }
    kube::Container& main() { return pod.spec.containers[0]; }
};

TEST_F(Resize, IsCarriedOutWhileAllGoesOn) {
    EXPECT_EQ(describe(run()), "");
    ask(main(), 200, 64);
    memory.resize_generation = 2;
    Decision decision = run();
    EXPECT_EQ(describe(decision), "resize");
    EXPECT_EQ(condition(decision, kResizeInProgress).status, "True");
    EXPECT_EQ(condition(decision, kResizeInProgress).observedGeneration, 2);
    EXPECT_EQ(of(decision, "main").allocatedResources.at("cpu").milli_value(), 200);
    EXPECT_EQ(of(decision, "main").resources->limits.at("cpu").milli_value(), 100);
    records[0].resources = run_resources(pod.spec, main());
    memory.share = sandbox_of(pod);
    decision = run();
    EXPECT_EQ(describe(decision), "");
    EXPECT_EQ(find(decision.status, kResizeInProgress), nullptr);
    EXPECT_EQ(of(decision, "main").resources->limits.at("cpu").milli_value(), 200);
}

TEST_F(Resize, RestartsTheContainerWhosePolicyWantsIt) {
    kube::ContainerResizePolicy policy;
    policy.resourceName = "memory";
    policy.restartPolicy = "RestartContainer";
    main().resizePolicy = {policy};
    ask(main(), 200, 64);
    EXPECT_EQ(describe(run()), "resize") << "cpu alone needs no restart";
    ask(main(), 200, 128);
    Decision decision = run();
    EXPECT_EQ(describe(decision), "resize stop:main");
    EXPECT_EQ(decision.actions[1].message, "Container main resize requires restart");
    EXPECT_EQ(decision.actions[1].after_stop, ContainerMemory::AfterStop::start_again);
}

TEST_F(Resize, StartsNothingInAShareThatIsTooSmall) {
    pod.spec.restartPolicy = "Always";
    records[0].exit = ContainerExit{};
    ask(main(), 200, 128);
    EXPECT_EQ(describe(run()), "resize");
    memory.resize.phase = Step::Phase::failed;
    memory.resize.failures = 1;
    memory.resize.message = "the kernel says no";
    memory.resize.retry_at = now + seconds(10);
    Decision decision = run();
    EXPECT_EQ(describe(decision), "start:main") << "what failed keeps nothing from running";
    EXPECT_EQ(condition(decision, kResizeInProgress).reason, "Error");
    EXPECT_EQ(condition(decision, kResizeInProgress).message, "the kernel says no");
}

TEST_F(Resize, EndsBeforeItsPodIsGivenBack) {
    records[0].exit = ContainerExit{};
    pod.metadata.deletionTimestamp = kube::Time(now + seconds(30));
    memory.resize.phase = Step::Phase::running;
    EXPECT_EQ(describe(run()), "");
    memory.resize.phase = Step::Phase::done;
    EXPECT_EQ(describe(run()), "tear_down");
}

TEST_F(Resize, OfAnOlderAgentsRunIsNotKnown) {
    records[0].resources.reset();
    ask(main(), 200, 64);
    memory.share = sandbox_of(pod);
    EXPECT_EQ(describe(run()), "");
}

TEST(ResizeMessage, NamesResourcesGenerationAndError) {
    kube::Pod pod = fakes::make_pod("web");
    ask(pod.spec.containers[0], 100, 64);
    EXPECT_EQ(resize_message("OutOfcpu", pod, 3, "no \"room\""),
              R"(Pod resize OutOfcpu: {"containers":[{"name":"main","resources":{"limits":)"
              R"({"cpu":"100m","memory":"64Mi"},"requests":{"cpu":"100m","memory":"64Mi"}}}],)"
              R"("generation":3,"error":"no \"room\""})");
}

TEST(Allocation, SurvivesAsText) {
    kube::Pod pod = fakes::make_pod("web");
    ask(pod.spec.containers[0], 100, 64);
    auto read = parse_allocation(format_allocation(pod.spec));
    ASSERT_TRUE(read);
    EXPECT_FALSE(differ_in_resources(pod.spec, *read));
    kube::Pod desired = pod;
    ask(desired.spec.containers[0], 200, 64);
    EXPECT_TRUE(differ_in_resources(desired.spec, *read));
    EXPECT_EQ(with_resources_of(desired, *read).spec, pod.spec);
    EXPECT_EQ(parse_allocation("{").error().code, Code::corrupt);
}

TEST(GoesBefore, OrdersWhoWaitsForRoom) {
    kube::Pod small = fakes::make_pod("a");
    ask(small.spec.containers[0], 100, 64);
    small.spec.containers[0].resources.limits.clear();
    kube::Pod large = small;
    ask(large.spec.containers[0], 200, 64);
    large.spec.containers[0].resources.limits.clear();
    kube::Pod dear = large;
    dear.spec.priority = 10;
    kube::Pod guaranteed = fakes::make_pod("g");
    ask(guaranteed.spec.containers[0], 200, 64);
    kube::Time early(kNow);
    kube::Time late(kNow + seconds(5));
    EXPECT_TRUE(goes_before({&small, &large, late}, {&dear, &small, early}));
    EXPECT_TRUE(goes_before({&dear, &small, late}, {&large, &small, early}));
    EXPECT_TRUE(goes_before({&guaranteed, &small, late}, {&large, &small, early}));
    EXPECT_TRUE(goes_before({&large, &small, early}, {&large, &small, late}));
}

// --- whole pods ----------------------------------------------------------------------------------

class ResizedPod : public PodWorker {
protected:
    ResizedPod() { ask(pod.spec.containers[0], 500, 64); }
    void resize(std::int64_t millis, std::uint64_t mebibytes) {
        ++pod.metadata.generation;
        ask(pod.spec.containers[0], millis, mebibytes);
        pod.status = published();
        apply(pod);
        settle();
    }
    std::vector<std::string> events_of(const std::string& reason) {
        std::vector<std::string> messages;
        for (const auto& event : node.events.seen) {
            if (event.reason == reason) {
                messages.push_back(event.message);
            }
        }
        return messages;
    }
    kube::Pod pod = make_pod("web");
};

TEST_F(ResizedPod, GetsItsLimitsLiveAndTellsOfIt) {
    run_pod(pod);
    resize(700, 128);
    ASSERT_EQ(node.guests.resized.size(), 1U);
    EXPECT_EQ(node.guests.resized[0].second.memory, 128_MiB);
    EXPECT_EQ(node.guests.resized[0].second.cpu_limit_millis, 700);
    EXPECT_EQ(node.guests.shares[PodUid("uid-1")].memory_limit, 128_MiB);
    EXPECT_EQ(node.guests.started.size(), 1U);
    EXPECT_THAT(events_of("ResizeStarted"), Contains(HasSubstr("\"generation\":2")));
    EXPECT_THAT(events_of("ResizeCompleted"), Contains(HasSubstr("\"cpu\":\"700m\"")));
    EXPECT_EQ(find(published(), kResizeInProgress), nullptr);
    EXPECT_EQ(published().containerStatuses[0].resources->limits.at("memory").value(), 128 << 20);
    EXPECT_EQ(published().resources->limits.at("memory").value(), 128 << 20);
}

TEST_F(ResizedPod, WaitsForRoomAndGetsItWhenAnotherEnds) {
    kube::Pod other = make_pod("other", "uid-2");
    ask(other.spec.containers[0], 1200, 64);
    apply(other);
    run_pod(pod);
    resize(1000, 64);
    const auto* pending = find(published(), kResizePending);
    ASSERT_NE(pending, nullptr);
    EXPECT_EQ(pending->reason, "Deferred");
    EXPECT_EQ(pending->message,
              "Node didn't have enough resource: cpu, requested: 1000, used: 1200, capacity: 2000");
    EXPECT_THAT(events_of("ResizeDeferred"), Contains(HasSubstr("Pod resize OutOfcpu: {")));
    EXPECT_EQ(published().containerStatuses[0].allocatedResources.at("cpu").milli_value(), 500);
    EXPECT_EQ(published().observedGeneration, 2);
    pods->remove(PodUid("uid-2"));
    settle();
    advance(seconds(3));
    EXPECT_EQ(find(published(), kResizePending), nullptr);
    EXPECT_EQ(published().containerStatuses[0].allocatedResources.at("cpu").milli_value(), 1000);
    EXPECT_EQ(node.guests.resized.size(), 1U);
}

TEST_F(ResizedPod, IsInfeasibleBeyondTheNode) {
    run_pod(pod);
    resize(5000, 64);
    ASSERT_NE(find(published(), kResizePending), nullptr);
    EXPECT_EQ(find(published(), kResizePending)->reason, "Infeasible");
    EXPECT_THAT(events_of("ResizeInfeasible"), Contains(HasSubstr("enough capacity: cpu")));
    resize(500, 64);
    EXPECT_EQ(find(published(), kResizePending), nullptr) << "taken back";
    EXPECT_THAT(node.guests.resized, IsEmpty());
}

TEST_F(ResizedPod, KeepsItsMemoryLimitAboveWhatIsInUse) {
    run_pod(pod);
    ContainerUsage usage;
    usage.memory_working_set = 50_MiB;
    node.guests.usages[node.guests.running("main")] = usage;
    resize(500, 32);
    const auto* progress = find(published(), kResizeInProgress);
    ASSERT_NE(progress, nullptr);
    EXPECT_EQ(progress->reason, "Error");
    EXPECT_THAT(progress->message, AllOf(HasSubstr("cannot decrease memory limits"),
                                         HasSubstr("below current usage")));
    EXPECT_THAT(events_of("ResizeError"), Contains(HasSubstr("\"error\":")));
    EXPECT_THAT(node.guests.resized, IsEmpty());
    node.guests.usages.clear();
    advance(seconds(20));
    EXPECT_EQ(find(published(), kResizeInProgress), nullptr);
    EXPECT_EQ(node.guests.resized.size(), 1U);
}

TEST_F(ResizedPod, AllocationSurvivesTheAgent) {
    kube::Pod other = make_pod("other", "uid-2");
    ask(other.spec.containers[0], 1200, 64);
    apply(other);
    run_pod(pod);
    resize(1000, 64);
    pod.status = published();
    other.status = published("uid-2");
    restart_agent();
    apply(other);
    run_pod(pod);
    EXPECT_EQ(find(published(), kResizePending)->reason, "Deferred");
    EXPECT_EQ(published().containerStatuses[0].allocatedResources.at("cpu").milli_value(), 500);
    EXPECT_EQ(events_of("ResizeDeferred").size(), 1U) << "told once";
}

// --- critical pods -------------------------------------------------------------------------------

TEST_F(ResizedPod, ACriticalPodTakesTheRoomOfAnother) {
    ask(pod.spec.containers[0], 1500, 64);
    run_pod(pod);
    kube::Pod critical = make_pod("critical", "uid-2");
    critical.spec.priority = 2'000'000'000;
    ask(critical.spec.containers[0], 1000, 64);
    apply(critical);
    settle();
    EXPECT_EQ(published().phase, "Failed");
    EXPECT_EQ(published().reason, "Preempting");
    EXPECT_EQ(published().message, "Preempted in order to admit critical pod");
    const auto* told = find(published(), "DisruptionTarget");
    ASSERT_NE(told, nullptr);
    EXPECT_EQ(told->reason, "TerminationByKubelet");
    EXPECT_THAT(events_of("Preempting"), Contains("Preempted in order to admit critical pod"));
    advance(seconds(3));
    EXPECT_EQ(published("uid-2").phase, "Running");
}

TEST_F(ResizedPod, ACriticalPodThatNothingHelpsIsRejected) {
    run_pod(pod);
    kube::Pod critical = make_pod("critical", "uid-2");
    critical.spec.priority = 2'000'000'000;
    ask(critical.spec.containers[0], 3000, 64);
    apply(critical);
    settle();
    EXPECT_EQ(published("uid-2").reason, "UnexpectedAdmissionError");
    EXPECT_THAT(published("uid-2").message, HasSubstr("no set of running pods found"));
    EXPECT_EQ(published().phase, "Running");
}

TEST_F(ResizedPod, AnEvictionIsFinishedByTheNextAgent) {
    node.guests.obedience = fakes::Guests::Obedience::never;
    run_pod(pod);
    Eviction eviction;
    eviction.reason = "Evicted";
    eviction.message = "The node was low on resource: memory. ";
    eviction.condition_message = eviction.message;
    pods->evict(PodUid("uid-1"), eviction);
    settle();
    EXPECT_EQ(published().phase, "Running") << "not before its end";
    EXPECT_EQ(published().reason, "Evicted");
    pod.status = published();
    restart_agent();
    node.guests.obedience = fakes::Guests::Obedience::at_once;
    run_pod(pod);
    EXPECT_EQ(published().phase, "Failed");
    EXPECT_EQ(published().reason, "Evicted");
    EXPECT_NE(find(published(), "DisruptionTarget"), nullptr);
}

}  // namespace
}  // namespace skiff::pods
