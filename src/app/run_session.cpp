#include "app/run_session.h"

#include "app/commands.h"
#include "logs/read.h"
#include "pods/log_target.h"
#include "pods/observed.h"

namespace skiff::app {

// How often a follower looks for the next run of its container, and how long cleaning up may take.
constexpr auto kLookEvery = std::chrono::milliseconds(20);
constexpr auto kCleanUpMax = std::chrono::seconds(20);
constexpr auto kLastLinesMax = std::chrono::seconds(5);

void RunStatus::publish(std::shared_ptr<const kube::Pod> pod, kube::PodStatus status) {
    statuses_[PodUid(pod->metadata.uid)] = std::move(status);
    changed_.set();
}

void RunStatus::finish(std::shared_ptr<const kube::Pod> pod) {
    finished_.push_back(PodUid(pod->metadata.uid));
    changed_.set();
}

void RunStatus::forget(const PodUid& pod) {
    statuses_.erase(pod);
    changed_.set();
}

const kube::PodStatus* RunStatus::find(const PodUid& pod) const {
    auto found = statuses_.find(pod);
    return found == statuses_.end() ? nullptr : &found->second;
}

std::vector<PodUid> RunStatus::take_finished() {
    return std::exchange(finished_, {});
}

namespace {

// Nothing is sent: lines go to the console by stream.
class NoSink final : public pods::LogSink {
public:
    pods::Task<Result<void>> write(std::string) override { co_return Result<void>{}; }
};

}  // namespace

RunSession::RunSession(Base& base, Rooms& rooms, RunStatus& status, Console& console, Labels labels)
    : base_(base),
      rooms_(rooms),
      status_(status),
      console_(console),
      labels_(labels),
      followers_(base.reactor.executor()) {}

std::string RunSession::label_of(const kube::Pod& pod, const std::string& container) const {
    switch (labels_) {
        case Labels::none:
            return {};
        case Labels::container:
            return container;
        case Labels::pod_and_container:
            return pod.metadata.name + "/" + container;
    }
    return {};
}

void RunSession::start_one(const PodSet& set, std::size_t index) {
    kube::Pod pod = set.pod;
    Progress& progress = progress_[index];
    if (set.kind != PodSet::Kind::pod) {
        pod.metadata.name = fmt::format("{}-{}", set.name, progress.started);
        pod.metadata.annotations["batch.kubernetes.io/job-completion-index"] =
            std::to_string(progress.succeeded);
    }
    pod.metadata.uid = base_.random.hex(16);
    pod.metadata.generation = 1;
    pod.metadata.creationTimestamp = base_.clock.wall_now();
    auto shared = std::make_shared<const kube::Pod>(std::move(pod));
    ++progress.started;
    ++progress.active;
    pods_[PodUid(shared->metadata.uid)] = Running{shared, index, false};
    auto follow = [&](const std::vector<kube::Container>& containers) {
        for (const kube::Container& container : containers) {
            bool shows_itself =
                terminal_is_guests_ && container.tty && &containers == &shared->spec.containers;
            if (shows_itself) {
                continue;
            }
            console_.reserve_label(label_of(*shared, container.name));
            followers_.spawn("log of " + container.name, show_logs(shared, container.name));
        }
    };
    follow(shared->spec.initContainers);
    follow(shared->spec.containers);
    rooms_.pods().apply(shared);
}

void RunSession::start_due(const std::vector<PodSet>& sets) {
    for (std::size_t i = 0; i < sets.size() && stopping_ == Stopping::no; ++i) {
        const PodSet& set = sets[i];
        Progress& progress = progress_[i];
        if (set.kind == PodSet::Kind::job) {
            bool given_up = progress.failed > set.failures_max;
            while (!given_up && progress.active < set.parallel &&
                   progress.succeeded + progress.active < set.count) {
                start_one(set, i);
            }
        } else {
            while (progress.started < set.count) {
                start_one(set, i);
            }
        }
    }
}

void RunSession::note_failure(const kube::Pod& pod, const kube::PodStatus& status) {
    auto first_failed = [](const std::vector<kube::ContainerStatus>& statuses) {
        for (const kube::ContainerStatus& one : statuses) {
            if (one.state.terminated && one.state.terminated->exitCode != 0) {
                return &one;
            }
        }
        return static_cast<const kube::ContainerStatus*>(nullptr);
    };
    const kube::ContainerStatus* failed = first_failed(status.initContainerStatuses);
    failed = failed == nullptr ? first_failed(status.containerStatuses) : failed;
    if (cannot_run_) {
        return;  // told already, and better
    }
    int code = failed == nullptr ? kExitFailure : failed->state.terminated->exitCode;
    if (!exit_code_) {
        exit_code_ = code;
    }
    if (failed == nullptr) {
        console_.warning(
            fmt::format("{}: {} {}", pod.metadata.name, status.reason, status.message));
        return;
    }
    const kube::ContainerStateTerminated& end = *failed->state.terminated;
    bool ordinary = end.reason == "Error" && end.message.empty();
    if (!ordinary || labels_ != Labels::none) {
        console_.warning(fmt::format("{}: {} (exit code {}){}{}", failed->name, end.reason,
                                     end.exitCode, end.message.empty() ? "" : ": ", end.message));
    }
}

// A container that waits for something that will not come by itself on this machine.
std::optional<std::string> RunSession::why_stuck(const kube::PodStatus& status) const {
    constexpr std::string_view kHopeless[] = {
        "ErrImagePull",      "ImagePullBackOff",           "InvalidImageName",
        "ErrImageNeverPull", "CreateContainerConfigError", "CreateContainerError",
        "RunContainerError"};
    for (const auto* list : {&status.initContainerStatuses, &status.containerStatuses}) {
        for (const kube::ContainerStatus& one : *list) {
            const auto& waiting = one.state.waiting;
            bool hopeless = waiting && std::find(std::begin(kHopeless), std::end(kHopeless),
                                                 waiting->reason) != std::end(kHopeless);
            if (hopeless) {
                return fmt::format("{}: {}: {}", one.name, waiting->reason, waiting->message);
            }
        }
    }
    return std::nullopt;
}

void RunSession::look_at(const PodUid& uid, Running& running) {
    const kube::PodStatus* status = status_.find(uid);
    if (running.ended || status == nullptr) {
        return;
    }
    Progress& progress = progress_[running.set];
    if (pods::is_terminal(status->phase)) {
        running.ended = true;
        --progress.active;
        if (status->phase == "Succeeded") {
            ++progress.succeeded;
        } else {
            ++progress.failed;
            note_failure(*running.pod, *status);
        }
        return;
    }
    auto stuck = why_stuck(*status);
    if (stuck && stopping_ == Stopping::no) {
        console_.warning(*stuck);
        cannot_run_ = true;
        stop();
    }
}

bool RunSession::all_ended(const std::vector<PodSet>& sets) const {
    for (const auto& [uid, running] : pods_) {
        if (!running.ended) {
            return false;
        }
    }
    for (std::size_t i = 0; i < sets.size() && stopping_ == Stopping::no; ++i) {
        bool job = sets[i].kind == PodSet::Kind::job;
        bool given_up = progress_[i].failed > sets[i].failures_max;
        if (job && !given_up && progress_[i].succeeded < sets[i].count) {
            return false;
        }
    }
    return true;
}

async::Task<int> RunSession::run(std::vector<PodSet> sets) {
    progress_.resize(sets.size());
    console_.on_set_up_failure([this] {
        set_up_failed_ = true;
        status_.changed().set();
    });
    console_.on_output_lost([this] {
        output_lost_ = true;
        status_.changed().set();
    });
    rooms_.pods().sources_ready();
    while (true) {
        start_due(sets);
        for (const PodUid& uid : status_.take_finished()) {
            pods_[uid].ended = true;
        }
        for (auto& [uid, running] : pods_) {
            look_at(uid, running);
        }
        if (set_up_failed_) {
            // A node tries again, because what is missing may come; nobody brings it here.
            cannot_run_ = true;
            stop();
        }
        if (output_lost_) {
            stop();
        }
        if (all_ended(sets)) {
            break;
        }
        start_due(sets);
        status_.changed().reset();
        auto woken = co_await status_.changed().wait();
        if (!woken) {
            break;
        }
    }
    console_.on_set_up_failure({});
    // The guests' last lines.
    auto soon = base_.clock.steady_now() + kLastLinesMax;
    auto read = co_await followers_.join(soon);
    static_cast<void>(read);
    co_await followers_.stop();
    console_.on_output_lost({});
    bool every_job_done = true;
    for (std::size_t i = 0; i < sets.size(); ++i) {
        bool retried = sets[i].kind == PodSet::Kind::job && progress_[i].succeeded >= sets[i].count;
        every_job_done = every_job_done && (progress_[i].failed == 0 || retried);
    }
    if (cannot_run_) {
        co_return kExitCannotRun;
    }
    if (output_lost_) {
        co_return kExitOutputLost;
    }
    co_return every_job_done ? kExitOk : exit_code_.value_or(kExitOk);
}

void RunSession::stop() {
    if (std::exchange(stopping_, Stopping::yes) == Stopping::yes) {
        return;
    }
    for (auto& [uid, running] : pods_) {
        if (running.ended) {
            continue;
        }
        kube::Pod pod = *running.pod;
        pod.metadata.deletionTimestamp = base_.clock.wall_now();
        pod.metadata.deletionGracePeriodSeconds =
            pod.spec.terminationGracePeriodSeconds.value_or(30);
        running.pod = std::make_shared<const kube::Pod>(std::move(pod));
        rooms_.pods().apply(running.pod);
    }
    status_.changed().set();
}

async::Task<void> RunSession::clean_up() {
    co_await followers_.stop();
    for (const auto& [uid, running] : pods_) {
        rooms_.pods().remove(uid);
    }
    SteadyTime deadline = base_.clock.steady_now() + kCleanUpMax;
    while (rooms_.pods().size() > 0 && base_.clock.steady_now() < deadline) {
        auto slept = co_await async::sleep_for(kLookEvery);
        if (!slept) {
            break;
        }
    }
}

async::Task<void> RunSession::show_logs(std::shared_ptr<const kube::Pod> pod,
                                        std::string container) {
    PodUid uid(pod->metadata.uid);
    std::string label = label_of(*pod, container);
    runtime::KeeperRuntime* runtime = &rooms_.runtime();
    std::uint32_t next = 0;
    while (true) {
        std::optional<pods::ContainerRecord> found;
        for (const pods::ContainerRecord& record : runtime->containers(uid)) {
            bool begun = record.phase == pods::ContainerRecord::Phase::started;
            if (record.name == container && begun && record.attempt >= next && !found) {
                found = record;
            }
        }
        if (!found) {
            bool over = pods_[uid].ended;
            if (over) {
                co_return;
            }
            auto slept = co_await async::sleep_for(kLookEvery);
            if (!slept) {
                co_return;
            }
            continue;
        }
        logs::ReadRequest request;
        request.folder = found->log_path.parent_path();
        request.attempt = found->attempt;
        request.options.follow = true;
        ContainerId id = found->id;
        request.is_running = [runtime, uid, id] {
            for (const pods::ContainerRecord& record : runtime->containers(uid)) {
                if (record.id == id) {
                    return !record.exit.has_value();
                }
            }
            return false;
        };
        Console* console = &console_;
        request.by_stream = [console, label](logs::CriLine::Stream stream, std::string_view text) {
            console->output(
                label,
                stream == logs::CriLine::Stream::out ? Console::Stream::out : Console::Stream::err,
                text);
        };
        NoSink sink;
        auto read = co_await logs::read_log(std::move(request), sink, base_.pool);
        if (!read && read.error().code == Code::cancelled) {
            co_return;
        }
        next = found->attempt + 1;
    }
}

}  // namespace skiff::app
