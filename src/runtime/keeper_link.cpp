#include "runtime/keeper_link.h"

#include <unistd.h>

#include "os/packet.h"

namespace skiff::runtime {

namespace {

using async::Task;

constexpr auto kSendRetry = std::chrono::milliseconds(1);

}  // namespace

Task<Result<std::unique_ptr<KeeperLink>>> KeeperLink::connect(std::filesystem::path socket,
                                                              SteadyTime deadline) {
    SKIFF_CO_TRY(os::Fd fd, os::connect_packets(socket));
    std::unique_ptr<KeeperLink> link(new KeeperLink(std::move(fd)));
    wire::Hello hello;
    hello.agent = fmt::format("skiff {} pid {}", SKIFF_VERSION, ::getpid());
    wire::Message greeting = hello;
    std::vector<int> none;
    SKIFF_CO_CHECK(co_await link->send(std::move(greeting), std::move(none), deadline));
    SKIFF_CO_TRY(Received answer, co_await link->receive(deadline));
    auto* welcome = std::get_if<wire::Welcome>(&answer.message);
    if (welcome == nullptr) {
        co_return fail(Code::corrupt, "the keeper did not begin with Welcome");
    }
    link->welcome_ = std::move(*welcome);
    co_return std::move(link);
}

Task<Result<void>> KeeperLink::send(wire::Message message, std::vector<int> fds,
                                    SteadyTime deadline) {
    if (fds.size() > wire::kMessageFdsMax) {
        co_return fail(Code::exhausted, "more than {} descriptors for one container",
                       wire::kMessageFdsMax);
    }
    std::string packet = wire::encode_message(message);
    if (packet.size() > wire::kMessageBytesMax) {
        co_return fail(Code::exhausted, "a message to the keeper is too large");
    }
    while (true) {
        SKIFF_CO_TRY(auto sent, os::send_packet(socket_.get(), packet, fds));
        if (sent == os::Sent::whole) {
            co_return Result<void>{};
        }
        // The buffer holds hundreds of starts, so this is rare; and a second wait on a descriptor
        // that receive() waits for is not to be had.
        if (std::chrono::steady_clock::now() > deadline) {
            co_return fail(Code::timeout, "the keeper does not read");
        }
        SKIFF_CO_CHECK(co_await async::sleep_for(kSendRetry));
    }
}

Task<Result<KeeperLink::Received>> KeeperLink::receive(SteadyTime deadline) {
    std::string buffer;
    buffer.resize(wire::kMessageBytesMax);
    while (true) {
        SKIFF_CO_TRY(auto packet, os::receive_packet(socket_.get(), buffer, os::Wait::no));
        if (packet.would_block) {
            SKIFF_CO_CHECK(co_await async::wait_readable(socket_.get(), deadline));
            continue;
        }
        if (packet.size == 0) {
            co_return fail(Code::unavailable, "the keeper closed the connection");
        }
        Received received;
        SKIFF_CO_TRY(received.message,
                     wire::decode_message(std::string_view(buffer).substr(0, packet.size)));
        received.fds = std::move(packet.fds);
        co_return std::move(received);
    }
}

}  // namespace skiff::runtime
