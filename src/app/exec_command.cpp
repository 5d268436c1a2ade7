#include "app/exec_command.h"

#include <fcntl.h>
#include <unistd.h>

#include "app/commands.h"
#include "app/local.h"
#include "os/packet.h"
#include "state/paths.h"
#include "wire/exec.h"

namespace skiff::app {

namespace {

// No event loop: the command has the streams, and a signal that ends this process ends it, too.
Result<wire::ExecAnswer> ask(const ExecOptions& options) {
    state::Paths paths;
    paths.run_dir = options.run_dir;
    auto socket = os::connect_packets(paths.exec_socket());
    if (!socket) {
        return fail(no_node(std::move(socket.error()), paths.exec_socket()));
    }
    wire::ExecRequest request;
    request.pod_namespace = options.ns;
    request.pod = options.pod;
    request.container = options.container;
    request.command = options.command;
    request.with_terminal = options.terminal;
    request.with_stdin = options.interactive && !options.terminal;
    std::vector<int> fds = {STDOUT_FILENO, STDERR_FILENO};
    if (options.terminal) {
        fds = {STDIN_FILENO};
    } else if (options.interactive) {
        fds.insert(fds.begin(), STDIN_FILENO);
    }
    SKIFF_TRY(std::string packet, wire::encode_exec_request(request));
    SKIFF_TRY(auto sent, os::send_packet(socket->get(), packet, fds));
    if (sent != os::Sent::whole) {
        return fail(Code::unavailable, "the node does not read");
    }
    ::fcntl(socket->get(), F_SETFL, 0);
    std::string buffer(wire::kExecPacketBytesMax, '\0');
    SKIFF_TRY(auto answer, os::receive_packet(socket->get(), buffer, os::Wait::yes));
    if (answer.size == 0) {
        return fail(Code::unavailable, "the node has ended, and the command with it");
    }
    return wire::decode_exec_answer(std::string_view(buffer).substr(0, answer.size));
}

}  // namespace

int exec_command(const ExecOptions& options) {
    if (options.terminal && ::isatty(STDIN_FILENO) == 0) {
        print_error("-t: standard input is no terminal");
        return kExitUsage;
    }
    auto answer = ask(options);
    if (!answer) {
        print_error(format_as(answer.error()));
        return kExitCannotRun;
    }
    if (!answer->message.empty()) {
        print_error(answer->message);
    }
    return answer->ran ? answer->exit_code : kExitCannotRun;
}

}  // namespace skiff::app
