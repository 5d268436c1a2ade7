#include "pods/hooks.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "pods/observed.h"

namespace skiff::pods {
namespace {

// Of a command's words in a message that an API object holds.
constexpr std::size_t kOutputBytesMax = 1024;

const std::optional<kube::LifecycleHandler>& handler_of(const HookRun& hook) {
    const kube::Lifecycle& lifecycle = *hook.container.lifecycle;
    return hook.which == HookRun::Which::post_start ? lifecycle.postStart : lifecycle.preStop;
}

bool is_shown_running(const kube::PodStatus& status, const std::string& container,
                      const ContainerId& run) {
    const auto* found = find_status(status, container, run);
    return found != nullptr && found->state.running;
}

std::string failure(const HookRun& hook, std::string_view kind, std::string_view what,
                    std::string_view error, std::string_view output) {
    return fmt::format(
        "{} lifecycle hook ({}) for Container \"{}\" in Pod \"{}\" failed - error: {}, message: "
        "\"{}\"",
        kind, what, hook.container.name, describe_pod(*hook.pod), error,
        bounded_utf8(output, kOutputBytesMax));
}

Task<Result<void>> run_command(const Ports& ports, HookRun& hook) {
    CommandRun run;
    run.container = hook.run;
    run.command = handler_of(hook)->exec->command;
    run.timeout = hook.timeout;
    const std::string words = fmt::format("{}", fmt::join(run.command, " "));
    const std::string what = "[" + words + "]";
    auto ended = co_await ports.commands.run(std::move(run));
    if (!ended) {
        std::string text = failure(hook, "Exec", what, ended.error().message, {});
        co_return fail(ended.error().code, "{}", text);
    }
    if (ended->exit_code != 0) {
        std::string error = fmt::format("command '{}' exited with {}: {}", words, ended->exit_code,
                                        bounded_utf8(ended->output, kOutputBytesMax));
        std::string text = failure(hook, "Exec", what, error, ended->output);
        co_return fail(Code::invalid, "{}", text);
    }
    co_return Result<void>();
}

Task<Result<void>> send_request(const Ports& ports, HookRun& hook) {
    HookRequest request;
    request.action = *handler_of(hook)->httpGet;
    request.address = hook.address;
    request.container = hook.container;
    request.timeout = hook.timeout;
    std::string path = request.action.path;
    auto answered = co_await ports.probes.call_hook(std::move(request));
    if (!answered) {
        std::string text = failure(hook, "HTTP", path, answered.error().message, {});
        co_return fail(answered.error().code, "{}", text);
    }
    if (*answered == Probes::HookAnswer::given_without_tls) {
        ports.events.emit(*hook.pod, hook.container.name, EventType::warning,
                          "LifecycleHTTPFallback",
                          fmt::format("request to HTTPS lifecycle hook {} got HTTP response, retry "
                                      "with HTTP succeeded",
                                      path));
    }
    co_return Result<void>();
}

}  // namespace

bool post_start_pending(const kube::Container& container, const ContainerId& run,
                        const PodMemory& memory, const kube::PodStatus& previous) {
    if (!container.lifecycle || !container.lifecycle->postStart ||
        is_shown_running(previous, container.name, run)) {
        return false;
    }
    auto found = memory.containers.find(container.name);
    return found == memory.containers.end() || found->second.post_start.run != run ||
           found->second.post_start.phase != HookMemory::Phase::done;
}

PodView without_unstarted(const PodView& view, const kube::Pod& pod, const PodMemory& memory,
                          const kube::PodStatus& previous) {
    PodView shown = view;
    for (const auto* list : {&pod.spec.initContainers, &pod.spec.containers}) {
        for (const kube::Container& container : *list) {
            ContainerView& its = shown.at(container.name);
            if (its.runs() && post_start_pending(container, its.latest->id, memory, previous)) {
                its.latest = std::exchange(its.before, std::nullopt);
            }
        }
    }
    return shown;
}

PreStop pre_stop_of(const kube::Container& container, const ContainerId& run,
                    const ContainerMemory& memory) {
    if (!container.lifecycle || !container.lifecycle->preStop) {
        return PreStop::over;
    }
    if (memory.pre_stop.run != run) {
        return PreStop::due;
    }
    return memory.pre_stop.phase == HookMemory::Phase::running ? PreStop::running : PreStop::over;
}

Task<Result<void>> run_hook(const Ports& ports, HookRun hook) {
    const kube::LifecycleHandler& handler = *handler_of(hook);
    if (handler.exec) {
        co_return co_await run_command(ports, hook);
    }
    if (handler.httpGet) {
        co_return co_await send_request(ports, hook);
    }
    if (handler.sleep) {
        // The API server allows no more than the grace period.
        Duration length = std::min(bounded_grace(handler.sleep->seconds), hook.timeout);
        co_return co_await async::sleep_for(length);
    }
    co_return fail(Code::invalid, "cannot run the hook: it has none of exec, httpGet, sleep");
}

}  // namespace skiff::pods
