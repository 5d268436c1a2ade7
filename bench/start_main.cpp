// bench_start FOLDER MODULE [--token]: the agent's rooms without an API server. For each line on
// stdin it hands the agent one pod of MODULE (a guest that prints "hello NANOSECONDS", its first
// clock reading) and prints "SEEN GUEST": when the agent was given the pod, and what the guest
// read, both wall clock in nanoseconds.
#include <cstdio>
#include <iostream>
#include <string>

#include "app/file_objects.h"
#include "app/local_images.h"
#include "app/rooms.h"
#include "app/run_session.h"
#include "base/log.h"
#include "base/text.h"
#include "in_rooms.h"
#include "logs/read.h"

namespace skiff::bench {
namespace {

// The manifest's objects, and what a cluster would add for the token volume.
class Objects final : public app::FileObjects {
public:
    explicit Objects(const app::Workload& workload) : FileObjects(workload) {}
    pods::Task<Result<pods::ServiceAccountToken>> service_account_token(const kube::Pod&,
                                                                        std::string,
                                                                        std::int64_t) override {
        co_return pods::ServiceAccountToken{std::string(900, 't'),
                                            SystemClock().wall_now() + std::chrono::hours(1)};
    }
};

class Text final : public pods::LogSink {
public:
    std::string text;
    pods::Task<Result<void>> write(std::string chunk) override {
        text += chunk;
        co_return Result<void>{};
    }
};

// The volume that API admission adds to every pod.
void add_token_volume(kube::Pod& pod) {
    kube::Volume volume;
    volume.name = "kube-api-access";
    volume.projected.emplace();
    kube::VolumeProjection token;
    token.serviceAccountToken.emplace();
    token.serviceAccountToken->path = "token";
    token.serviceAccountToken->expirationSeconds = 3607;
    kube::VolumeProjection name;
    name.downwardAPI.emplace();
    kube::DownwardAPIVolumeFile file;
    file.path = "namespace";
    file.fieldRef.emplace();
    file.fieldRef->fieldPath = "metadata.namespace";
    name.downwardAPI->items.push_back(std::move(file));
    volume.projected->sources.push_back(std::move(token));
    volume.projected->sources.push_back(std::move(name));
    pod.spec.volumes.push_back(std::move(volume));
    kube::VolumeMount mount;
    mount.name = "kube-api-access";
    mount.mountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
    mount.readOnly = true;
    pod.spec.containers[0].volumeMounts.push_back(std::move(mount));
}

async::Task<Result<void>> start_one(app::Base& base, app::Rooms& rooms, app::RunStatus& status,
                                    kube::Pod pod) {
    pod.metadata.uid = base.random.hex(16);
    PodUid uid(pod.metadata.uid);
    auto shared = std::make_shared<const kube::Pod>(std::move(pod));
    WallTime seen = base.clock.wall_now();
    rooms.pods().apply(shared);
    std::vector<pods::ContainerRecord> records;
    while (records.empty() || !records[0].exit) {
        SKIFF_CO_CHECK(co_await status.changed().wait());
        status.changed().reset();
        records = rooms.runtime().containers(uid);
    }
    logs::ReadRequest request;
    request.folder = records[0].log_path.parent_path();
    Text log;
    SKIFF_CO_CHECK(co_await logs::read_log(std::move(request), log, base.pool));
    auto words = split(trim(log.text), ' ');
    if (words.size() != 2) {
        co_return fail(Code::invalid, "the guest printed \"{}\"", log.text);
    }
    fmt::print("{} {}\n", seen.time_since_epoch().count(), words[1]);
    std::fflush(stdout);
    rooms.pods().remove(uid);
    while (rooms.pods().size() > 0) {
        SKIFF_CO_CHECK(co_await async::sleep_for(std::chrono::milliseconds(1)));
    }
    co_return Result<void>{};
}

async::Task<Result<void>> serve(app::Base& base, const config::Settings& settings,
                                const state::Instance& instance, std::string module,
                                bool with_token) {
    app::Workload nothing;
    Objects objects(nothing);
    NoEvents events;
    app::RunStatus status;
    app::Outside outside{objects, events, status};
    std::vector<std::string> ips = {"192.0.2.1"};
    SKIFF_CO_TRY(auto rooms, co_await app::Rooms::create(base, settings, instance, outside, ips));
    app::ImageRun run;
    run.name = "hello";
    run.image = module;
    SKIFF_CO_TRY(kube::Pod pod, app::pod_of_image(run));
    SKIFF_CO_CHECK(co_await app::load_local_images(rooms->store(), pod, "/"));
    if (with_token) {
        add_token_volume(pod);
    }
    rooms->pods().sources_ready();
    std::string line;
    Result<void> done;
    while (done && std::getline(std::cin, line)) {
        done = co_await start_one(base, *rooms, status, pod);
    }
    co_await rooms->stop();
    co_return done;
}

int run(const std::filesystem::path& folder, const std::string& module, bool with_token) {
    log::set_level(log::Level::error);
    config::Settings settings = settings_below(folder);
    return run_in_rooms(settings, [&](app::Base& base, const state::Instance& instance) {
        return serve(base, settings, instance, module, with_token);
    });
}

}  // namespace
}  // namespace skiff::bench

int main(int argc, char** argv) {
    if (argc < 3) {
        fmt::print(stderr, "usage: bench_start FOLDER MODULE [--token]\n");
        return 2;
    }
    bool with_token = argc > 3 && std::string_view(argv[3]) == "--token";
    return skiff::bench::run(argv[1], argv[2], with_token);
}
