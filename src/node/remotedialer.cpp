#include "node/remotedialer.h"

#include "base/text.h"

namespace skiff::node {

namespace {

// What the peers' library writes there; nobody reads it.
constexpr std::int64_t kDeadlineMs = 15'000;

std::optional<std::int64_t> take_varint(std::string_view& bytes) {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (bytes.empty()) {
            return std::nullopt;
        }
        const auto byte = static_cast<std::uint8_t>(bytes.front());
        bytes.remove_prefix(1);
        // The tenth byte holds the last bit.
        if (shift == 63 && byte > 1) {
            return std::nullopt;
        }
        value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
        if (byte < 0x80) {
            const auto sign = static_cast<std::int64_t>(0 - (value & 1));
            return static_cast<std::int64_t>(value >> 1) ^ sign;
        }
    }
    return std::nullopt;
}

void append_varint(std::string& out, std::int64_t number) {
    auto value =
        (static_cast<std::uint64_t>(number) << 1) ^ static_cast<std::uint64_t>(number < 0 ? -1 : 0);
    while (value >= 0x80) {
        out += static_cast<char>(value | 0x80U);
        value >>= 7;
    }
    out += static_cast<char>(value);
}

bool has_deadline(DialMessageType type) {
    return type == DialMessageType::data || type == DialMessageType::connect;
}

}  // namespace

Result<DialMessage> parse_dial_message(std::string_view bytes) {
    const auto id = take_varint(bytes);
    const auto connection = id ? take_varint(bytes) : std::nullopt;
    const auto type = connection ? take_varint(bytes) : std::nullopt;
    if (!type) {
        return fail(Code::invalid, "a message of the tunnel has no complete head");
    }
    DialMessage message;
    message.id = *id;
    message.connection = *connection;
    message.type = static_cast<DialMessageType>(*type);
    if (has_deadline(message.type) && !take_varint(bytes)) {
        return fail(Code::invalid, "a message of the tunnel has no complete head");
    }
    message.payload = bytes;
    return message;
}

std::string format_dial_message(const DialMessage& message) {
    std::string out;
    append_varint(out, message.id);
    append_varint(out, message.connection);
    append_varint(out, static_cast<std::int64_t>(message.type));
    if (has_deadline(message.type)) {
        append_varint(out, kDeadlineMs);
    }
    if (message.type == DialMessageType::error) {
        return out + bounded_utf8(message.payload, kDialErrorBytesMax);
    }
    return out.append(message.payload);
}

Result<DialTarget> parse_dial_target(std::string_view payload) {
    const auto refuse = [&] {
        return fail(Code::invalid, "{:?} is not PROTOCOL/HOST:PORT", bounded_utf8(payload, 64));
    };
    const auto slash = payload.find('/');
    if (payload.size() > kDialAddressBytesMax || slash == std::string_view::npos) {
        return refuse();
    }
    std::string_view address = payload.substr(slash + 1);
    const auto colon = address.rfind(':');
    if (colon == std::string_view::npos) {
        return refuse();
    }
    std::string_view host = address.substr(0, colon);
    const auto port = parse_port(address.substr(colon + 1));
    if (host.starts_with('[') && host.ends_with(']')) {
        host = host.substr(1, host.size() - 2);
    } else if (host.find(':') != std::string_view::npos) {
        return refuse();
    }
    if (slash == 0 || host.empty() || !port) {
        return refuse();
    }
    return DialTarget{std::string(payload.substr(0, slash)), std::string(host), *port};
}

}  // namespace skiff::node
