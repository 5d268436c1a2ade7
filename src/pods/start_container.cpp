#include "pods/start_container.h"

#include "kube/pod_fields.h"
#include "pods/annotations.h"
#include "pods/container_config.h"
#include "pods/environment.h"
#include "pods/observed.h"
#include "pods/oom_score.h"
#include "pods/resize.h"
#include "pods/resources.h"
#include "pods/restart.h"

namespace skiff::pods {
namespace {

constexpr std::string_view kConfigError = "CreateContainerConfigError";
constexpr std::string_view kCreateError = "CreateContainerError";

// One start in progress; lives in the frame of start_container().
struct Starting {
    const Ports& ports;
    StartRequest request;
    const kube::Container& container;
    ContainerSpec spec;
    Command command;
    Annotations annotations;
};

Task<Result<ModuleFile>> find_module(Starting& starting) {
    const Image& image = starting.spec.image;
    if (image.kind == ImageKind::artifact) {
        ModuleFile module;
        module.path = image.module;
        module.digest = image.module_digest;
        module.size = image.size;
        co_return module;
    }
    auto found = co_await starting.ports.images.find_module(image, starting.command.module);
    if (!found) {
        co_return fail(std::move(found.error()).with_default_reason(kCreateError));
    }
    co_return std::move(*found);
}

// One entry of `skiff/link`: a file of the container's own image, or an image that is a component.
Task<Result<ModuleFile>> find_plug(Starting& starting, std::string entry) {
    Images& images = starting.ports.images;
    if (entry.starts_with('/')) {
        if (starting.spec.image.kind == ImageKind::artifact) {
            co_return fail_because(Code::invalid, kConfigError,
                                   "annotation skiff/link names the file {}, but the image is a "
                                   "single module",
                                   entry);
        }
        auto file = co_await images.find_module(starting.spec.image, entry);
        if (!file) {
            co_return fail(std::move(file.error()).with_default_reason(kCreateError));
        }
        co_return std::move(*file);
    }
    auto image = co_await images.ensure(*starting.request.pod, starting.container.name, entry,
                                        "IfNotPresent");
    if (!image) {
        co_return fail(std::move(image.error()).with_default_reason("ErrImagePull"));
    }
    if (image->kind != ImageKind::artifact) {
        co_return fail_because(Code::invalid, kConfigError,
                               "annotation skiff/link: the image {} holds files and is no single "
                               "component",
                               entry);
    }
    co_return ModuleFile{image->module, image->module_digest, image->size};
}

Task<Result<CompileRequest>> compile_request(Starting& starting) {
    CompileRequest request;
    request.handler = starting.request.handler;
    auto module = co_await find_module(starting);
    if (!module) {
        co_return fail(std::move(module.error()));
    }
    request.module = std::move(*module);
    for (const std::string& entry : starting.annotations.link) {
        auto plug = co_await find_plug(starting, entry);
        if (!plug) {
            co_return fail(std::move(plug.error()));
        }
        request.plugs.push_back(std::move(*plug));
    }
    co_return request;
}

Task<Result<void>> compile(Starting& starting) {
    auto request = co_await compile_request(starting);
    if (!request) {
        co_return fail(std::move(request.error()));
    }
    const Ports* ports = &starting.ports;
    std::shared_ptr<const kube::Pod> pod = starting.request.pod;
    std::string container = starting.container.name;
    std::string name = starting.command.argv.front();
    Bytes size = request->module.size;
    auto told = [ports, pod, container, name, size] {
        ports->events.emit(*pod, container, EventType::normal, "Compiling",
                           fmt::format("Compiling module {} ({})", name, size));
    };
    std::function<void()> compiling = told;
    auto artifact = co_await ports->runtime.compile(std::move(*request), compiling);
    if (!artifact) {
        co_return fail(std::move(artifact.error()).with_default_reason(kCreateError));
    }
    if (artifact->source == Artifact::Source::compiled) {
        auto took = std::chrono::round<std::chrono::milliseconds>(artifact->compile_time);
        ports->events.emit(
            *pod, container, EventType::normal, "Compiled",
            fmt::format("Compiled module {} ({}) in {}", name, size, format_duration(took)));
    }
    starting.spec.artifact = std::move(*artifact);
    co_return Result<void>();
}

// The volume of one mount; an image's files are pulled first (contract row 67).
Task<Result<MountedVolume>> volume_of(Starting& starting, const kube::VolumeMount& wanted) {
    const kube::Pod& pod = *starting.request.pod;
    auto spec = std::ranges::find(pod.spec.volumes, wanted.name, &kube::Volume::name);
    if (spec != pod.spec.volumes.end() && spec->image) {
        auto image = co_await starting.ports.images.ensure_files(
            pod, starting.container.name, spec->image->reference, spec->image->pullPolicy);
        if (!image) {
            co_return fail(std::move(image.error()).with_default_reason("ErrImagePull"));
        }
        std::string name = wanted.name;
        co_return co_await starting.ports.volumes.mount_image(pod, std::move(name),
                                                              std::move(*image));
    }
    auto volume = starting.request.volumes.find(wanted.name);
    if (volume == starting.request.volumes.end()) {
        co_return fail_because(Code::invalid, kConfigError,
                               "cannot find volume \"{}\" to mount into container \"{}\"",
                               wanted.name, starting.container.name);
    }
    co_return volume->second;
}

Task<Result<void>> mount(Starting& starting, const Variables& variables) {
    for (const kube::VolumeMount& wanted : starting.container.volumeMounts) {
        auto volume = co_await volume_of(starting, wanted);
        if (!volume) {
            co_return fail(std::move(volume.error()).with_default_reason(kCreateError));
        }
        std::string sub_path = wanted.subPath;
        if (!wanted.subPathExpr.empty()) {
            auto expanded = expand_sub_path(wanted.subPathExpr, variables);
            if (!expanded) {
                co_return fail(std::move(expanded.error()));
            }
            sub_path = std::move(*expanded);
        }
        ContainerMount made;
        made.host = volume->path;
        if (!sub_path.empty()) {
            auto resolved = co_await starting.ports.volumes.resolve_mount(*starting.request.pod,
                                                                          *volume, sub_path);
            if (!resolved) {
                co_return fail(std::move(resolved.error()).with_default_reason(kConfigError));
            }
            made.host = std::move(*resolved);
        }
        made.container =
            wanted.mountPath.starts_with('/') ? wanted.mountPath : "/" + wanted.mountPath;
        made.origin = volume->origin;
        made.ids = volume->ids;
        bool read_only = wanted.readOnly || volume->access == MountedVolume::Access::read_only;
        made.access = read_only ? MountAccess::read_only : MountAccess::read_write;
        starting.spec.mounts.push_back(std::move(made));
    }
    co_return Result<void>();
}

void describe(Starting& starting) {
    const kube::Pod& pod = *starting.request.pod;
    const kube::Container& container = starting.container;
    ContainerSpec& spec = starting.spec;
    spec.pod = PodUid(pod.metadata.uid);
    spec.pod_name = PodName{pod.metadata.namespace_, pod.metadata.name};
    spec.name = container.name;
    spec.kind = starting.request.kind;
    spec.attempt = starting.request.attempt;
    spec.round = starting.request.round;
    spec.spec_hash = spec_hash(container);
    spec.working_dir =
        container.workingDir.empty() ? spec.image.config.working_dir : container.workingDir;
    if (container.terminationMessagePolicy == "FallbackToLogsOnError") {
        spec.message_fallback = ContainerSpec::MessageFallback::log;
    }
    if (may_end_for_good(pod.spec, container, role_of(container, starting.request.kind))) {
        spec.end_kept = ContainerSpec::EndKept::for_ever;
    }
    bool read_only = container.securityContext &&
                     container.securityContext->readOnlyRootFilesystem.value_or(false);
    spec.root = read_only ? ContainerSpec::Root::read_only : ContainerSpec::Root::writable;
    spec.limits = container_limits(pod.spec, container);
    spec.resources = run_resources(pod.spec, container);
    spec.oom_score_adj = oom_score_adj(pod, container, starting.request.facts.memory_capacity);
    spec.pod_network = starting.request.network;
    spec.runtime_handler = starting.request.handler;
    spec.tty = container.tty;
    if (starting.request.guest_input == NodeFacts::GuestInput::attached) {
        spec.console = console_of(container);
    }
}

Result<void> identify(Starting& starting) {
    SKIFF_TRY(Identity identity,
              identity_of(*starting.request.pod, starting.container, starting.spec.image));
    starting.spec.uid = identity.uid;
    starting.spec.gid = identity.gid;
    starting.spec.groups = std::move(identity.groups);
    for (const auto& [name, volume] : starting.request.volumes) {
        auto& groups = starting.spec.groups;
        if (volume.group && std::ranges::find(groups, *volume.group) == groups.end()) {
            groups.push_back(*volume.group);
        }
    }
    return {};
}

void choose_stop(Starting& starting) {
    const Artifact& artifact = starting.spec.artifact;
    if (starting.annotations.stop == Annotations::Stop::file && !artifact.serves_http) {
        starting.spec.stop_mode = ContainerSpec::StopMode::file;
    } else if (artifact.handles_stop || artifact.serves_http) {
        starting.spec.stop_mode = ContainerSpec::StopMode::lifecycle;
    }
}

// At most five seconds and half of the grace period: what a client elsewhere needs to hear that the
// server is going, without using up the time for what is in flight.
void choose_drain(Starting& starting) {
    Serving& serving = starting.spec.serving;
    if (starting.annotations.drain_delay) {
        serving.drain_delay = *starting.annotations.drain_delay;
        serving.drain_share = 0;
    } else if (starting.request.listening == NodeFacts::Listening::everywhere) {
        // `skiff run`: nobody routes to it, and somebody waits for its end.
        serving.drain_delay = Duration::zero();
    }
}

Result<void> choose_serving(Starting& starting) {
    const Annotations& annotations = starting.annotations;
    if (!starting.spec.artifact.serves_http) {
        if (annotations.http_reuse || annotations.http_limits) {
            return fail_because(
                Code::invalid, kConfigError, "annotation skiff/{}: {} serves no HTTP: it is {}",
                annotations.http_reuse ? "http-reuse" : "http-limits",
                starting.command.argv.front(),
                starting.spec.artifact.is_component
                    ? "a component that exports neither wasi:http/incoming-handler nor "
                      "wasi:http/handler, or a command as well"
                    : "a core module, and only components can");
        }
        return {};
    }
    Serving& serving = starting.spec.serving;
    const auto& ports = starting.container.ports;
    auto tcp = std::ranges::find_if(ports, [](const kube::ContainerPort& port) {
        return port.protocol.empty() || port.protocol == "TCP";
    });
    if (tcp != ports.end()) {
        serving.port = static_cast<std::uint16_t>(tcp->containerPort);
    }
    serving.limits = annotations.http_limits.value_or(HttpLimits{});
    if (annotations.http_reuse) {
        serving.reuse_count = annotations.http_reuse->count;
        serving.reuse_concurrent = annotations.http_reuse->concurrent;
    }
    // A server's namespace has its own addresses, or else it stays on the node's one.
    const bool on_one = starting.spec.network == NetworkMode::host &&
                        starting.request.listening == NodeFacts::Listening::node_address;
    if (on_one && !starting.request.network.pod_ips.empty()) {
        serving.address = starting.request.network.pod_ips.front();
    }
    return {};
}

bool needs_network(const Artifact& artifact) {
    return artifact.opens_sockets || artifact.serves_http;
}

// Everything between the image and the start.
Task<Result<void>> prepare(Starting& starting) {
    SKIFF_CO_CHECK(identify(starting));
    SKIFF_CO_TRY(starting.spec.termination_message_path, termination_path(starting.container));
    SKIFF_CO_TRY(starting.annotations, annotations_of(*starting.request.pod, starting.container));
    starting.spec.egress = starting.annotations.egress.value_or(starting.request.default_egress);
    starting.spec.http = starting.annotations.http;
    starting.spec.coredump = starting.annotations.coredump;
    EnvironmentSources sources{starting.ports.objects, starting.ports.volumes,
                               starting.request.volumes};
    auto environment = co_await resolve_environment(
        std::move(sources), starting.request.pod, starting.container.name, starting.request.facts,
        starting.spec.image.config.env, starting.request.network.hostname);
    if (!environment) {
        co_return fail(std::move(environment.error()));
    }
    starting.spec.env = std::move(environment->variables);
    SKIFF_CO_TRY(starting.command,
                 command_of(starting.container, starting.spec.image, environment->declared));
    auto mounted = co_await mount(starting, environment->declared);
    if (!mounted) {
        co_return fail(std::move(mounted.error()));
    }
    auto compiled = co_await compile(starting);
    if (!compiled) {
        co_return fail(std::move(compiled.error()));
    }
    choose_stop(starting);
    starting.spec.function = starting.command.function;
    starting.spec.argv = starting.command.argv;
    auto mode = co_await starting.ports.network.mode_for(*starting.request.pod, starting.container,
                                                         needs_network(starting.spec.artifact));
    if (!mode) {
        co_return fail(std::move(mode.error()).with_default_reason(kCreateError));
    }
    starting.spec.network = *mode;
    choose_drain(starting);
    SKIFF_CO_CHECK(choose_serving(starting));
    co_return Result<void>();
}

// A core module cannot listen or connect, whatever its pod or its imports expect.
void tell_of_sockets(const Starting& starting) {
    const Artifact& artifact = starting.spec.artifact;
    const auto& ports = starting.container.ports;
    if (artifact.is_component || (ports.empty() && !artifact.wants_sockets)) {
        return;
    }
    // Standard libraries import the calls whether they are used or not: no reason for a warning.
    EventType type = ports.empty() ? EventType::normal : EventType::warning;
    std::string what = ports.empty()
                           ? std::string("the module's calls for sockets fail")
                           : fmt::format("nothing listens on port {}", ports.front().containerPort);
    starting.ports.events.emit(
        *starting.request.pod, starting.container.name, type, "WithoutEffect",
        fmt::format("{} is a core module, and WASI 0.1 has no sockets: {}; build it as a component",
                    starting.command.argv.front(), what));
}

Task<Result<ContainerId>> launch(Starting& starting) {
    auto id = co_await starting.ports.runtime.start(starting.spec);
    if (!id) {
        co_return fail(std::move(id.error()).with_default_reason("RunContainerError"));
    }
    const kube::Pod& pod = *starting.request.pod;
    EventSink& events = starting.ports.events;
    events.emit(pod, starting.container.name, EventType::normal, "Created", "Container created");
    events.emit(pod, starting.container.name, EventType::normal, "Started", "Container started");
    tell_of_sockets(starting);
    if (starting.spec.artifact.serves_http) {
        const Serving& serving = starting.spec.serving;
        const std::string host = serving.address.find(':') == std::string::npos
                                     ? serving.address
                                     : "[" + serving.address + "]";
        events.emit(pod, starting.container.name, EventType::normal, "Serving",
                    host.empty() ? fmt::format("Serving HTTP on port {}", serving.port)
                                 : fmt::format("Serving HTTP on {}:{}", host, serving.port));
    }
    co_return std::move(*id);
}

void tell_failure(const Starting& starting, const Error& error) {
    if (error.code == Code::cancelled) {
        return;
    }
    starting.ports.events.emit(*starting.request.pod, starting.container.name, EventType::warning,
                               "Failed", "Error: " + error.message);
}

}  // namespace

Task<Result<ContainerId>> start_container(const Ports& ports, StartRequest request) {
    const kube::Container* container = kube::find_container(*request.pod, request.container);
    if (container == nullptr) {
        co_return fail_because(Code::internal, kConfigError, "container {} not in its pod",
                               request.container);
    }
    std::shared_ptr<const kube::Pod> pod = request.pod;
    auto image = co_await ports.images.ensure(*pod, container->name, container->image,
                                              container->imagePullPolicy);
    if (!image) {
        co_return fail(std::move(image.error()).with_default_reason("ErrImagePull"));
    }
    Starting starting{ports, std::move(request), *container, {}, {}, {}};
    starting.spec.image = std::move(*image);
    describe(starting);
    auto prepared = co_await prepare(starting);
    if (!prepared) {
        tell_failure(starting, prepared.error());
        co_return fail(std::move(prepared.error()));
    }
    auto id = co_await launch(starting);
    if (!id) {
        tell_failure(starting, id.error());
    }
    co_return id;
}

}  // namespace skiff::pods
