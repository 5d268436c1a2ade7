// Ports with behaviour, for tests: a runtime whose guests do what the test says, networks that
// exist or not, an API server's ear. They can be told to fail. Images, volumes: fakes_files.h.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "async/event.h"
#include "base/time.h"
#include "pods/fakes_files.h"
#include "pods/fakes_probes.h"
#include "pods/ports.h"
#include "pods/start_container.h"

namespace skiff::pods::fakes {

struct SeenEvent {
    std::string pod;
    std::string container;
    EventType type = EventType::normal;
    std::string reason;
    std::string message;
};

class Events final : public EventSink {
public:
    void emit(const kube::Pod& pod, std::string_view container, EventType type,
              std::string_view reason, std::string_view message) override {
        seen.push_back({pod.metadata.name, std::string(container), type, std::string(reason),
                        std::string(message)});
    }
    [[nodiscard]] std::size_t count(std::string_view reason) const {
        return static_cast<std::size_t>(std::ranges::count(seen, reason, &SeenEvent::reason));
    }
    std::vector<SeenEvent> seen;
};

class ApiObjects final : public Objects {
public:
    Task<Result<std::shared_ptr<const kube::ConfigMap>>> config_map(const kube::Pod&,
                                                                    std::string name) override {
        auto found = config_maps.find(name);
        if (found == config_maps.end()) {
            co_return fail(Code::not_found, "configmap \"{}\" not found", name);
        }
        co_return found->second;
    }
    Task<Result<std::shared_ptr<const kube::Secret>>> secret(const kube::Pod&,
                                                             std::string name) override {
        auto found = secrets.find(name);
        if (found == secrets.end()) {
            co_return fail(Code::not_found, "secret \"{}\" not found", name);
        }
        co_return found->second;
    }
    Task<Result<ServiceAccountToken>> service_account_token(const kube::Pod&, std::string,
                                                            std::int64_t) override {
        co_return ServiceAccountToken{};
    }
    Task<Result<std::string>> trust_anchors(const kube::Pod&,
                                            const kube::ClusterTrustBundleProjection&) override {
        co_return fail(Code::not_found, "no ClusterTrustBundle");
    }
    Task<Result<PodCredentials>> pod_certificate(const kube::Pod&, std::string,
                                                 std::size_t) override {
        co_return fail(Code::unavailable, "nobody signs");
    }
    Task<Result<std::shared_ptr<const kube::PersistentVolume>>> bound_volume(const kube::Pod&,
                                                                             std::string) override {
        co_return fail(Code::not_found, "no claim");
    }
    std::optional<std::vector<std::shared_ptr<const kube::Service>>> services() const override {
        return known_services;
    }
    Task<Result<std::string>> runtime_handler(std::string runtime_class) override {
        auto found = handlers.find(runtime_class);
        if (found == handlers.end()) {
            co_return fail(Code::not_found, "runtimeclass \"{}\" not found", runtime_class);
        }
        co_return found->second;
    }
    void release(const PodUid& pod) override { released.insert(pod); }
    void set_observer(std::function<void(const PodUid&)> observer) override {
        changed = std::move(observer);
    }

    std::function<void(const PodUid&)> changed;
    std::map<std::string, std::shared_ptr<const kube::ConfigMap>> config_maps;
    std::map<std::string, std::shared_ptr<const kube::Secret>> secrets;
    std::optional<std::vector<std::shared_ptr<const kube::Service>>> known_services =
        std::vector<std::shared_ptr<const kube::Service>>{};
    std::map<std::string, std::string> handlers = {{"wasmtime", "wasmtime"}};
    std::set<PodUid> released;
};

class Networks final : public Network {
public:
    Task<Result<PodNetwork>> set_up(const kube::Pod& pod) override {
        if (auto error = faults.take("set_up")) {
            co_return fail(std::move(*error));
        }
        present.insert(PodUid(pod.metadata.uid));
        PodNetwork network;
        network.pod_ips = {"10.0.0.7"};
        network.hostname = pod.metadata.name;
        co_return network;
    }
    Task<Result<NetworkMode>> mode_for(const kube::Pod&, const kube::Container&, bool) override {
        if (auto error = faults.take("mode_for")) {
            co_return fail(std::move(*error));
        }
        co_return NetworkMode::empty;
    }
    Task<Result<void>> tear_down(const PodUid& pod) override {
        present.erase(pod);
        co_return Result<void>();
    }

    Faults faults;
    std::set<PodUid> present;
};

// A client of a container, as the test sees it.
struct FakeClient {
    AttachSpec spec;
    std::string written;  // to the container's input
    enum class Input { open, closed } input = Input::open;
    TerminalSize size;
    std::string out;  // what it has not read yet
    std::string err;
    async::Event readable;
    async::Event over;
    // The container writes.
    void print(std::string_view text) {
        out += text;
        readable.set();
    }
    void finish() {
        over.set();
        readable.set();
    }
};

class FakeAttachment final : public AttachSession {
public:
    explicit FakeAttachment(std::shared_ptr<FakeClient> client) : client_(std::move(client)) {}
    ~FakeAttachment() override { client_->finish(); }
    Task<Result<void>> write_stdin(std::string bytes) override {
        auto client = client_;
        client->written += bytes;
        co_return Result<void>();
    }
    void close_stdin() override { client_->input = FakeClient::Input::closed; }
    Task<Result<std::string>> read(OutputStream stream) override {
        auto client = client_;
        std::string& text = stream == OutputStream::out ? client->out : client->err;
        while (text.empty() && !client->over.is_set()) {
            client->readable.reset();
            SKIFF_CO_CHECK(co_await client->readable.wait());
        }
        co_return std::exchange(text, {});
    }
    void resize(TerminalSize size) override { client_->size = size; }
    Task<Result<void>> wait() override {
        auto client = client_;
        co_return co_await client->over.wait();
    }

private:
    std::shared_ptr<FakeClient> client_;
};

// Guests run until the test ends them, or until they are stopped. With `answers` closed the keeper
// is silent: what starts stays `starting`, whoever goes on waiting for it.
class Guests : public Runtime {
public:
    explicit Guests(const Clock& clock) : clock_(clock) {
        answers.set();
        stop_gate.set();
    }

    std::vector<ContainerRecord> containers(const PodUid& pod) const override {
        std::vector<ContainerRecord> own;
        for (const ContainerRecord& record : records) {
            if (record.pod == pod) {
                own.push_back(record);
            }
        }
        return own;
    }
    std::vector<PodUid> pods() const override {
        std::set<PodUid> uids(prepared.begin(), prepared.end());
        for (const ContainerRecord& record : records) {
            uids.insert(record.pod);
        }
        return {uids.begin(), uids.end()};
    }
    void set_observer(std::function<void(const PodUid&)> observer) override {
        observer_ = std::move(observer);
    }
    Task<Result<void>> prepare_pod(const PodSandbox& sandbox) override {
        if (auto error = faults.take("prepare_pod")) {
            co_return fail(std::move(*error));
        }
        prepared.insert(sandbox.pod);
        shares[sandbox.pod] = sandbox;
        co_return Result<void>();
    }
    std::optional<std::string> allocation(const PodUid& pod) const override {
        auto found = shares.find(pod);
        return found == shares.end() ? std::nullopt : std::optional(found->second.allocation);
    }
    void store_allocation(const PodUid& pod, std::string allocation) override {
        if (auto found = shares.find(pod); found != shares.end()) {
            found->second.allocation = std::move(allocation);
        }
    }
    Task<Result<void>> resize(const ContainerId& id, ContainerLimits limits,
                              kube::ResourceRequirements resources) override {
        ContainerId its = id;
        if (auto error = faults.take("resize")) {
            co_return fail(std::move(*error));
        }
        if (!runs(its)) {
            co_return fail(Code::conflict, "container \"{}\" is not running", its);
        }
        auto record = std::ranges::find(records, its, &ContainerRecord::id);
        record->resources = std::move(resources);
        resized.emplace_back(record->name, limits);
        co_return Result<void>();
    }
    Task<Result<Artifact>> compile(CompileRequest request,
                                   std::function<void()> compiling) override {
        if (auto error = faults.take("compile")) {
            co_return fail(std::move(*error));
        }
        Artifact artifact = module;
        artifact.key = request.module.digest;
        if (compiled.insert(request.module.digest).second) {
            compiling();
            artifact.source = Artifact::Source::compiled;
            artifact.compile_time = std::chrono::milliseconds(1500);
        }
        co_return artifact;
    }
    Task<Result<ContainerId>> start(const ContainerSpec& spec) override {
        ContainerSpec copy = spec;
        co_await async::yield_now();
        if (auto error = faults.take("start")) {
            co_return fail(std::move(*error));
        }
        if (is_active(copy.pod, copy.name)) {
            ++conflicts;
            co_return fail_because(Code::conflict, "CreateContainerError",
                                   "container {} still runs or may run", copy.name);
        }
        ContainerRecord record;
        record.id = ContainerId(fmt::format("{:064x}", ++last_id_));
        record.pod = copy.pod;
        record.pod_name = copy.pod_name;
        record.name = copy.name;
        record.kind = copy.kind;
        record.attempt = copy.attempt;
        record.round = copy.round;
        record.spec_hash = copy.spec_hash;
        record.image = copy.image.reference;
        record.image_id = copy.image.image_id;
        record.ids = ContainerIds{copy.uid, copy.gid, copy.groups};
        record.resources = copy.resources;
        record.console = copy.console;
        record.phase = ContainerRecord::Phase::starting;
        record.created = clock_.wall_now();
        record.log_path = fmt::format("/logs/{}/{}.log", copy.name, copy.attempt);
        ContainerId id = record.id;
        records.push_back(std::move(record));
        started.push_back(std::move(copy));
        auto answered = co_await answers.wait();
        if (!answered) {
            co_return fail(std::move(answered.error()));
        }
        begin(id);
        co_return id;
    }
    Task<Result<void>> stop(const ContainerId& id, Duration grace) override {
        ContainerId its = id;
        stops.emplace_back(its, grace);
        auto may_go = co_await stop_gate.wait();
        if (!may_go) {
            co_return fail(std::move(may_go.error()));
        }
        if (auto error = faults.take("stop")) {
            co_return fail(std::move(*error));
        }
        refuse(its);
        if (obedience == Obedience::at_once) {
            end(its, 143, ExitKind::stopped);
        }
        co_return Result<void>();
    }
    Task<Result<void>> remove(const ContainerId& id) override {
        std::erase_if(records, [&](const ContainerRecord& r) { return r.id == id; });
        removed.push_back(id);
        co_return Result<void>();
    }
    Task<Result<void>> remove_pod(const PodUid& pod) override {
        if (auto error = faults.take("remove_pod")) {
            co_return fail(std::move(*error));
        }
        for (const ContainerRecord& record : records) {
            if (record.pod == pod && !record.exit) {
                co_return fail(Code::conflict, "container {} still runs", record.name);
            }
        }
        std::erase_if(records, [&](const ContainerRecord& r) { return r.pod == pod; });
        prepared.erase(pod);
        shares.erase(pod);
        co_return Result<void>();
    }
    std::optional<ContainerUsage> usage(const ContainerId& id) const override {
        auto found = usages.find(id);
        return found == usages.end() ? std::nullopt : std::optional(found->second);
    }
    Task<Result<std::vector<ContainerDiskUse>>> disk_use(const PodUid& pod) override {
        co_return disk_uses[pod];
    }
    std::map<PodUid, std::vector<ContainerDiskUse>> disk_uses;
    Result<Image> image_of(const ContainerId& id) const override {
        if (!runs(id)) {
            return fail(Code::conflict, "container \"{}\" is not running", id);
        }
        return image;
    }
    // Commands run until end_command(), or until their container or session ends.
    Task<Result<std::unique_ptr<ExecSession>>> exec(ExecSpec spec) override {
        if (auto error = faults.take("exec")) {
            co_return fail(std::move(*error));
        }
        if (!runs(spec.container)) {
            co_return fail(Code::conflict, "container \"{}\" is not running", spec.container);
        }
        auto running = std::make_shared<Running>();
        running->container = spec.container;
        commands.push_back(std::move(spec));
        sessions.push_back(running);
        std::unique_ptr<ExecSession> session = std::make_unique<Session>(running);
        co_return std::move(session);
    }
    // Clients stay until their container or session ends.
    Task<Result<std::unique_ptr<AttachSession>>> attach(AttachSpec spec) override {
        if (auto error = faults.take("attach")) {
            co_return fail(std::move(*error));
        }
        if (!runs(spec.container)) {
            co_return fail(Code::conflict, "container \"{}\" is not running", spec.container);
        }
        auto record = std::ranges::find(records, spec.container, &ContainerRecord::id);
        if (record->console.kind == Console::Kind::none) {
            co_return fail(Code::unsupported, "container \"{}\" has no console", record->name);
        }
        auto client = std::make_shared<FakeClient>();
        client->spec = std::move(spec);
        clients.push_back(client);
        std::unique_ptr<AttachSession> session = std::make_unique<FakeAttachment>(client);
        co_return std::move(session);
    }
    // The latest command ends.
    void end_command(int code) { sessions.back()->end(code, ExitKind::exited); }

    // The keeper says that a container which was starting runs, or that it never will.
    void begin(const ContainerId& id) {
        for (ContainerRecord& record : records) {
            if (record.id == id && is_starting(record)) {
                record.phase = ContainerRecord::Phase::started;
                record.started = clock_.wall_now();
                record.pid = static_cast<std::int32_t>(1000 + last_id_);
                changed(record.pod);
            }
        }
    }
    void refuse(const ContainerId& id) {
        auto found = std::ranges::find(records, id, &ContainerRecord::id);
        if (found != records.end() && is_starting(*found)) {
            PodUid pod = found->pod;
            records.erase(found);
            changed(pod);
        }
    }
    // The container of that name which is starting, which must be there.
    [[nodiscard]] ContainerId starting(std::string_view name) const {
        for (const ContainerRecord& record : records) {
            if (record.name == name && is_starting(record)) {
                return record.id;
            }
        }
        return {};
    }
    // The guest of a container ends.
    void end(const ContainerId& id, int code, ExitKind kind = ExitKind::exited) {
        for (ContainerRecord& record : records) {
            if (record.id == id && !record.exit && !is_starting(record)) {
                ContainerExit exit;
                exit.kind = kind;
                exit.exit_code = code;
                exit.reason = code == 0 ? "Completed" : "Error";
                exit.finished = clock_.wall_now();
                record.exit = std::move(exit);
                for (auto& session : sessions) {
                    if (session->container == id) {
                        session->end(137, ExitKind::killed);
                    }
                }
                for (auto& client : clients) {
                    if (client->spec.container == id) {
                        client->finish();
                    }
                }
                changed(record.pod);
            }
        }
    }
    // The running container of that name, which must be there.
    [[nodiscard]] ContainerId running(std::string_view name) const {
        for (const ContainerRecord& record : records) {
            if (record.name == name && !record.exit && !is_starting(record)) {
                return record.id;
            }
        }
        return {};
    }
    [[nodiscard]] std::size_t running_count() const {
        return static_cast<std::size_t>(
            std::ranges::count_if(records, [](const auto& r) { return !r.exit.has_value(); }));
    }

    async::Event answers;    // closed: starts are not answered
    async::Event stop_gate;  // closed: stops hang
    int conflicts = 0;       // starts of what was starting or running
    enum class Obedience { at_once, never } obedience = Obedience::at_once;
    Faults faults;
    std::vector<ContainerRecord> records;
    std::vector<ContainerSpec> started;
    std::vector<std::pair<ContainerId, Duration>> stops;
    std::vector<ContainerId> removed;
    std::set<PodUid> prepared;
    std::map<PodUid, PodSandbox> shares;  // as they were given last
    std::vector<std::pair<std::string, ContainerLimits>> resized;
    std::map<ContainerId, ContainerUsage> usages;
    Artifact module;  // what every module is
    std::set<std::string> compiled;
    Image image;  // of every container, as its commands see it
    std::vector<ExecSpec> commands;
    struct Running {
        ContainerId container;
        ContainerExit exit;
        async::Event ended;
        void end(int code, ExitKind kind) {
            if (!ended.is_set()) {
                exit.kind = kind;
                exit.exit_code = code;
                ended.set();
            }
        }
    };
    std::vector<std::shared_ptr<Running>> sessions;
    std::vector<std::shared_ptr<FakeClient>> clients;

private:
    class Session final : public ExecSession {
    public:
        explicit Session(std::shared_ptr<Running> running) : running_(std::move(running)) {}
        ~Session() override { running_->end(137, ExitKind::killed); }
        Task<Result<ContainerExit>> wait() override {
            auto running = running_;
            SKIFF_CO_CHECK(co_await running->ended.wait());
            co_return running->exit;
        }

    private:
        std::shared_ptr<Running> running_;
    };
    [[nodiscard]] bool runs(const ContainerId& id) const {
        return std::ranges::any_of(records, [&](const ContainerRecord& record) {
            return record.id == id && record.runs();
        });
    }
    static bool is_starting(const ContainerRecord& record) {
        return record.phase == ContainerRecord::Phase::starting;
    }
    [[nodiscard]] bool is_active(const PodUid& pod, const std::string& name) const {
        return std::ranges::any_of(records, [&](const ContainerRecord& record) {
            return record.pod == pod && record.name == name && !record.exit;
        });
    }
    void changed(PodUid pod) {
        if (observer_) {
            observer_(pod);
        }
    }
    const Clock& clock_;
    std::function<void(const PodUid&)> observer_;
    std::uint64_t last_id_ = 0;
};

class Statuses final : public StatusSink {
public:
    void publish(std::shared_ptr<const kube::Pod> pod, kube::PodStatus status) override {
        history.emplace_back(pod->metadata.uid, status);
        latest[PodUid(pod->metadata.uid)] = std::move(status);
    }
    void finish(std::shared_ptr<const kube::Pod> pod) override {
        finished.emplace_back(pod->metadata.uid);
    }
    void forget(const PodUid& pod) override { forgotten.insert(pod); }

    std::vector<std::pair<std::string, kube::PodStatus>> history;
    std::map<PodUid, kube::PodStatus> latest;
    std::vector<std::string> finished;
    std::set<PodUid> forgotten;
};

// A whole node of fakes.
struct FakeNode {
    explicit FakeNode(const Clock& clock) : guests(clock) {}
    Events events;
    ApiObjects objects;
    ImageStore images;
    VolumeSets volumes;
    Networks networks;
    Guests guests;
    Statuses statuses;
    CommandRuns commands;
    ProbeBoard probes;
    [[nodiscard]] Ports ports() {
        return Ports{events, objects,  images,   volumes, networks,
                     guests, statuses, commands, probes};
    }
};

inline kube::Pod make_pod(const std::string& name, const std::string& uid = "uid-1") {
    kube::Pod pod;
    pod.metadata.name = name;
    pod.metadata.namespace_ = "default";
    pod.metadata.uid = uid;
    pod.metadata.generation = 1;
    pod.spec.restartPolicy = "Always";
    pod.spec.terminationGracePeriodSeconds = 30;
    pod.status.phase = "Pending";
    pod.status.qosClass = "BestEffort";
    kube::Container container;
    container.name = "main";
    container.image = "registry.test/hello:1";
    pod.spec.containers.push_back(std::move(container));
    return pod;
}

}  // namespace skiff::pods::fakes
