#include "app/exec_door.h"

#include <sys/socket.h>

#include "base/log.h"
#include "os/packet.h"

namespace skiff::app {

namespace {

constexpr auto kAcceptPause = std::chrono::milliseconds(100);
constexpr auto kRequestMax = std::chrono::seconds(10);

struct Received {
    wire::ExecRequest request;
    std::vector<os::Fd> fds;
};

Result<Received> receive(int socket) {
    std::string buffer(wire::kExecPacketBytesMax, '\0');
    SKIFF_TRY(auto packet, os::receive_packet(socket, buffer, os::Wait::no));
    if (packet.would_block || packet.size == 0) {
        return fail(Code::unavailable, "the client has gone");
    }
    Received received;
    received.fds = std::move(packet.fds);
    SKIFF_TRY(received.request,
              wire::decode_exec_request(std::string_view(buffer).substr(0, packet.size)));
    if (received.fds.size() != wire::exec_fds(received.request)) {
        return fail(Code::invalid, "the request comes with {} descriptors instead of {}",
                    received.fds.size(), wire::exec_fds(received.request));
    }
    return received;
}

}  // namespace

ExecDoor::ExecDoor(async::Executor executor, Rooms& rooms)
    : rooms_(rooms), listening_(executor), serving_(executor) {}

Result<void> ExecDoor::open(const std::filesystem::path& socket) {
    SKIFF_TRY(listener_, os::listen_packets(socket));
    listening_.spawn("exec door", accept_for_ever());
    return {};
}

async::Task<void> ExecDoor::close() {
    co_await listening_.stop();
    co_await serving_.stop();
    listener_.reset();
}

async::Task<void> ExecDoor::accept_for_ever() {
    while (true) {
        auto ready = co_await async::wait_readable(listener_.get());
        if (!ready) {
            co_return;
        }
        auto socket = os::accept_packets(listener_.get());
        if (!socket) {
            // Out of descriptors, say: the client still waits, so the listener stays readable.
            (void)co_await async::sleep_for(kAcceptPause);
            continue;
        }
        if (clients_ >= kClientsMax) {
            log::warn("too many commands at once, one is refused", log::kv("most", kClientsMax));
            continue;
        }
        serving_.spawn("exec", serve(std::make_shared<Client>(std::move(*socket), clients_)));
    }
}

async::Task<void> ExecDoor::watch(std::shared_ptr<Client> client) {
    auto ready = co_await async::wait_readable(client->socket.get());
    if (ready) {
        client->gone.set();
    }
}

async::Task<void> ExecDoor::serve(std::shared_ptr<Client> client) {
    auto deadline = after(kRequestMax);
    auto ready = co_await async::wait_readable(client->socket.get(), deadline);
    if (!ready) {
        co_return;
    }
    wire::ExecAnswer answer;
    auto received = receive(client->socket.get());
    if (received) {
        serving_.spawn("exec client", watch(client));
        auto work = run(std::move(received->request), std::move(received->fds));
        auto done =
            co_await async::run_until(std::move(work), client->gone, async::kNoDeadline, "command");
        if (done) {
            answer = std::move(*done);
        } else {
            answer.message = format_as(done.error());
        }
    } else {
        answer.message = received.error().message;
    }
    (void)os::send_packet(client->socket.get(), wire::encode_exec_answer(answer), {});
    // Wakes the watch, which has the socket as well.
    ::shutdown(client->socket.get(), SHUT_RDWR);
}

async::Task<Result<wire::ExecAnswer>> ExecDoor::run(wire::ExecRequest request,
                                                    std::vector<os::Fd> fds) {
    pods::ExecRequest its;
    its.container = std::move(request.container);
    its.command = std::move(request.command);
    its.tty = request.with_terminal;
    if (request.with_terminal) {
        its.stdin_fd = its.stdout_fd = its.stderr_fd = fds[0].get();
    } else {
        std::size_t next = 0;
        its.stdin_fd = request.with_stdin ? fds[next++].get() : -1;
        its.stdout_fd = fds[next++].get();
        its.stderr_fd = fds[next].get();
    }
    PodName pod{request.pod_namespace, request.pod};
    SKIFF_CO_TRY(auto session, co_await rooms_.exec(std::move(pod), std::move(its)));
    // They are the command's now: who reads its output sees its end.
    fds.clear();
    SKIFF_CO_TRY(pods::ContainerExit exit, co_await session->wait());
    wire::ExecAnswer answer;
    answer.ran = true;
    answer.exit_code = exit.exit_code;
    answer.message = std::move(exit.message);
    co_return answer;
}

}  // namespace skiff::app
