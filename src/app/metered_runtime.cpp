#include "app/metered_runtime.h"

namespace skiff::app {

namespace {

std::string type_of(pods::ContainerKind kind) {
    switch (kind) {
        case pods::ContainerKind::init:
            return "init_container";
        case pods::ContainerKind::regular:
            return "container";
        case pods::ContainerKind::ephemeral:
            return "ephemeral_container";
    }
    return "container";
}

bool is_failure(const Error& error) {
    return error.code != Code::cancelled;
}

}  // namespace

void MeteredRuntime::count(const std::string& operation, Duration took, const Error* error) {
    parts_.meters.operations.add({operation});
    parts_.meters.operation_seconds.observe({operation}, took);
    bool failed = error != nullptr && is_failure(*error);
    parts_.meters.operation_errors.add({operation}, failed ? 1 : 0);
}

async::Task<Result<void>> MeteredRuntime::prepare_pod(const pods::PodSandbox& sandbox) {
    // An agent that comes back prepares what runs, too.
    bool is_new = !inner().allocation(sandbox.pod) && inner().containers(sandbox.pod).empty();
    auto preparing = timed("run_podsandbox", inner().prepare_pod(sandbox));
    return is_new ? prepare_new(sandbox.pod, std::move(preparing)) : std::move(preparing);
}

async::Task<Result<void>> MeteredRuntime::prepare_new(PodUid pod,
                                                      async::Task<Result<void>> preparing) {
    SteadyTime begun = parts_.clock.steady_now();
    parts_.starts.began(pod);
    parts_.meters.started_pods.add();
    auto prepared = co_await std::move(preparing);
    parts_.meters.start_phase.observe({"sandbox"}, parts_.clock.steady_now() - begun);
    bool failed = !prepared && is_failure(prepared.error());
    parts_.meters.started_pods_errors.add({}, failed ? 1 : 0);
    co_return prepared;
}

async::Task<Result<pods::Artifact>> MeteredRuntime::compile(pods::CompileRequest request,
                                                            std::function<void()> compiling) {
    SteadyTime begun = parts_.clock.steady_now();
    auto artifact = co_await inner().compile(std::move(request), std::move(compiling));
    if (artifact) {
        bool compiled = artifact->source == pods::Artifact::Source::compiled;
        parts_.meters.compiles.add({compiled ? "compiled" : "cached"});
        if (compiled) {
            parts_.meters.compile_seconds.observe(artifact->compile_time);
        }
        parts_.meters.start_phase.observe({"compile"}, parts_.clock.steady_now() - begun);
    } else if (is_failure(artifact.error())) {
        parts_.meters.compiles.add({"failed"});
    }
    co_return artifact;
}

async::Task<Result<ContainerId>> MeteredRuntime::start(const pods::ContainerSpec& spec) {
    return start_metered(type_of(spec.kind), timed("start_container", inner().start(spec)));
}

async::Task<Result<ContainerId>> MeteredRuntime::start_metered(
    std::string type, async::Task<Result<ContainerId>> starting) {
    parts_.meters.started_containers.add({type});
    SteadyTime begun = parts_.clock.steady_now();
    auto started = co_await std::move(starting);
    if (started) {
        parts_.meters.start_phase.observe({"run"}, parts_.clock.steady_now() - begun);
    } else if (is_failure(started.error())) {
        parts_.meters.started_containers_errors.add({started.error().reason, type});
    }
    co_return started;
}

async::Task<Result<void>> MeteredRuntime::remove_metered(PodUid pod) {
    auto removed = co_await timed("remove_podsandbox", inner().remove_pod(pod));
    if (removed) {
        parts_.starts.forget(pod);
    }
    co_return removed;
}

}  // namespace skiff::app
