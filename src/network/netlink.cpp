#include "network/netlink.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "base/text.h"

namespace skiff::network {

namespace {

// What the kernel makes of one datagram of a list at the most.
constexpr std::size_t kReceivedBytesMax = 32768;
// The kernel answers within the call; only its lock over all interfaces can make it wait.
constexpr timeval kSilenceMax = {10, 0};
constexpr int kInterruptedMax = 10;
constexpr std::size_t kExplanationMax = 256;

template <typename T>
std::size_t words_for(T bytes) {
    return (bytes + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t);
}

char* bytes_of(std::vector<std::uint64_t>& words) {
    return reinterpret_cast<char*>(words.data());
}

Error error_of(int errno_value, const std::string& what) {
    Error error = errno_error(errno_value, what);
    // An interface that is not there.
    if (errno_value == ENODEV) {
        error.code = Code::not_found;
    }
    return error;
}

}  // namespace

NetlinkBatch::NetlinkBatch() : buffer_(words_for(kBytesMax)) {}

nlmsghdr* NetlinkBatch::last() const {
    auto* start = reinterpret_cast<char*>(const_cast<std::uint64_t*>(buffer_.data()));
    return reinterpret_cast<nlmsghdr*>(start + messages_.back().offset);
}

void* NetlinkBatch::begin_message(std::uint16_t type, std::uint16_t flags, std::string what,
                                  std::size_t header_bytes) {
    SKIFF_ASSERT(nests_.empty());
    std::size_t offset = 0;
    if (!messages_.empty()) {
        offset = messages_.back().offset + MNL_ALIGN(last()->nlmsg_len);
    }
    // A message that does not fit is written over the last one: the batch is not sent any more.
    if (offset + MNL_NLMSG_HDRLEN + MNL_ALIGN(header_bytes) > kBytesMax) {
        overflowed_ = true;
        offset = 0;
    }
    messages_.push_back(Message{offset, std::move(what)});
    nlmsghdr* message = mnl_nlmsg_put_header(bytes_of(buffer_) + offset);
    message->nlmsg_type = type;
    message->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    return mnl_nlmsg_put_extra_header(message, header_bytes);
}

void NetlinkBatch::put(std::uint16_t type, std::string_view bytes) {
    const std::size_t room = kBytesMax - messages_.back().offset;
    if (bytes.size() >= kBytesMax ||
        !mnl_attr_put_check(last(), room, type, bytes.size(), bytes.data())) {
        overflowed_ = true;
    }
}

void NetlinkBatch::put_u32(std::uint16_t type, std::uint32_t value) {
    put(type, {reinterpret_cast<const char*>(&value), sizeof(value)});
}

void NetlinkBatch::put_u8(std::uint16_t type, std::uint8_t value) {
    put(type, {reinterpret_cast<const char*>(&value), sizeof(value)});
}

void NetlinkBatch::put_text(std::uint16_t type, std::string_view text) {
    const std::string terminated(text);
    put(type, {terminated.c_str(), terminated.size() + 1});
}

void NetlinkBatch::open_nest(std::uint16_t type) {
    const std::size_t room = kBytesMax - messages_.back().offset;
    nlattr* nest = mnl_attr_nest_start_check(last(), room, type);
    overflowed_ = overflowed_ || nest == nullptr;
    nests_.push_back(nest);
}

void NetlinkBatch::put_header(std::string_view bytes) {
    const std::size_t room = kBytesMax - messages_.back().offset;
    if (last()->nlmsg_len + MNL_ALIGN(bytes.size()) > room) {
        overflowed_ = true;
        return;
    }
    std::memcpy(mnl_nlmsg_put_extra_header(last(), bytes.size()), bytes.data(), bytes.size());
}

void NetlinkBatch::close_nest() {
    if (nests_.back() != nullptr) {
        mnl_attr_nest_end(last(), nests_.back());
    }
    nests_.pop_back();
}

std::optional<std::uint32_t> NetlinkAttribute::u32() const {
    std::uint32_t value = 0;
    if (bytes.size() != sizeof(value)) {
        return std::nullopt;
    }
    std::memcpy(&value, bytes.data(), sizeof(value));
    return value;
}

std::string_view NetlinkAttribute::text() const {
    return bytes.substr(0, bytes.find('\0'));
}

static std::vector<NetlinkAttribute> attributes_in(std::string_view bytes) {
    std::vector<NetlinkAttribute> found;
    const auto* at = reinterpret_cast<const nlattr*>(bytes.data());
    auto left = static_cast<int>(bytes.size());
    while (mnl_attr_ok(at, left)) {
        const auto* payload = static_cast<const char*>(mnl_attr_get_payload(at));
        found.push_back({mnl_attr_get_type(at), {payload, mnl_attr_get_payload_len(at)}});
        left -= static_cast<int>(MNL_ALIGN(at->nla_len));
        at = mnl_attr_next(at);
    }
    return found;
}

std::optional<std::uint16_t> NetlinkAttribute::port() const {
    std::uint16_t value = 0;
    if (bytes.size() != sizeof(value)) {
        return std::nullopt;
    }
    std::memcpy(&value, bytes.data(), sizeof(value));
    return ntohs(value);
}

std::optional<IpAddress> NetlinkAttribute::address() const {
    IpAddress address;
    address.family = bytes.size() == address.bytes.size() ? IpFamily::v6 : IpFamily::v4;
    if (bytes.size() != address.size()) {
        return std::nullopt;
    }
    std::ranges::copy(bytes, address.bytes.begin());
    return address;
}

std::vector<NetlinkAttribute> NetlinkAttribute::nested() const {
    return attributes_in(bytes);
}

std::vector<NetlinkAttribute> NetlinkAnswer::attributes(std::size_t header_bytes) const {
    const std::size_t start = MNL_ALIGN(header_bytes);
    return start >= payload.size() ? std::vector<NetlinkAttribute>()
                                   : attributes_in(payload.substr(start));
}

std::vector<NetlinkAnswer> parse_answers(std::string_view datagram) {
    std::vector<NetlinkAnswer> answers;
    const auto* at = reinterpret_cast<const nlmsghdr*>(datagram.data());
    auto left = static_cast<int>(datagram.size());
    // libmnl takes a length beyond 2 GiB for a negative one, which is none too many.
    while (mnl_nlmsg_ok(at, left) && at->nlmsg_len <= static_cast<unsigned>(left)) {
        const auto* payload = static_cast<const char*>(mnl_nlmsg_get_payload(at));
        answers.push_back({at->nlmsg_type,
                           at->nlmsg_flags,
                           at->nlmsg_seq,
                           {payload, mnl_nlmsg_get_payload_len(at)}});
        at = mnl_nlmsg_next(at, &left);
    }
    return answers;
}

std::optional<Acknowledgement> parse_acknowledgement(const NetlinkAnswer& answer) {
    const auto* said = answer.header<nlmsgerr>();
    if (answer.type != NLMSG_ERROR || said == nullptr) {
        return std::nullopt;
    }
    // -errno; what is no errno is taken for a failure without a name.
    Acknowledgement result{said->error <= 0 && said->error > -4096 ? -said->error : EPROTO, {}};
    if ((answer.flags & NLM_F_ACK_TLVS) == 0) {
        return result;
    }
    // Explanations follow the message that is answered, of which we asked for the header only.
    std::size_t offset = sizeof(nlmsgerr);
    if ((answer.flags & NLM_F_CAPPED) == 0) {
        if (said->msg.nlmsg_len < sizeof(nlmsghdr) || said->msg.nlmsg_len > answer.payload.size()) {
            return result;
        }
        offset += MNL_ALIGN(said->msg.nlmsg_len) - sizeof(nlmsghdr);
    }
    for (const NetlinkAttribute& attribute : answer.attributes(offset)) {
        if (attribute.type == NLMSGERR_ATTR_MSG) {
            result.explanation = bounded_utf8(attribute.text(), kExplanationMax);
        }
    }
    return result;
}

Result<Netlink> Netlink::open(int protocol) {
    os::Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
    if (!fd) {
        return fail_errno(errno, "open a netlink socket");
    }
    const int on = 1;
    for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK}) {
        // Kernels before 4.12 do without: messages are less clear.
        (void)::setsockopt(fd.get(), SOL_NETLINK, option, &on, sizeof(on));
    }
    if (::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kSilenceMax, sizeof(kSilenceMax)) < 0) {
        return fail_errno(errno, "bound a netlink socket");
    }
    sockaddr_nl own{};
    own.nl_family = AF_NETLINK;
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&own), sizeof(own)) < 0) {
        return fail_errno(errno, "bind a netlink socket");
    }
    return Netlink(std::move(fd));
}

Result<void> Netlink::send(NetlinkBatch& batch) {
    SKIFF_ASSERT(!batch.messages_.empty() && batch.nests_.empty());
    if (batch.overflowed_) {
        return fail(Code::exhausted, "{}: more than {} bytes of messages",
                    batch.messages_.front().what, NetlinkBatch::kBytesMax);
    }
    char* start = bytes_of(batch.buffer_);
    for (const auto& message : batch.messages_) {
        reinterpret_cast<nlmsghdr*>(start + message.offset)->nlmsg_seq = ++sequence_;
    }
    const std::size_t bytes = batch.messages_.back().offset + MNL_ALIGN(batch.last()->nlmsg_len);
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    ssize_t sent = 0;
    do {
        sent = ::sendto(fd_.get(), start, bytes, 0, reinterpret_cast<sockaddr*>(&kernel),
                        sizeof(kernel));
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        return fail_errno(errno, batch.messages_.front().what);
    }
    return {};
}

Result<std::vector<NetlinkAnswer>> Netlink::receive(std::vector<std::uint64_t>& room) {
    room.resize(words_for(kReceivedBytesMax));
    sockaddr_nl from{};
    ssize_t got = 0;
    do {
        socklen_t size = sizeof(from);
        got = ::recvfrom(fd_.get(), room.data(), kReceivedBytesMax, MSG_TRUNC,
                         reinterpret_cast<sockaddr*>(&from), &size);
        // Any process may write to a netlink socket; only the kernel has port 0.
    } while ((got < 0 && errno == EINTR) || (got >= 0 && from.nl_pid != 0));
    if (got < 0) {
        return errno == EAGAIN ? fail(Code::timeout, "the kernel does not answer")
                               : fail_errno(errno, "receive the kernel's answer");
    }
    if (static_cast<std::size_t>(got) > kReceivedBytesMax) {
        return fail(Code::exhausted, "an answer of {} bytes, more than {}", got, kReceivedBytesMax);
    }
    return parse_answers({bytes_of(room), static_cast<std::size_t>(got)});
}

Result<void> Netlink::carry_out(NetlinkBatch& batch) {
    if (batch.empty()) {
        return {};
    }
    char* start = bytes_of(batch.buffer_);
    for (const auto& message : batch.messages_) {
        reinterpret_cast<nlmsghdr*>(start + message.offset)->nlmsg_flags |= NLM_F_ACK;
    }
    SKIFF_CHECK(send(batch));
    const std::uint32_t first = sequence_ - static_cast<std::uint32_t>(batch.messages_.size()) + 1;
    std::size_t missing = batch.messages_.size();
    std::optional<Error> failure;
    std::vector<std::uint64_t> room;
    while (missing > 0) {
        SKIFF_TRY(auto answers, receive(room));
        for (const NetlinkAnswer& answer : answers) {
            const std::uint32_t number = answer.sequence - first;
            auto said = parse_acknowledgement(answer);
            // Answers to what an earlier call gave up waiting for are none of ours.
            if (!said || number >= batch.messages_.size()) {
                continue;
            }
            --missing;
            const auto& message = batch.messages_[number];
            if (said->error != 0 && said->error != message.tolerated && !failure) {
                failure = error_of(said->error, message.what);
                if (!said->explanation.empty()) {
                    failure->message += ": " + said->explanation;
                }
            }
        }
    }
    if (failure) {
        return fail(std::move(*failure));
    }
    return {};
}

Result<Netlink::Heard> Netlink::hear(const NetlinkBatch& batch,
                                     const std::function<void(const NetlinkAnswer&)>& each) {
    const bool is_list = (batch.last()->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    const std::string& what = batch.messages_.back().what;
    Heard heard = Heard::all;
    std::vector<std::uint64_t> room;
    while (true) {
        SKIFF_TRY(auto answers, receive(room));
        for (const NetlinkAnswer& answer : answers) {
            if (answer.sequence != sequence_) {
                continue;
            }
            if ((answer.flags & NLM_F_DUMP_INTR) != 0) {
                heard = Heard::interrupted;
            }
            if (answer.type == NLMSG_DONE) {
                return heard;
            }
            if (auto said = parse_acknowledgement(answer)) {
                return fail(error_of(said->error, what));
            }
            each(answer);
            if (!is_list) {
                return heard;
            }
        }
    }
}

Result<void> Netlink::ask(NetlinkBatch& batch,
                          const std::function<void(const NetlinkAnswer&)>& each) {
    SKIFF_ASSERT(batch.size() == 1);
    for (int i = 0; i < kInterruptedMax; ++i) {
        SKIFF_CHECK(send(batch));
        SKIFF_TRY(Heard heard, hear(batch, each));
        if (heard == Heard::all) {
            return {};
        }
    }
    return fail(Code::unavailable, "{}: it changes faster than it can be read",
                batch.messages_.back().what);
}

}  // namespace skiff::network
