// A client of the kernel's netlink, as a rule the routing one: messages go in batches, each is
// answered. Over libmnl.
//
// Blocking, for the pool's threads and never for long (the kernel answers at once, or waits for its
// one lock over all interfaces). A socket belongs to the network namespace in which it was opened,
// whatever its thread does later.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "network/ip.h"
#include "os/fd.h"

namespace skiff::network {

// Messages to be sent together. Built from the front: begin() starts a message, put…() and
// open_nest() add to the last one that was begun. What does not fit is noticed by carry_out().
class NetlinkBatch {
public:
    // In one datagram; a pod's whole wiring is a tenth of it.
    static constexpr std::size_t kBytesMax = 16384;

    NetlinkBatch();

    // A message of `type` (RTM_…) with NLM_F_… `flags`; `what` names it in errors ("add route
    // 10.0.0.1"). Returns its family header, zeroed, valid until the next call.
    template <typename Header>
    Header& begin(std::uint16_t type, std::uint16_t flags, std::string what) {
        return *static_cast<Header*>(begin_message(type, flags, std::move(what), sizeof(Header)));
    }
    // An answer of this errno is none of the last message's failures: what is asked for is so
    // already.
    void tolerate(int errno_value) { messages_.back().tolerated = errno_value; }

    void put(std::uint16_t type, std::string_view bytes);
    void put_u32(std::uint16_t type, std::uint32_t value);
    void put_u8(std::uint16_t type, std::uint8_t value);
    // With its terminating zero.
    void put_text(std::uint16_t type, std::string_view text);
    // Attributes until close_nest() are inside this one.
    void open_nest(std::uint16_t type);
    // A second family header, inside a nest (VETH_INFO_PEER).
    void put_header(std::string_view bytes);
    void close_nest();

    [[nodiscard]] bool empty() const { return messages_.empty(); }
    [[nodiscard]] std::size_t size() const { return messages_.size(); }

private:
    friend class Netlink;
    struct Message {
        std::size_t offset = 0;
        std::string what;
        int tolerated = 0;
    };

    [[nodiscard]] void* begin_message(std::uint16_t type, std::uint16_t flags, std::string what,
                                      std::size_t header_bytes);
    [[nodiscard]] nlmsghdr* last() const;

    std::vector<std::uint64_t> buffer_;  // of words, for its alignment
    std::vector<Message> messages_;
    std::vector<nlattr*> nests_;
    bool overflowed_ = false;
};

// One attribute of an answer; `bytes` lie in the answer.
struct NetlinkAttribute {
    std::uint16_t type = 0;
    std::string_view bytes;
    // Of an attribute of four bytes; nullopt when it has another size.
    [[nodiscard]] std::optional<std::uint32_t> u32() const;
    // Text up to its terminating zero or its end.
    [[nodiscard]] std::string_view text() const;
    // Of two bytes in the network's order; nullopt when it has another size.
    [[nodiscard]] std::optional<std::uint16_t> port() const;
    // Of four bytes or of 16; nullopt when it has another size.
    [[nodiscard]] std::optional<IpAddress> address() const;
    // The attributes inside it.
    [[nodiscard]] std::vector<NetlinkAttribute> nested() const;
};

// One message of an answer. Everything in it was checked against the bytes that came.
struct NetlinkAnswer {
    std::uint16_t type = 0;
    std::uint16_t flags = 0;
    std::uint32_t sequence = 0;
    std::string_view payload;
    // The payload's header; nullptr when it is shorter than one.
    template <typename Header>
    [[nodiscard]] const Header* header() const {
        return payload.size() < sizeof(Header) ? nullptr
                                               : reinterpret_cast<const Header*>(payload.data());
    }
    // The attributes behind a header of this size.
    [[nodiscard]] std::vector<NetlinkAttribute> attributes(std::size_t header_bytes) const;
};

// Takes a datagram apart. A message whose length is wrong ends it. Pure.
[[nodiscard]] std::vector<NetlinkAnswer> parse_answers(std::string_view datagram);

// What the kernel says about a message: its errno (0: done) and, where it gives one, its
// explanation. nullopt for an answer that is no acknowledgement. Pure.
struct Acknowledgement {
    int error = 0;
    std::string explanation;
};
[[nodiscard]] std::optional<Acknowledgement> parse_acknowledgement(const NetlinkAnswer& answer);

class Netlink {
public:
    // In the network namespace of the calling thread. `protocol`: NETLINK_….
    [[nodiscard]] static Result<Netlink> open(int protocol = NETLINK_ROUTE);

    // Sends all messages and waits for their acknowledgements. Every message is tried; the first
    // failure that is not tolerated is returned, as the kernel's errno says (errno_error()), with
    // the message's name and the kernel's explanation. Fails with exhausted, and sends nothing, for
    // a batch that is too large; timeout when the kernel is silent.
    [[nodiscard]] Result<void> carry_out(NetlinkBatch& batch);

    // Sends one message (with NLM_F_DUMP for a list) and hands each part of the answer to `each`. A
    // list that changed while it was made is asked for again, so `each` may be told the same thing
    // twice. Fails as carry_out().
    [[nodiscard]] Result<void> ask(NetlinkBatch& batch,
                                   const std::function<void(const NetlinkAnswer&)>& each);

private:
    explicit Netlink(os::Fd fd) : fd_(std::move(fd)) {}
    enum class Heard { all, interrupted };
    [[nodiscard]] Result<void> send(NetlinkBatch& batch);
    // Into `room`, where the answers lie until the next one comes.
    [[nodiscard]] Result<std::vector<NetlinkAnswer>> receive(std::vector<std::uint64_t>& room);
    [[nodiscard]] Result<Heard> hear(const NetlinkBatch& batch,
                                     const std::function<void(const NetlinkAnswer&)>& each);

    os::Fd fd_;
    std::uint32_t sequence_ = 0;  // of the last message that was sent
};

}  // namespace skiff::network
