#include "server/remote_commands.h"

namespace skiff::server {

namespace {

tl::unexpected<Error> no_attach() {
    return fail(Code::unsupported, "attach is not supported by this version of Skiff");
}

}  // namespace

Result<void> RemoteCommands::check_attach(const RemoteTarget& /*target*/) const {
    return no_attach();
}

async::Task<Result<std::unique_ptr<RemoteSession>>> RemoteCommands::attach(
    RemoteTarget /*target*/) {
    co_return no_attach();
}

}  // namespace skiff::server
