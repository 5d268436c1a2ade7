// What a container's console is made of: kernel objects that outlive the agent.
//
// The guest reads its input from a socket or a terminal whose far end the keeper holds
// (wire::Lend), so that it neither ends nor hangs up while there is no agent. Its output goes to
// FIFOs in the run-dir, which the agent opens only while a client is attached: the runner skips
// what nobody reads, and a reader that dies with the agent is told by the kernel. A terminal's
// output goes through the terminal; its one FIFO carries nothing and only says that somebody reads.
#pragma once

#include <cstdint>
#include <vector>

#include "os/fd.h"
#include "pods/ports.h"
#include "state/paths.h"
#include "wire/grant.h"

namespace skiff::runtime {

// A container's console as its start needs it; all invalid for Console::Kind::none.
struct ConsoleFiles {
    os::Fd far_end;   // the agent's and the keeper's: a socket, or the terminal's master
    os::Fd input;     // the guest's
    os::Fd out;       // the guest's, and its stderr as well for a terminal
    os::Fd err;       // pipes only
    os::Fd audience;  // terminal only; `out` is that of pipes
};

// Makes FIFOs and terminal. What was made is removed by remove_console_files(). For the pool's
// threads.
[[nodiscard]] Result<ConsoleFiles> make_console_files(const state::Paths& paths,
                                                      const ContainerId& id,
                                                      const pods::Console& console);
// Missing ones are fine.
[[nodiscard]] Result<void> remove_console_files(const state::Paths& paths, const ContainerId& id);

// Numbers the guest's descriptors from `next_fd`, in the order of console_fds(); returns the number
// behind them. Pure.
[[nodiscard]] std::int32_t grant_console(const pods::Console& console, std::int32_t next_fd,
                                         wire::Grant& grant);
[[nodiscard]] std::vector<int> console_fds(const ConsoleFiles& files);

// Opens the reading end of a FIFO, not blocking, and drops what an earlier reader had left.
[[nodiscard]] Result<os::Fd> open_output(const std::filesystem::path& fifo);
// Drops what can be read now. For descriptors that do not block.
void drop_input(int fd);

}  // namespace skiff::runtime
