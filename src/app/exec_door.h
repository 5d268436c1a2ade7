// Where `skiff exec` comes in: commands in containers, over `<run-dir>/exec.sock`.
#pragma once

#include <filesystem>
#include <memory>

#include "app/rooms.h"
#include "async/scope.h"
#include "async/task.h"
#include "os/fd.h"
#include "wire/exec.h"

namespace skiff::app {

class ExecDoor {
public:
    // `rooms` outlives the door.
    ExecDoor(async::Executor executor, Rooms& rooms);

    [[nodiscard]] Result<void> open(const std::filesystem::path& socket);
    // Ends every command that came in here. Before destruction, once open() was called.
    [[nodiscard]] async::Task<void> close();

private:
    static constexpr std::size_t kClientsMax = 64;

    // Counts itself.
    struct Client {
        Client(os::Fd its, std::size_t& all) : socket(std::move(its)), count(all) { ++count; }
        ~Client() { --count; }
        Client(const Client&) = delete;
        Client& operator=(const Client&) = delete;
        os::Fd socket;
        async::Event gone;
        std::size_t& count;
    };
    [[nodiscard]] async::Task<void> accept_for_ever();
    [[nodiscard]] async::Task<void> serve(std::shared_ptr<Client> client);
    // Until the client hangs up; nothing else is expected of it.
    [[nodiscard]] static async::Task<void> watch(std::shared_ptr<Client> client);
    [[nodiscard]] async::Task<Result<wire::ExecAnswer>> run(wire::ExecRequest request,
                                                            std::vector<os::Fd> fds);

    Rooms& rooms_;
    os::Fd listener_;
    std::size_t clients_ = 0;
    async::Scope listening_;
    async::Scope serving_;
};

}  // namespace skiff::app
