#include "runtime/inspect.h"

#include <signal.h>
#include <unistd.h>

#include "os/file.h"
#include "os/process.h"

namespace skiff::runtime {

namespace {

// A module of the largest size is read in well below a second.
constexpr int kInspectSeconds = 30;
constexpr Bytes kMemoryMax = 2_GiB;

}  // namespace

Result<wire::CompileReport> inspect_module(const InspectRequest& request) {
    SKIFF_TRY(os::Fd report, os::make_memfd("report"));
    SKIFF_TRY(os::Fd unused, os::open("/dev/null", O_WRONLY));
    os::SpawnSpec spec;
    spec.program = request.engine_program;
    spec.argv = {"skiff-engine",
                 "compile",
                 "--inspect",
                 fmt::format("--engine={}", request.handler),
                 fmt::format("--memory-bytes={}", kMemoryMax.value),
                 fmt::format("--cpu-seconds={}", kInspectSeconds)};
    spec.fds = {os::PassedFd{request.module, wire::kCompileModuleFd},
                os::PassedFd{unused.get(), wire::kCompileArtifactFd}, os::PassedFd{2, 2},
                os::PassedFd{report.get(), wire::kCompileReportFd}};
    spec.session = os::Session::own;
    spec.on_parent_death = os::OnParentDeath::die;
    SKIFF_TRY(os::Spawned child, os::spawn(spec));
    bool ended = os::wait_ended(child.pidfd.get(), kInspectSeconds * 1000);
    if (!ended) {
        (void)os::send_signal(child.pidfd.get(), SIGKILL);
        (void)os::wait_ended(child.pidfd.get(), 2000);
    }
    (void)os::reap(child.pidfd.get());
    if (!ended) {
        return fail(Code::timeout, "reading the module took longer than {} s", kInspectSeconds);
    }
    ::lseek(report.get(), 0, SEEK_SET);
    SKIFF_TRY(std::string bytes, os::read_all(report.get(), Bytes{wire::kCompileReportBytesMax}));
    if (bytes.empty()) {
        return fail(Code::exhausted, "the process that read the module ended without an answer");
    }
    return wire::decode<wire::CompileReport>(bytes);
}

}  // namespace skiff::runtime
