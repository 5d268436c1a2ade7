#include "network/dns_message.h"

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace skiff::network {

namespace {

constexpr std::size_t kNameBytesMax = 253;
constexpr std::size_t kLabelBytesMax = 63;
constexpr std::size_t kPointersMax = 64;  // within one name
constexpr std::size_t kAliasesMax = 16;
constexpr std::size_t kRecordsMax = 512;
constexpr std::uint16_t kTypeA = 1;
constexpr std::uint16_t kTypeCname = 5;
constexpr std::uint16_t kTypeAaaa = 28;
constexpr std::uint16_t kTypeOpt = 41;
constexpr std::uint16_t kClassIn = 1;
constexpr std::uint16_t kResponse = 0x8000;
constexpr std::uint16_t kTruncated = 0x0200;
constexpr std::uint16_t kRecursionDesired = 0x0100;
constexpr std::uint16_t kCodeMask = 0x000f;
constexpr std::uint16_t kNoSuchName = 3;

std::uint16_t type_of(IpFamily family) {
    return family == IpFamily::v4 ? kTypeA : kTypeAaaa;
}

void put16(std::string& to, std::uint16_t value) {
    to.push_back(static_cast<char>(value >> 8U));
    to.push_back(static_cast<char>(value & 0xffU));
}

// In lower case and without a final dot: what compares.
std::string plain(std::string_view name) {
    std::string text(name.substr(0, name.ends_with('.') ? name.size() - 1 : name.size()));
    std::ranges::transform(text, text.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return text;
}

// Reads on from a place in a message; once a number or bytes are not there, no more are.
class Reader {
public:
    explicit Reader(std::string_view message) : message_(message) {}

    std::optional<std::uint8_t> u8() {
        if (at_ >= message_.size()) {
            return std::nullopt;
        }
        return static_cast<std::uint8_t>(message_[at_++]);
    }
    std::optional<std::uint16_t> u16() {
        if (message_.size() - at_ < 2) {
            return end();
        }
        const auto high = *u8();
        return static_cast<std::uint16_t>((high << 8U) | *u8());
    }
    std::optional<std::uint32_t> u32() {
        if (message_.size() - at_ < 4) {
            return end();
        }
        const std::uint32_t high = *u16();
        return (high << 16U) | *u16();
    }
    std::optional<std::string_view> bytes(std::size_t count) {
        if (message_.size() - at_ < count) {
            return end();
        }
        at_ += count;
        return message_.substr(at_ - count, count);
    }
    // A name in plain form. A dot within a label is refused: it could look like another name.
    std::optional<std::string> name() {
        std::string text;
        std::optional<std::size_t> after;  // where the name ends when a pointer leads elsewhere
        for (std::size_t pointers = 0; pointers < kPointersMax;) {
            const auto size = u8();
            if (!size) {
                return std::nullopt;
            }
            if (*size == 0) {
                at_ = after.value_or(at_);
                return plain(text);
            }
            if ((*size & 0xc0U) == 0xc0U) {
                const auto low = u8();
                if (!low) {
                    return std::nullopt;
                }
                after = after.value_or(at_);
                at_ = std::min<std::size_t>(((*size & 0x3fU) << 8U) | *low, message_.size());
                ++pointers;
                continue;
            }
            const auto label = *size > kLabelBytesMax ? std::nullopt : bytes(*size);
            if (!label || label->find('.') != std::string_view::npos ||
                text.size() + label->size() > kNameBytesMax) {
                return std::nullopt;
            }
            text += text.empty() ? "" : ".";
            text += *label;
        }
        return std::nullopt;
    }

private:
    std::nullopt_t end() {
        at_ = message_.size();
        return std::nullopt;
    }

    std::string_view message_;
    std::size_t at_ = 0;
};

struct Record {
    std::string owner;
    std::uint16_t type = 0;
    std::uint32_t ttl = 0;
    std::string alias;                 // of a CNAME
    std::optional<IpAddress> address;  // of an A or AAAA
};

std::optional<Record> read_record(Reader& reader) {
    Record record;
    auto owner = reader.name();
    const auto type = reader.u16();
    const auto kind = reader.u16();
    const auto ttl = reader.u32();
    const auto size = reader.u16();
    if (!owner || !type || !kind || !ttl || !size) {
        return std::nullopt;
    }
    record.owner = std::move(*owner);
    record.type = *kind == kClassIn ? *type : 0;
    // The highest bit is none of it (RFC 2181).
    record.ttl = (*ttl & 0x80000000U) != 0 ? 0 : *ttl;
    if (record.type == kTypeCname) {
        // It may point to what came before, so it is read in place.
        auto alias = reader.name();
        if (!alias) {
            return std::nullopt;
        }
        record.alias = std::move(*alias);
        return record;
    }
    const auto value = reader.bytes(*size);
    if (!value) {
        return std::nullopt;
    }
    const IpFamily family = record.type == kTypeA ? IpFamily::v4 : IpFamily::v6;
    if ((record.type == kTypeA && value->size() == 4) ||
        (record.type == kTypeAaaa && value->size() == 16)) {
        IpAddress address{family, {}};
        std::copy(value->begin(), value->end(), address.bytes.begin());
        record.address = address;
    }
    return record;
}

tl::unexpected<Error> torn() {
    return fail(Code::corrupt, "the answer of the name server is no DNS message");
}

// The addresses of the name, or of what it is an alias of.
DnsAnswer collect(const std::vector<Record>& records, const DnsQuestion& question) {
    DnsAnswer answer;
    std::string name = plain(question.name);
    std::uint32_t ttl = UINT32_MAX;
    for (std::size_t i = 0; i < kAliasesMax; ++i) {
        const auto alias = std::ranges::find_if(records, [&](const Record& record) {
            return record.type == kTypeCname && record.owner == name;
        });
        if (alias == records.end()) {
            break;
        }
        name = alias->alias;
        ttl = std::min(ttl, alias->ttl);
    }
    for (const Record& record : records) {
        const bool ours = record.owner == name && record.type == type_of(question.family);
        if (ours && record.address && answer.addresses.size() < kDnsAddressesMax) {
            answer.addresses.push_back(*record.address);
            ttl = std::min(ttl, record.ttl);
        }
    }
    answer.ttl = std::chrono::seconds(answer.addresses.empty() ? 0 : ttl);
    return answer;
}

}  // namespace

Result<std::string> format_dns_question(const DnsQuestion& question) {
    const std::string name = plain(question.name);
    std::string text;
    put16(text, question.id);
    put16(text, kRecursionDesired);
    for (const auto count : std::initializer_list<std::uint16_t>{1, 0, 0, 1}) {
        put16(text, count);
    }
    const bool fits = !name.empty() && name.size() <= kNameBytesMax;
    for (const std::string_view label : split(name, '.')) {
        if (!fits || label.empty() || label.size() > kLabelBytesMax) {
            return fail(Code::invalid, "\"{}\" is no name that DNS can have",
                        bounded_utf8(name, kNameBytesMax));
        }
        text.push_back(static_cast<char>(label.size()));
        text += label;
    }
    text.push_back('\0');
    put16(text, type_of(question.family));
    put16(text, kClassIn);
    // How much we take over UDP: an OPT record of the root, without options (RFC 6891).
    text.push_back('\0');
    put16(text, kTypeOpt);
    put16(text, kDnsUdpBytesMax);
    text.append(6, '\0');
    return text;
}

Result<DnsAnswer> parse_dns_answer(std::string_view message, const DnsQuestion& question) {
    Reader reader(message);
    const auto id = reader.u16();
    const auto flags = reader.u16();
    const auto questions = reader.u16();
    const auto answers = reader.u16();
    const auto rest = reader.u32();  // how many of the other kinds
    if (!rest) {
        return torn();
    }
    if (*id != question.id || (*flags & kResponse) == 0) {
        return fail(Code::not_found, "an answer to something else");
    }
    const std::uint16_t code = *flags & kCodeMask;
    if (code != 0 && code != kNoSuchName) {
        return fail(Code::unavailable, "the name server answers with code {}", code);
    }
    const auto name = *questions == 1 ? reader.name() : std::nullopt;
    const auto type = reader.u16();
    const auto kind = reader.u16();
    if (!name || !kind) {
        return torn();
    }
    if (*name != plain(question.name) || *type != type_of(question.family) || *kind != kClassIn) {
        return fail(Code::not_found, "an answer to something else");
    }
    std::vector<Record> records;
    const bool truncated = (*flags & kTruncated) != 0;
    for (std::size_t i = 0; i < std::min<std::size_t>(*answers, kRecordsMax); ++i) {
        auto record = read_record(reader);
        if (!record && truncated) {
            break;
        }
        if (!record) {
            return torn();
        }
        records.push_back(std::move(*record));
    }
    DnsAnswer answer = collect(records, question);
    answer.extent = truncated ? DnsAnswer::Extent::truncated : DnsAnswer::Extent::whole;
    return answer;
}

}  // namespace skiff::network
