#include "engine/child.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <limits>

#include "base/text.h"
#include "base/types.h"
#include "wire/runner_page.h"

namespace skiff::engine {

namespace {

// The limit that held when it ended: the agent may have changed it. 0: none.
std::uint64_t limit_of(const Child& child, const Result<wire::PageView>& page) {
    std::uint64_t now = page ? page->memory_bytes_now : 0;
    if (now == std::numeric_limits<std::uint64_t>::max()) {
        return 0;
    }
    return now == 0 ? child.memory_bytes_limit : now;
}

std::string oom_message(std::uint64_t limit) {
    if (limit == 0) {
        return "the kernel killed it: out of memory";
    }
    return fmt::format("the kernel killed it: more memory than its limit of {}",
                       format_as(Bytes{limit}));
}

void judge_signal(const Child& child, int signal, bool oom, wire::Exited& exited) {
    exited.signal = signal;
    exited.exit_code = 128 + signal;
    exited.kind = wire::ExitKind::signalled;
    if (signal == SIGKILL && child.intent == Intent::stop) {
        exited.kind = wire::ExitKind::stopped;
        exited.exit_code = 143;
    } else if (signal == SIGKILL && child.intent == Intent::kill) {
        exited.kind = wire::ExitKind::killed;
    } else if (oom) {
        exited.kind = wire::ExitKind::out_of_memory;
        exited.exit_code = 137;
    } else if (signal == SIGSYS) {
        exited.kind = wire::ExitKind::violated;
        exited.message = "it made a system call that no guest may make";
    } else {
        exited.message = fmt::format("its process died of signal {}", signal);
    }
}

}  // namespace

wire::Exited judge_end(const Child& child, int wait_status, std::string_view page,
                       std::uint64_t oom_kills, std::int64_t now_ns) {
    wire::Exited exited;
    const auto view = wire::parse_page(page);
    if (WIFSIGNALED(wait_status)) {
        judge_signal(child, WTERMSIG(wait_status), oom_kills > child.oom_kills_before, exited);
        exited.memory_bytes_peak = view ? view->memory_bytes_peak : 0;
        if (exited.kind == wire::ExitKind::out_of_memory) {
            exited.message = oom_message(limit_of(child, view));
        }
    } else {
        const int code = WEXITSTATUS(wait_status);
        if (view && view->outcome != 0) {
            exited = wire::exited_from_page(*view);
        }
        // The page is the runner's word, the status the kernel's.
        if (!view || view->outcome == 0 || exited.exit_code != code) {
            exited = wire::Exited{};
            exited.exit_code = code;
        }
    }
    exited.container_id = child.container_id;
    exited.pod_uid = child.pod_uid;
    exited.pid = static_cast<std::uint32_t>(child.pid);
    exited.start_time = child.start_time;
    exited.started_ns = child.started_ns;
    // A guest cannot end before it began or later than it was seen dead.
    const bool plausible = exited.finished_ns >= child.started_ns && exited.finished_ns <= now_ns;
    exited.finished_ns = plausible ? exited.finished_ns : now_ns;
    return exited;
}

std::chrono::milliseconds drain_time(const Child& child, std::string_view page,
                                     std::chrono::milliseconds grace) {
    const auto view = wire::parse_page(page);
    if (!view || view->counters.listens == 0) {
        return std::chrono::milliseconds(0);
    }
    constexpr std::uint64_t kMsMax = 1000ULL * 3600 * 24;
    const std::chrono::milliseconds wanted(std::min(child.drain_ms, kMsMax));
    return std::min(wanted, grace / std::max(child.drain_share, 1U));
}

std::uint64_t parse_oom_kills(std::string_view text) {
    for (const auto line : split(text, '\n')) {
        constexpr std::string_view kKey = "oom_kill ";
        if (line.starts_with(kKey)) {
            return parse_uint(trim(line.substr(kKey.size()))).value_or(0);
        }
    }
    return 0;
}

}  // namespace skiff::engine
