// bench_probes FOLDER MODULE KIND SECONDS COUNT…: the agent's rooms without an API server, and
// COUNT pods of MODULE (a component that serves HTTP), each on a port of its own and with a
// readiness and a liveness probe of KIND (http, tcp, exec) every second. For each COUNT, growing,
// it waits until all are ready, looks on for SECONDS and prints one line of JSON.
#include <sys/resource.h>

#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include "app/file_objects.h"
#include "app/local_images.h"
#include "app/rooms.h"
#include "app/run_session.h"
#include "base/log.h"
#include "base/text.h"
#include "in_rooms.h"
#include "kube/defaults.h"

namespace skiff::bench {
namespace {

constexpr std::int32_t kFirstPort = 20000;
constexpr auto kReadyMax = std::chrono::minutes(3);

struct Plan {
    std::filesystem::path folder;
    std::string module;
    std::string kind;
    std::int64_t seconds = 0;
    std::vector<std::size_t> counts;
};

kube::Probe probe_of(const std::string& kind, std::int32_t port) {
    kube::Probe probe;
    probe.periodSeconds = 1;
    if (kind == "exec") {
        probe.exec.emplace();
        probe.exec->command = {"true"};
    } else if (kind == "tcp") {
        probe.tcpSocket.emplace();
        probe.tcpSocket->port.value = port;
    } else {
        probe.httpGet.emplace();
        probe.httpGet->path = "/";
        probe.httpGet->port.value = port;
    }
    return probe;
}

kube::Pod pod_number(kube::Pod pod, std::size_t number, const std::string& kind) {
    const auto port = kFirstPort + static_cast<std::int32_t>(number);
    pod.metadata.name = fmt::format("probed-{}", number);
    pod.metadata.uid = fmt::format("uid-{}", number);
    kube::Container& container = pod.spec.containers[0];
    kube::ContainerPort own;
    own.containerPort = port;
    container.ports.push_back(own);
    container.readinessProbe = probe_of(kind, port);
    container.livenessProbe = probe_of(kind, port);
    kube::apply_defaults(pod);
    return pod;
}

double cpu_seconds() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Sums {
    std::uint64_t successful = 0;
    std::uint64_t failed = 0;
    std::uint64_t unknown = 0;
    std::uint64_t restarts = 0;
};

class Bench {
public:
    Bench(app::Base& base, app::Rooms& rooms, const Plan& plan)
        : base_(base), rooms_(rooms), plan_(plan) {}

    async::Task<Result<void>> run() {
        app::ImageRun run;
        run.name = "probed";
        run.image = plan_.module;
        SKIFF_CO_TRY(kube::Pod pod, app::pod_of_image(run));
        pod.spec.restartPolicy = "Always";
        SKIFF_CO_CHECK(co_await app::load_local_images(rooms_.store(), pod, "/"));
        rooms_.pods().sources_ready();
        for (std::size_t count : plan_.counts) {
            SKIFF_CO_CHECK(co_await grow(pod, count));
            SKIFF_CO_CHECK(co_await measure(count));
        }
        for (const PodUid& uid : uids_) {
            rooms_.pods().remove(uid);
        }
        while (rooms_.pods().size() > 0) {
            SKIFF_CO_CHECK(co_await async::sleep_for(std::chrono::milliseconds(10)));
        }
        co_return Result<void>{};
    }

private:
    async::Task<Result<void>> grow(const kube::Pod& pod, std::size_t count) {
        for (std::size_t number = uids_.size(); number < count; ++number) {
            auto its = std::make_shared<const kube::Pod>(pod_number(pod, number, plan_.kind));
            uids_.emplace_back(its->metadata.uid);
            rooms_.pods().apply(std::move(its));
        }
        const SteadyTime deadline = after(kReadyMax);
        while (ready() < count) {
            if (base_.clock.steady_now() > deadline) {
                co_return fail(Code::timeout, "{} of {} containers are ready", ready(), count);
            }
            SKIFF_CO_CHECK(co_await async::sleep_for(std::chrono::milliseconds(100)));
        }
        // What the starts have left behind.
        co_return co_await async::sleep_for(std::chrono::seconds(3));
    }

    [[nodiscard]] std::size_t ready() const {
        std::size_t count = 0;
        for (const PodUid& uid : uids_) {
            auto results = rooms_.prober().results(uid).readiness;
            count += results.size() == 1 && results.begin()->second == pods::ProbeResult::success
                         ? 1
                         : 0;
        }
        return count;
    }

    [[nodiscard]] Sums sums() const {
        Sums sums;
        for (const probes::ProbeSample& sample : rooms_.prober().samples()) {
            sums.successful += sample.count.successful;
            sums.failed += sample.count.failed;
            sums.unknown += sample.count.unknown;
        }
        for (const PodUid& uid : uids_) {
            for (const pods::ContainerRecord& record : rooms_.runtime().containers(uid)) {
                sums.restarts += record.attempt > 0 ? 1 : 0;
            }
        }
        return sums;
    }

    async::Task<Result<void>> measure(std::size_t count) {
        probes::Delays& delays = rooms_.prober().delays();
        delays.clear();
        const Sums before = sums();
        const double cpu_before = cpu_seconds();
        const SteadyTime begun = base_.clock.steady_now();
        SKIFF_CO_CHECK(co_await async::sleep_for(std::chrono::seconds(plan_.seconds)));
        const std::chrono::duration<double> took = base_.clock.steady_now() - begun;
        const double cpu = cpu_seconds() - cpu_before;
        const Sums now = sums();
        auto ms = [&](double share) {
            return std::chrono::duration<double, std::milli>(delays.percentile(share)).count();
        };
        fmt::print(R"({{"containers":{},"probes_per_s":{:.1f},"cores":{:.3f},)"
                   R"("delay_p50_ms":{:.2f},"delay_p99_ms":{:.2f},"failed":{},"unknown":{},)"
                   R"("restarts":{}}})"
                   "\n",
                   count, static_cast<double>(now.successful - before.successful) / took.count(),
                   cpu / took.count(), ms(0.5), ms(0.99), now.failed - before.failed,
                   now.unknown - before.unknown, now.restarts);
        std::fflush(stdout);
        co_return Result<void>{};
    }

    app::Base& base_;
    app::Rooms& rooms_;
    const Plan& plan_;
    std::vector<PodUid> uids_;
};

async::Task<Result<void>> run_all(app::Base& base, const config::Settings& settings,
                                  const state::Instance& instance, const Plan& plan) {
    app::Workload nothing;
    app::FileObjects objects(nothing);
    NoEvents events;
    app::RunStatus status;
    app::Outside outside{objects, events, status};
    std::vector<std::string> ips = {"127.0.0.1"};
    SKIFF_CO_TRY(auto rooms, co_await app::Rooms::create(base, settings, instance, outside, ips));
    Bench bench(base, *rooms, plan);
    auto done = co_await bench.run();
    co_await rooms->stop();
    co_return done;
}

int run(const Plan& plan) {
    log::set_level(log::Level::error);
    config::Settings settings = settings_below(plan.folder);
    settings.max_pods = 2000;
    return run_in_rooms(settings, [&](app::Base& base, const state::Instance& instance) {
        return run_all(base, settings, instance, plan);
    });
}

}  // namespace
}  // namespace skiff::bench

int main(int argc, char** argv) {
    skiff::bench::Plan plan;
    bool valid = argc >= 6;
    for (int i = 4; i < argc && valid; ++i) {
        auto number = skiff::parse_uint(argv[i]);
        valid = number && *number > 0 && *number <= 2000;
        if (valid && i == 4) {
            plan.seconds = static_cast<std::int64_t>(*number);
        } else if (valid) {
            plan.counts.push_back(static_cast<std::size_t>(*number));
        }
    }
    if (!valid) {
        fmt::print(stderr, "usage: bench_probes FOLDER MODULE http|tcp|exec SECONDS COUNT...\n");
        return 2;
    }
    plan.folder = argv[1];
    plan.module = argv[2];
    plan.kind = argv[3];
    return skiff::bench::run(plan);
}
