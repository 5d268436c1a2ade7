#include "wire/message.h"

#include <array>

#include "base/fnv.h"

namespace skiff::wire {

namespace {

constexpr std::uint32_t kMagic = 0x31464b53;          // "SKF1"
constexpr std::uint32_t kExitFileMagic = 0x31454b53;  // "SKE1"

struct Header {
    std::uint32_t magic = kMagic;
    std::uint16_t version = kWireVersion;
    std::uint16_t type = 0;
};
constexpr std::size_t kHeaderBytes = 8;

std::string encode_header(const Header& header) {
    Writer writer;
    writer(header.magic, header.version, header.type);
    return writer.take();
}

template <std::size_t... I>
Result<Message> decode_as(std::size_t type, std::string_view body, std::index_sequence<I...>) {
    Result<Message> result = fail(Code::unsupported, "unknown message type {}", type);
    const auto one = [&]<std::size_t N>(std::integral_constant<std::size_t, N>) {
        auto value = decode<std::variant_alternative_t<N, Message>>(body);
        if (value) {
            result = Message(std::in_place_index<N>, std::move(*value));
        } else {
            result = fail(std::move(value.error()));
        }
    };
    ((type == I ? one(std::integral_constant<std::size_t, I>{}) : void()), ...);
    return result;
}

// What the header promises of messages that hold lists and texts.
Result<void> check(const Message& message) {
    if (const auto* running = std::get_if<Running>(&message)) {
        if (running->items.size() > kRunningItemsMax) {
            return fail(Code::corrupt, "{} containers in one message, at most {}",
                        running->items.size(), kRunningItemsMax);
        }
    }
    if (const auto* exited = std::get_if<Exited>(&message)) {
        if (exited->message.size() > kExitMessageBytesMax) {
            return fail(Code::corrupt, "an exit message of {} bytes, at most {}",
                        exited->message.size(), kExitMessageBytesMax);
        }
    }
    return {};
}

// Finds torn and damaged files, no defence against a forger.
std::uint64_t checksum(std::string_view bytes) {
    return Fnv1a().mix(bytes).value();
}

}  // namespace

std::string encode_message(const Message& message) {
    std::string packet =
        encode_header({kMagic, kWireVersion, static_cast<std::uint16_t>(message.index())});
    packet += std::visit([](const auto& value) { return encode(value); }, message);
    return packet;
}

Result<Message> decode_message(std::string_view packet) {
    if (packet.size() > kMessageBytesMax) {
        return fail(Code::corrupt, "a message of {} bytes is too long", packet.size());
    }
    if (packet.size() < kHeaderBytes) {
        return fail(Code::corrupt, "a message without header");
    }
    Header header;
    Reader reader(packet.substr(0, kHeaderBytes));
    reader(header.magic, header.version, header.type);
    if (header.magic != kMagic) {
        return fail(Code::corrupt, "not a message of Skiff");
    }
    if (header.version != kWireVersion) {
        return fail(Code::unsupported, "wire version {}, this side speaks {}", header.version,
                    kWireVersion);
    }
    SKIFF_TRY(Message message, decode_as(header.type, packet.substr(kHeaderBytes),
                                         std::make_index_sequence<std::variant_size_v<Message>>()));
    SKIFF_CHECK(check(message));
    return message;
}

bool valid_container_id(std::string_view id) {
    if (id.empty() || id.size() > kContainerIdBytesMax) {
        return false;
    }
    return std::ranges::all_of(id, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '_' || c == '-';
    });
}

std::string encode_exit_file(const Exited& exited) {
    const std::string body = encode(exited);
    Writer writer;
    writer(kExitFileMagic, checksum(body));
    return writer.take() + body;
}

Result<Exited> decode_exit_file(std::string_view bytes) {
    constexpr std::size_t kExitHeaderBytes = 12;
    if (bytes.size() < kExitHeaderBytes || bytes.size() > kMessageBytesMax) {
        return fail(Code::corrupt, "an exit file of {} bytes", bytes.size());
    }
    std::uint32_t magic = 0;
    std::uint64_t sum = 0;
    Reader reader(bytes.substr(0, kExitHeaderBytes));
    reader(magic, sum);
    const std::string_view body = bytes.substr(kExitHeaderBytes);
    if (magic != kExitFileMagic || sum != checksum(body)) {
        return fail(Code::corrupt, "an exit file fails its check");
    }
    return decode<Exited>(body);
}

}  // namespace skiff::wire
