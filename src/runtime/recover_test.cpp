// What survives the death of the agent and of the keeper.
#include <algorithm>
#include <future>

#include "runtime/live_fixture.h"

namespace skiff::runtime {
namespace {

class Recovery : public Live {
public:
    // An agent, and a guest that runs: it has printed "up" and goes on with `script`.
    Task<Result<ContainerId>> boot_with(std::string script) {
        co_await boot();
        auto id = co_await start_actor("print up ; " + script);
        if (id) {
            co_await wrote(*id, "up");
        }
        co_return id;
    }
    // An agent whose keeper was stopped (SIGSTOP) before it answered to a start, of which the
    // caller has gone away.
    Task<pods::ContainerRecord> boot_with_an_unanswered_start() {
        co_await boot();
        auto first = co_await start_actor("exit 0");
        EXPECT_TRUE(first) << format_as(first.error());
        if (first) {
            co_await ended(*first);
        }
        ::kill(keeper_pid(), SIGSTOP);
        int before = unread_by_keepers();
        async::Scope caller(reactor_.executor());
        caller.spawn("start", start_quietly("print up ; hold"));
        auto starting = co_await found(pods::ContainerRecord::Phase::starting);
        SteadyTime deadline = soon();
        while (unread_by_keepers() <= before && std::chrono::steady_clock::now() < deadline) {
            (void)co_await async::sleep_for(std::chrono::milliseconds(2));
        }
        EXPECT_GT(unread_by_keepers(), before) << "the request was not sent";
        co_await caller.stop();
        co_return starting;
    }
    // Its children are ours when this returns.
    Task<void> kill_keeper() {
        auto keeper = os::open_pidfd(keeper_pid());
        CO_REQUIRE_OK(keeper);
        CO_REQUIRE_OK(os::send_signal(keeper->get(), SIGKILL));
        auto gone = co_await async::wait_readable(keeper->get(), soon());
        CO_REQUIRE(gone, "the keeper lives");
    }
    // Every thread of the pool hangs, as on a slow disk, until `go` is done.
    void cork_pool(async::Scope& scope, std::shared_future<void> go) {
        for (std::size_t i = 0; i < kPoolThreads; ++i) {
            scope.spawn("cork", cork(go));
        }
    }
    Task<void> cork(std::shared_future<void> go) {
        auto work = [go = std::move(go)]() -> Result<void> {
            go.wait();
            return {};
        };
        auto done = co_await pool_.run(std::move(work));
        EXPECT_TRUE(done);
    }
    Task<void> appears(fs::path path) {
        auto deadline = soon();
        while (!fs::exists(path)) {
            CO_REQUIRE(std::chrono::steady_clock::now() < deadline, path.string());
            (void)co_await async::sleep_for(std::chrono::milliseconds(2));
        }
    }
    // Everything that runs ends at once, and what is in memory is gone.
    Task<void> lose_power() {
        co_await crash();
        co_await kill_keeper();
        (void)os::unmount_below(paths_.run_dir);
        CO_REQUIRE_OK(os::remove_tree(paths_.run_dir));
    }
    // How many log files of attempt 0 were closed and have the name of such a one.
    std::ptrdiff_t closed_logs() {
        auto folder = paths_.container_logs(PodName{"default", "boat"}, PodUid("uid-1"), "c");
        auto names = os::list_folder(folder);
        auto is_closed = [](const std::string& name) { return name.starts_with("0.log."); };
        return names ? std::ranges::count_if(*names, is_closed) : -1;
    }
};

TEST_F(Recovery, ARestartedAgentAdoptsWhatRunsAndLearnsWhatEnded) {
    run([](Recovery* t) -> Task<void> {
        co_await t->boot();
        auto brief = co_await t->start_actor("sleep 1 ; exit 42");
        CO_REQUIRE_OK(brief);
        auto before = *t->record(*brief);
        co_await t->crash();
        auto pidfd = os::open_pidfd(before.pid);
        CO_REQUIRE_OK(pidfd);
        auto waited7 = co_await async::wait_readable(pidfd->get(), soon());
        CO_REQUIRE(waited7, "did not end");
        co_await t->boot();
        auto after = co_await t->ended(*brief);
        EXPECT_EQ(after.exit->exit_code, 42);
        EXPECT_EQ(after.created, before.created);
        EXPECT_EQ(after.attempt, before.attempt);

        auto lasting = co_await t->start_actor("print up ; hold");
        CO_REQUIRE_OK(lasting);
        auto running = *t->record(*lasting);
        for (int i = 0; i < 5; ++i) {
            co_await t->crash();
            co_await t->boot();
            auto adopted = t->record(*lasting);
            CO_REQUIRE(adopted && !adopted->exit, "not adopted");
            EXPECT_EQ(adopted->pid, running.pid);
            EXPECT_EQ(adopted->started, running.started);
        }
        EXPECT_THAT(t->keeper_sockets(), testing::SizeIs(1));
        auto done1 = co_await t->runtime_->stop(*lasting, Duration::zero());
        CO_REQUIRE_OK(done1);
    }(this));
}

TEST_F(Recovery, GuestsOutliveTheirKeeper) {
    run([](Recovery* t) -> Task<void> {
        auto id = co_await t->boot_with("hold");
        CO_REQUIRE_OK(id);
        auto before = *t->record(*id);
        pid_t keeper = t->keeper_pid();
        co_await t->kill_keeper();
        co_await async::yield_now();
        auto again = co_await t->start_actor("hold");
        EXPECT_EQ(again.error().code, Code::conflict) << "a second copy was started";
        auto found = t->record(*id);
        CO_REQUIRE(found && !found->exit, "lost");
        EXPECT_EQ(found->pid, before.pid);
        // Also by an agent that never knew that keeper.
        co_await t->crash();
        co_await t->boot();
        found = t->record(*id);
        CO_REQUIRE(found && !found->exit, "lost by the second agent");
        EXPECT_EQ(found->pid, before.pid);
        EXPECT_NE(t->keeper_pid(), keeper);
        auto done2 = co_await t->runtime_->stop(*id, Duration::zero());
        CO_REQUIRE_OK(done2);
        EXPECT_EQ(t->record(*id)->exit->exit_code, 143);
        // The new keeper starts new containers.
        auto next = co_await t->start_actor("exit 0");
        CO_REQUIRE_OK(next);
        auto done = co_await t->ended(*next);
        EXPECT_EQ(done.exit->reason, "Completed");
    }(this));
}

TEST_F(Recovery, TheExitOfAnOrphanIsItsOwnWord) {
    run([](Recovery* t) -> Task<void> {
        auto id = co_await t->boot_with("sleep 1 ; exit 9");
        CO_REQUIRE_OK(id);
        ::kill(t->keeper_pid(), SIGKILL);
        auto found = co_await t->ended(*id);
        EXPECT_EQ(found.exit->kind, pods::ExitKind::exited);
        EXPECT_EQ(found.exit->exit_code, 9);
    }(this));
}

TEST_F(Recovery, AKilledOrphanThatNobodySawIsReportedAsUnknown) {
    run([](Recovery* t) -> Task<void> {
        auto id = co_await t->boot_with("hold");
        CO_REQUIRE_OK(id);
        auto before = *t->record(*id);
        auto runner_fd = os::open_pidfd(before.pid);
        co_await t->crash();
        co_await t->kill_keeper();
        ::kill(before.pid, SIGKILL);
        auto waited9 = co_await async::wait_readable(runner_fd->get(), soon());
        CO_REQUIRE(waited9, "runner lives");
        while (::waitpid(-1, nullptr, WNOHANG) > 0) {
        }
        co_await t->boot();
        auto found = co_await t->ended(*id);
        EXPECT_EQ(found.exit->kind, pods::ExitKind::lost);
        EXPECT_EQ(found.exit->exit_code, 137);
        EXPECT_EQ(found.exit->reason, "ContainerStatusUnknown");
    }(this));
}

TEST_F(Recovery, AnAgentKilledBeforeItAskedLeavesNoGhost) {
    run([](Recovery* t) -> Task<void> {
        co_await t->boot();
        auto done5 = co_await t->runtime_->prepare_pod(t->sandbox());
        CO_REQUIRE_OK(done5);
        co_await t->crash();
        // What is on disk when the agent dies between the record and the message.
        StoredContainer stored;
        stored.id = std::string(64, 'a');
        stored.pod_uid = "uid-1";
        stored.pod_namespace = "default";
        stored.pod_name = "boat";
        stored.name = "c";
        stored.cgroup = "poduid-1/aaaaaaaaaaaaaaaa";
        stored.keeper = t->keeper_sockets().front().filename().string().substr(7, 16);
        CO_REQUIRE_OK(store_container(t->paths_, stored));
        co_await t->boot();
        EXPECT_THAT(t->runtime_->containers(PodUid("uid-1")), testing::IsEmpty());
        EXPECT_THAT(*os::list_folder(t->paths_.container_records()), testing::IsEmpty());
        auto id = co_await t->start_actor("exit 0");
        CO_REQUIRE_OK(id);
        auto finished = co_await t->ended(*id);
        EXPECT_EQ(finished.exit->exit_code, 0);
    }(this));
}

// A machine that was switched off: the run-dir is empty, the pod's object may be gone meanwhile.
TEST_F(Recovery, WhatAPodLeftOnDiskIsFoundAndRemovedInTheNextBoot) {
    run([](Recovery* t) -> Task<void> {
        PodUid uid("uid-1");
        co_await t->boot();
        auto id = co_await t->start_actor("exit 0");
        CO_REQUIRE_OK(id);
        co_await t->ended(*id);
        auto logs = t->paths_.pod_logs(PodName{"default", "boat"}, uid);
        CO_REQUIRE(fs::exists(logs), "no logs");
        CO_REQUIRE_OK(os::remove_file(t->paths_.pod_record(uid)));
        CO_REQUIRE_OK(os::remove_file(t->paths_.container_record(*id)));
        co_await t->crash();
        co_await t->boot();
        EXPECT_THAT(t->runtime_->containers(uid), testing::IsEmpty());
        EXPECT_THAT(t->runtime_->pods(), testing::ElementsAre(uid));
        auto removed = co_await t->runtime_->remove_pod(uid);
        CO_REQUIRE_OK(removed);
        EXPECT_THAT(t->runtime_->pods(), testing::IsEmpty());
        EXPECT_FALSE(fs::exists(logs));
        EXPECT_FALSE(fs::exists(t->paths_.pod(uid)));
        EXPECT_THAT(*os::list_folder(t->paths_.container_log_dir), testing::IsEmpty());
    }(this));
}

// The keeper was asked and has not answered when the agent dies.
TEST_F(Recovery, AStartThatItsAgentDidNotSeeAnsweredIsAdopted) {
    run([](Recovery* t) -> Task<void> {
        auto starting = co_await t->boot_with_an_unanswered_start();
        EXPECT_EQ(starting.pid, 0);
        EXPECT_FALSE(starting.exit);
        co_await t->crash();
        async::Scope waker(t->reactor_.executor());
        waker.spawn("wake",
                    t->signal_later(t->keeper_pid(), SIGCONT, std::chrono::milliseconds(200)));
        co_await t->boot();
        while (t->record(starting.id) &&
               t->record(starting.id)->phase == pods::ContainerRecord::Phase::starting) {
            (void)co_await async::sleep_for(std::chrono::milliseconds(2));
        }
        auto adopted = t->record(starting.id);
        CO_REQUIRE(adopted, "it is gone");
        EXPECT_FALSE(adopted->exit) << adopted->exit->reason;
        co_await t->wrote(starting.id, "up");
        auto again = co_await t->start_actor("hold");
        EXPECT_EQ(again.error().code, Code::conflict) << "a second copy was started";
        auto stopped = co_await t->runtime_->stop(starting.id, Duration::zero());
        CO_REQUIRE_OK(stopped);
        co_await waker.stop();
    }(this));
}

TEST_F(Recovery, AStartInProgressCanBeStopped) {
    run([](Recovery* t) -> Task<void> {
        auto starting = co_await t->boot_with_an_unanswered_start();
        async::Scope waker(t->reactor_.executor());
        waker.spawn("wake",
                    t->signal_later(t->keeper_pid(), SIGCONT, std::chrono::milliseconds(100)));
        auto stopped = co_await t->runtime_->stop(starting.id, seconds(20));
        CO_REQUIRE_OK(stopped);
        auto left = t->record(starting.id);
        EXPECT_TRUE(!left || left->exit) << "it runs on";
        co_await waker.stop();
    }(this));
}

TEST_F(Recovery, AStopThatIsLostWithTheLinkIsRepeatedWithWhatIsLeftOfTheGrace) {
    run([](Recovery* t) -> Task<void> {
        t->spec_.stop_mode = pods::ContainerSpec::StopMode::file;  // this guest never looks
        auto id = co_await t->boot_with("hold");
        CO_REQUIRE_OK(id);
        pid_t keeper = t->keeper_pid();
        ::kill(keeper, SIGSTOP);
        t->drop_links();
        (void)co_await async::sleep_for(std::chrono::milliseconds(20));
        async::Scope waker(t->reactor_.executor());
        waker.spawn("wake", t->signal_later(keeper, SIGCONT, std::chrono::milliseconds(2500)));
        auto begun = std::chrono::steady_clock::now();
        auto stopped = co_await t->runtime_->stop(*id, seconds(4));
        CO_REQUIRE_OK(stopped);
        auto took = std::chrono::steady_clock::now() - begun;
        EXPECT_GE(took, std::chrono::milliseconds(3900));
        EXPECT_LT(took, seconds(6)) << "the whole grace began anew, or nobody asked again";
        EXPECT_EQ(t->record(*id)->exit->exit_code, 137);
        co_await waker.stop();
    }(this));
}

TEST_F(Recovery, AContainerThatBecomesAnOrphanWhileItStopsIsStoppedAtOnce) {
    run([](Recovery* t) -> Task<void> {
        auto id = co_await t->boot_with("hold");
        CO_REQUIRE_OK(id);
        pid_t keeper = t->keeper_pid();
        ::kill(keeper, SIGSTOP);  // it never reads the request
        async::Scope killer(t->reactor_.executor());
        killer.spawn("kill", t->signal_later(keeper, SIGKILL, std::chrono::milliseconds(100)));
        auto begun = std::chrono::steady_clock::now();
        auto stopped = co_await t->runtime_->stop(*id, seconds(25));
        CO_REQUIRE_OK(stopped);
        EXPECT_LT(std::chrono::steady_clock::now() - begun, seconds(15));
        EXPECT_EQ(t->record(*id)->exit->exit_code, 143);
        co_await killer.stop();
    }(this));
}

TEST_F(Recovery, LogsAreNamedByThePoolWithoutAnybodyWaiting) {
    settings_.logs.files = 3;
    settings_.logs.file_max = 16_KiB;
    run([](Recovery* t) -> Task<void> {
        auto id = co_await t->boot_with("sleep 1 ; flood 300 100 ; exit 3");
        CO_REQUIRE_OK(id);
        std::promise<void> go;
        async::Scope corks(t->reactor_.executor());
        t->cork_pool(corks, go.get_future().share());
        auto found = co_await t->ended(*id);
        EXPECT_EQ(found.exit->exit_code, 3);
        EXPECT_EQ(t->closed_logs(), 0);
        // Nor does the next agent wait.
        co_await t->crash();
        co_await t->boot();
        EXPECT_EQ(t->record(*id)->exit->exit_code, 3);
        EXPECT_EQ(t->closed_logs(), 0);
        go.set_value();
        auto joined = co_await corks.join();
        CO_REQUIRE_OK(joined);
        auto removed = co_await t->runtime_->remove(*id);
        CO_REQUIRE_OK(removed);
        EXPECT_EQ(t->closed_logs(), -1) << "a log was renamed while it was removed";
    }(this));
}

// A finished Job is not known to the API server yet when the machine loses power.
TEST_F(Recovery, TheEndOfWhatMayNotRunAgainSurvivesPowerLoss) {
    run([](Recovery* t) -> Task<void> {
        t->spec_.end_kept = pods::ContainerSpec::EndKept::for_ever;
        auto id = co_await t->boot_with("exit 5");
        CO_REQUIRE_OK(id);
        auto before = co_await t->ended(*id);
        EXPECT_EQ(before.boot, pods::ContainerRecord::Boot::present);
        auto kept = t->paths_.ended_record(*id);
        co_await t->appears(kept);
        co_await t->lose_power();
        co_await t->boot();
        auto after = t->record(*id);
        CO_REQUIRE(after && after->exit, "its end is forgotten");
        EXPECT_EQ(after->boot, pods::ContainerRecord::Boot::earlier);
        EXPECT_EQ(after->exit->exit_code, 5);
        EXPECT_EQ(after->exit->reason, "Error");
        EXPECT_EQ(after->exit->finished, before.exit->finished);
        EXPECT_EQ(after->attempt, before.attempt);
        EXPECT_EQ(after->log_path, before.log_path);
        // What runs now is of this boot, and comes after it.
        auto next = co_await t->start_actor("exit 0");
        CO_REQUIRE_OK(next);
        co_await t->ended(*next);
        auto all = t->runtime_->containers(PodUid("uid-1"));
        CO_REQUIRE(all.size() == 2, "not both");
        EXPECT_EQ(all[0].id, *id);
        EXPECT_EQ(all[1].boot, pods::ContainerRecord::Boot::present);
        auto removed = co_await t->runtime_->remove_pod(PodUid("uid-1"));
        CO_REQUIRE_OK(removed);
        EXPECT_FALSE(fs::exists(kept));
        EXPECT_FALSE(fs::exists(before.log_path));
        co_await t->crash();
        co_await t->boot();
        EXPECT_THAT(t->runtime_->pods(), testing::IsEmpty());
    }(this));
}

TEST_F(Recovery, AnEndThatCouldNotBeKeptYetIsKeptByTheNextAgent) {
    run([](Recovery* t) -> Task<void> {
        t->spec_.end_kept = pods::ContainerSpec::EndKept::for_ever;
        auto id = co_await t->boot_with("sleep 1 ; exit 0");
        CO_REQUIRE_OK(id);
        std::promise<void> go;
        async::Scope corks(t->reactor_.executor());
        t->cork_pool(corks, go.get_future().share());
        co_await t->ended(*id);
        co_await t->crash();
        go.set_value();
        auto joined = co_await corks.join();
        CO_REQUIRE_OK(joined);
        (void)os::remove_file(t->paths_.ended_record(*id));  // what the first agent had begun
        co_await t->boot();
        co_await t->appears(t->paths_.ended_record(*id));
    }(this));
}

TEST_F(Recovery, TheEndOfWhatRunsAgainWritesNothingToDisk) {
    run([](Recovery* t) -> Task<void> {
        auto id = co_await t->boot_with("exit 0");
        CO_REQUIRE_OK(id);
        co_await t->ended(*id);
        auto removed = co_await t->runtime_->remove(*id);  // after all work of its end
        CO_REQUIRE_OK(removed);
        EXPECT_THAT(*os::list_folder(t->paths_.ended()), testing::IsEmpty());
    }(this));
}

}  // namespace
}  // namespace skiff::runtime
