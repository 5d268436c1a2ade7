#include "node/exec_plugin.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <set>

#include "async/both.h"
#include "base/text.h"
#include "http/fd_stream.h"
#include "os/child.h"

namespace skiff::node {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kShownErrorMax = 300;
constexpr std::size_t kPieceBytes = 4096;

// The file to run; empty if there is none.
fs::path find_program(const std::string& command) {
    if (command.find('/') != std::string::npos) {
        return ::access(command.c_str(), X_OK) == 0 ? fs::path(command) : fs::path();
    }
    const char* path = std::getenv("PATH");
    for (std::string_view folder : split(path == nullptr ? "/usr/bin:/bin" : path, ':')) {
        fs::path file = fs::path(folder) / command;
        // An empty entry would be the working folder, which nobody chose.
        if (!folder.empty() && ::access(file.c_str(), X_OK) == 0) {
            return file;
        }
    }
    return {};
}

std::vector<std::string> environment_of(const kube::ExecPlugin& plugin, const std::string& info) {
    std::vector<std::string> list;
    std::set<std::string> names = {"KUBERNETES_EXEC_INFO"};
    list.push_back("KUBERNETES_EXEC_INFO=" + info);
    // The last of a name wins, as where a shell sets them one after the other.
    for (auto entry = plugin.env.rbegin(); entry != plugin.env.rend(); ++entry) {
        if (names.insert(entry->first).second) {
            list.push_back(entry->first + "=" + entry->second);
        }
    }
    for (char** entry = environ; *entry != nullptr; ++entry) {
        std::string text = *entry;
        if (!names.contains(text.substr(0, text.find('=')))) {
            list.push_back(std::move(text));
        }
    }
    return list;
}

// Until it has ended; then whatever else is in its session ends, too.
async::Task<Result<os::ProcessExit>> wait_for(os::SessionChild& child, SteadyTime deadline) {
    SKIFF_CO_CHECK(co_await async::wait_readable(child.pidfd(), deadline));
    child.kill();
    co_return child.reap();
}

// A failure ends the child, so that nobody waits for what else it has to say.
async::Task<Result<std::string>> read_bounded(int fd, Bytes bytes_max, SteadyTime deadline,
                                              os::SessionChild& child) {
    http::FdStream stream(fd);
    std::string text;
    char piece[kPieceBytes];
    while (true) {
        auto size = co_await stream.read_some(piece, deadline);
        if (!size) {
            child.kill();
            co_return fail(std::move(size.error()));
        }
        if (*size == 0) {
            co_return text;
        }
        text.append(piece, *size);
        if (text.size() > bytes_max.value) {
            child.kill();
            co_return fail(Code::exhausted, "it wrote more than {}", format_as(bytes_max));
        }
    }
}

Result<os::Pipe> make_output_pipe() {
    SKIFF_TRY(auto pipe, os::make_pipe());
    if (::fcntl(pipe.read.get(), F_SETFL, O_NONBLOCK) != 0) {
        return fail_errno(errno, "pipe");
    }
    return pipe;
}

}  // namespace

async::Task<Result<std::string>> run_exec_plugin(kube::ExecPlugin plugin, std::string info,
                                                 PluginLimits limits) {
    os::SpawnSpec spec;
    spec.program = find_program(plugin.command);
    if (spec.program.empty()) {
        std::string hint = plugin.install_hint.empty() ? "" : ": " + plugin.install_hint;
        co_return fail(Code::not_found, "no such program{}", bounded_utf8(hint, kShownErrorMax));
    }
    SKIFF_CO_TRY(auto out, make_output_pipe());
    SKIFF_CO_TRY(auto err, make_output_pipe());
    spec.argv = plugin.args;
    spec.argv.insert(spec.argv.begin(), plugin.command);
    spec.env = environment_of(plugin, info);
    spec.fds = {os::PassedFd{out.write.get(), 1}, os::PassedFd{err.write.get(), 2}};
    spec.session = os::Session::own;
    spec.on_parent_death = os::OnParentDeath::die;
    SKIFF_CO_TRY(auto spawned, os::spawn(spec));
    os::SessionChild child(std::move(spawned));
    out.write.reset();
    err.write.reset();
    SteadyTime deadline = after(limits.time);
    auto reading = async::both(read_bounded(out.read.get(), limits.output, deadline, child),
                               read_bounded(err.read.get(), limits.output, deadline, child));
    auto [output, errors] = co_await std::move(reading);
    if (!output || !errors) {
        Error problem = !output ? std::move(output.error()) : std::move(errors.error());
        if (problem.code == Code::timeout) {
            problem.message = fmt::format("it did not end within {}", format_duration(limits.time));
        }
        co_return fail(std::move(problem));
    }
    SKIFF_CO_TRY(auto exit, co_await wait_for(child, deadline));
    if (exit.shell_code() != 0) {
        std::string_view told = trim(*errors);
        told.remove_prefix(told.size() - std::min(told.size(), kShownErrorMax));
        co_return fail(Code::internal, "exit code {}: {}", exit.shell_code(),
                       bounded_utf8(told, kShownErrorMax));
    }
    co_return std::move(*output);
}

}  // namespace skiff::node
