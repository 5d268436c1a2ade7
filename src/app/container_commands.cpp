#include "app/container_commands.h"

#include <unistd.h>

#include <array>

#include "async/both.h"
#include "async/scope.h"
#include "os/fd.h"
#include "pods/exec.h"

namespace skiff::app {

namespace {

using async::Task;

// Reads to the end and keeps the beginning: a command that says more is not held up.
Task<Result<std::string>> read_output(os::Fd output) {
    std::string kept;
    std::array<char, 4096> bytes{};
    for (;;) {
        SKIFF_CO_CHECK(co_await async::wait_readable(output.get()));
        const ssize_t n = ::read(output.get(), bytes.data(), bytes.size());
        if (n <= 0) {
            co_return std::move(kept);
        }
        const std::size_t room = pods::Commands::kOutputBytesMax - kept.size();
        kept.append(bytes.data(), std::min(room, static_cast<std::size_t>(n)));
    }
}

Task<Result<pods::CommandEnd>> run_to_end(std::unique_ptr<pods::ExecSession> session,
                                          os::Fd output) {
    auto reading = read_output(std::move(output));
    auto [text, exit] = co_await async::both(std::move(reading), session->wait());
    if (!exit) {
        co_return fail(std::move(exit.error()));
    }
    if (!text) {
        co_return fail(std::move(text.error()));
    }
    pods::CommandEnd end;
    end.exit_code = exit->exit_code;
    end.output = std::move(*text);
    co_return std::move(end);
}

}  // namespace

Task<Result<pods::CommandEnd>> ContainerCommands::run(pods::CommandRun run) {
    SKIFF_CO_TRY(os::Pipe pipe, os::make_pipe());
    pods::ExecRequest request;
    request.command = std::move(run.command);
    request.stdout_fd = pipe.write.get();
    request.stderr_fd = pipe.write.get();
    auto begun =
        co_await pods::exec_in(images_, runtime_, std::move(run.container), std::move(request));
    if (!begun) {
        co_return fail(std::move(begun.error()));
    }
    // The command's alone now: it ends with the command.
    pipe.write.reset();
    auto work = run_to_end(std::move(*begun), std::move(pipe.read));
    co_return co_await async::with_deadline(std::move(work), after(run.timeout), "the command");
}

}  // namespace skiff::app
