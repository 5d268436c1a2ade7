// Statuses on their way to an API server that is slow, fails, refuses, or is written to by others.
#include "status/sync.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <deque>

#include "kube/codec.h"

namespace skiff::status {
namespace {

namespace json = boost::json;
using std::chrono::seconds;

// A server with one namespace: applies strategic merge patches to its pods.
class FakeApi final : public PodApi {
public:
    Task<Result<std::shared_ptr<const kube::Pod>>> patch_status(PodName pod,
                                                                std::string patch) override {
        ++patches;
        in_flight_max = std::max(in_flight_max, ++in_flight);
        auto open = co_await gate.wait();
        --in_flight;
        if (!open) {
            co_return fail(std::move(open.error()));
        }
        sent.push_back(patch);
        if (!failures.empty()) {
            Error error = failures.front();
            failures.pop_front();
            co_return fail(std::move(error));
        }
        auto found = pods.find(pod.name);
        if (found == pods.end()) {
            co_return fail(Code::not_found, "pods \"{}\" not found", pod.name);
        }
        apply(found->second, patch);
        co_return std::make_shared<const kube::Pod>(found->second);
    }
    Task<Result<void>> delete_pod(PodName pod, PodUid uid) override {
        auto found = pods.find(pod.name);
        if (found == pods.end()) {
            co_return fail(Code::not_found, "pods \"{}\" not found", pod.name);
        }
        if (found->second.metadata.uid != uid.str()) {
            co_return fail(Code::conflict, "the UID in the precondition does not match");
        }
        phase_at_delete.push_back(found->second.status.phase);
        pods.erase(found);
        co_return Result<void>();
    }

    // What the server does with a strategic merge patch of a status.
    void apply(kube::Pod& pod, const std::string& patch) {
        json::object object = json::parse(kube::to_json(pod)).as_object();
        json::object change = json::parse(patch).as_object();
        EXPECT_EQ(change.at("metadata").at("uid").as_string(), pod.metadata.uid);
        json::object& status = object["status"].is_object() ? object["status"].as_object()
                                                            : object["status"].emplace_object();
        for (const auto& [key, value] : change.at("status").as_object()) {
            if (key.starts_with("$")) {
                continue;
            }
            if (key == "conditions" && status.contains(key)) {
                merge_conditions(status[key].as_array(), value.as_array());
            } else if (value.is_null()) {
                status.erase(key);
            } else {
                status[key] = value;
            }
        }
        pod = *kube::from_json<kube::Pod>(json::serialize(object));
        if (age == Age::before_1_35) {
            pod.status.resources.reset();
            pod.status.allocatedResources.clear();
        }
        touch(pod);
    }
    static void merge_conditions(json::array& have, const json::array& changes) {
        for (const json::value& change : changes) {
            bool merged = false;
            for (json::value& old : have) {
                if (old.at("type") == change.at("type")) {
                    for (const auto& [key, value] : change.as_object()) {
                        value.is_null() ? (void)old.as_object().erase(key)
                                        : (void)(old.as_object()[key] = value);
                    }
                    merged = true;
                }
            }
            if (!merged) {
                have.push_back(change);
            }
        }
    }
    void touch(kube::Pod& pod) { pod.metadata.resourceVersion = std::to_string(++version_); }

    FakeApi() { gate.set(); }
    std::map<std::string, kube::Pod> pods;
    std::deque<Error> failures;
    async::Event gate;
    enum class Age { present, before_1_35 } age = Age::present;
    int patches = 0;
    int in_flight = 0;
    int in_flight_max = 0;
    std::vector<std::string> sent;
    std::vector<std::string> phase_at_delete;

private:
    std::uint64_t version_ = 100;
};

class Sync : public ::testing::Test {
protected:
    Sync() : clock(WallTime(seconds(1'800'000'000))), random(3) {
        sync.emplace(reactor.executor(), clock, random, api);
    }
    ~Sync() override {
        api.gate.set();
        async::run_to_end(reactor, sync->stop());
    }
    void settle() {
        auto turns = []() -> Task<void> {
            for (int i = 0; i < 200; ++i) {
                co_await async::yield_now();
            }
        };
        async::run_to_end(reactor, turns());
    }
    std::shared_ptr<const kube::Pod> create(const std::string& name) {
        kube::Pod pod;
        pod.metadata.name = name;
        pod.metadata.namespace_ = "default";
        pod.metadata.uid = "uid-" + name;
        pod.status.phase = "Pending";
        api.touch(pod);
        api.pods[name] = pod;
        return std::make_shared<const kube::Pod>(pod);
    }
    std::shared_ptr<const kube::Pod> watched(const std::string& name) {
        return std::make_shared<const kube::Pod>(api.pods.at(name));
    }
    static kube::PodStatus status(const std::string& phase) {
        kube::PodStatus status;
        status.phase = phase;
        status.qosClass = "BestEffort";
        kube::PodCondition ready;
        ready.type = "Ready";
        ready.status = phase == "Running" ? "True" : "False";
        status.conditions.push_back(ready);
        return status;
    }
    const kube::PodStatus& at_server(const std::string& name) { return api.pods.at(name).status; }

    async::Reactor reactor;
    ManualClock clock;
    SeededRandom random;
    FakeApi api;
    std::optional<StatusSync> sync;
};

TEST_F(Sync, SendsOnePatchAndNothingWhenNothingChanged) {
    auto pod = create("web");
    sync->publish(pod, status("Running"));
    settle();
    EXPECT_EQ(at_server("web").phase, "Running");
    EXPECT_EQ(api.patches, 1);
    sync->publish(watched("web"), status("Running"));
    sync->reconcile();
    settle();
    EXPECT_EQ(api.patches, 1);
    EXPECT_EQ(sync->pending(), 0U);
}

TEST_F(Sync, LeavesAnOldServerWithoutWhatItDoesNotKeep) {
    api.age = FakeApi::Age::before_1_35;
    kube::PodStatus wanted = status("Running");
    wanted.allocatedResources["cpu"] = kube::Quantity::of_milli(100);
    wanted.resources.emplace().requests = wanted.allocatedResources;
    sync->publish(create("web"), wanted);
    settle();
    EXPECT_EQ(at_server("web").phase, "Running");
    sync->reconcile();
    settle();
    EXPECT_EQ(api.patches, 1);
    EXPECT_EQ(sync->pending(), 0U);
}

TEST_F(Sync, ItsOwnWordsOnADisruptionCount) {
    auto pod = create("web");
    kube::PodStatus wanted = status("Running");
    kube::PodCondition told;
    told.type = "DisruptionTarget";
    told.status = "True";
    told.reason = "TerminationByKubelet";
    wanted.conditions.push_back(told);
    sync->publish(pod, wanted);
    settle();
    ASSERT_EQ(at_server("web").conditions.size(), 2U);
    EXPECT_EQ(at_server("web").conditions[1].reason, "TerminationByKubelet");
    EXPECT_EQ(sync->pending(), 0U);
}

TEST_F(Sync, TheLatestOfManyWins) {
    auto pod = create("web");
    api.gate.reset();
    for (const char* phase : {"Pending", "Running", "Pending", "Running", "Failed"}) {
        sync->publish(pod, status(phase));
        settle();
    }
    api.gate.set();
    settle();
    EXPECT_EQ(at_server("web").phase, "Failed");
    EXPECT_LE(api.patches, 2);
}

TEST_F(Sync, KeepsConditionsOfOthers) {
    auto pod = create("web");
    kube::PodCondition gate;
    gate.type = "example.com/gate";
    gate.status = "True";
    api.pods["web"].status.conditions.push_back(gate);
    api.touch(api.pods["web"]);
    kube::PodStatus wanted = status("Running");
    gate.status = "False";  // as an older copy of the object said
    wanted.conditions.push_back(gate);
    sync->publish(watched("web"), wanted);
    settle();
    ASSERT_EQ(at_server("web").conditions.size(), 2U);
    for (const kube::PodCondition& condition : at_server("web").conditions) {
        EXPECT_EQ(condition.status, "True") << condition.type;
    }
}

TEST_F(Sync, WritesBackWhatSomebodyElseOverwrote) {
    sync->publish(create("web"), status("Running"));
    settle();
    api.pods["web"].status.phase = "Failed";
    api.touch(api.pods["web"]);
    sync->publish(watched("web"), status("Running"));
    settle();
    EXPECT_EQ(api.patches, 1);  // not at once
    sync->reconcile();
    settle();
    EXPECT_EQ(at_server("web").phase, "Running");
    EXPECT_EQ(api.patches, 2);
}

TEST_F(Sync, AnOldCopyOfTheObjectChangesNothing) {
    auto old = create("web");
    sync->publish(old, status("Running"));
    settle();
    sync->publish(old, status("Running"));  // the watch is late
    sync->reconcile();
    settle();
    EXPECT_EQ(api.patches, 1);
}

TEST_F(Sync, TriesAgainWithBackOff) {
    for (int i = 0; i < 3; ++i) {
        Error error;
        error.code = Code::unavailable;
        error.message = "etcd is away";
        api.failures.push_back(error);
    }
    sync->publish(create("web"), status("Running"));
    settle();
    EXPECT_EQ(api.patches, 1);
    sync->reconcile();
    settle();
    EXPECT_EQ(api.patches, 1);  // not before its time
    for (int i = 0; i < 4; ++i) {
        clock.advance(seconds(10));
        sync->reconcile();
        settle();
    }
    EXPECT_EQ(at_server("web").phase, "Running");
    EXPECT_EQ(api.patches, 4);
}

TEST_F(Sync, ANewStatusDoesNotWaitForAnOldRetry) {
    Error error;
    error.code = Code::unavailable;
    api.failures.push_back(error);
    auto pod = create("web");
    sync->publish(pod, status("Pending"));
    settle();
    sync->publish(pod, status("Running"));
    settle();
    EXPECT_EQ(at_server("web").phase, "Running");
}

TEST_F(Sync, StopsWhenTheNameBelongsToAnotherPod) {
    Error conflict;
    conflict.code = Code::conflict;
    conflict.message =
        "Operation cannot be fulfilled on pods \"web\": StorageError: invalid object, Code: 4, "
        "AdditionalErrorMsg: Precondition failed: UID in precondition: a, UID in object meta: b";
    Error invalid;
    invalid.code = Code::invalid;
    invalid.message =
        "Pod \"web\" is invalid: metadata.uid: Invalid value: \"a\": field is immutable";
    int patches = 0;
    for (const Error& error : {conflict, invalid}) {
        api.failures.push_back(error);
        sync->publish(create(fmt::format("web-{}", patches)), status("Running"));
        settle();
        clock.advance(seconds(60));
        sync->reconcile();
        settle();
        EXPECT_EQ(api.patches, ++patches) << error.message;
    }
}

TEST_F(Sync, TriesAgainAfterAConflictThatPasses) {
    Error error;
    error.code = Code::conflict;
    error.message = "the object has been modified; please apply your changes to the latest version";
    api.failures.push_back(error);
    auto pod = create("web");
    sync->publish(pod, status("Succeeded"));
    sync->finish(pod);
    settle();
    EXPECT_EQ(api.patches, 1);
    clock.advance(seconds(60));
    sync->reconcile();
    settle();
    EXPECT_EQ(api.patches, 2);
    EXPECT_EQ(api.phase_at_delete, (std::vector<std::string>{"Succeeded"}));
}

TEST_F(Sync, DeletesOnlyAfterTheServerHasTheEnd) {
    auto pod = create("web");
    api.gate.reset();
    sync->publish(pod, status("Succeeded"));
    sync->finish(pod);
    settle();
    EXPECT_TRUE(api.phase_at_delete.empty());
    api.gate.set();
    settle();
    EXPECT_EQ(api.phase_at_delete, (std::vector<std::string>{"Succeeded"}));
    EXPECT_TRUE(api.pods.empty());
}

TEST_F(Sync, DoesNotDeleteAPodThatOnlySeemsFinished) {
    auto pod = create("web");
    sync->publish(pod, status("Running"));
    sync->finish(pod);
    settle();
    EXPECT_TRUE(api.phase_at_delete.empty());
    sync->publish(watched("web"), status("Failed"));
    settle();
    EXPECT_EQ(api.phase_at_delete.size(), 1U);
}

TEST_F(Sync, BoundsTheRequestsOnTheirWay) {
    api.gate.reset();
    for (int i = 0; i < 100; ++i) {
        std::string name = fmt::format("pod-{}", i);
        sync->publish(create(name), status("Running"));
    }
    settle();
    EXPECT_EQ(api.in_flight, static_cast<int>(kRequestsMax));
    api.gate.set();
    for (int i = 0; i < 10; ++i) {
        settle();
    }
    EXPECT_EQ(sync->pending(), 0U);
    EXPECT_EQ(api.in_flight_max, static_cast<int>(kRequestsMax));
    EXPECT_EQ(api.patches, 100);
}

TEST_F(Sync, ForgetsWhileARequestIsOnItsWay) {
    auto pod = create("web");
    api.gate.reset();
    sync->publish(pod, status("Running"));
    settle();
    sync->forget(PodUid("uid-web"));
    api.gate.set();
    settle();
    EXPECT_EQ(sync->pending(), 0U);
}

}  // namespace
}  // namespace skiff::status
