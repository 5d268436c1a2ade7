#include "wire/exec.h"

#include <algorithm>

#include "base/text.h"

namespace skiff::wire {

namespace {

constexpr std::uint32_t kRequestMagic = 0x31514553;  // "SEQ1"
constexpr std::uint32_t kAnswerMagic = 0x31414553;   // "SEA1"
constexpr std::size_t kHeaderBytes = 4;
constexpr std::size_t kMessageBytesMax = 8U << 10;

template <Structure T>
std::string with_header(std::uint32_t magic, const T& value) {
    Writer writer;
    writer(magic);
    return writer.take() + encode(value);
}

Result<std::string_view> body_of(std::string_view packet, std::uint32_t magic) {
    if (packet.size() < kHeaderBytes || packet.size() > kExecPacketBytesMax) {
        return fail(Code::corrupt, "a packet of {} bytes", packet.size());
    }
    std::uint32_t found = 0;
    Reader reader(packet.substr(0, kHeaderBytes));
    reader(found);
    if (found != magic) {
        return fail(Code::unsupported, "the other end is of another version of Skiff");
    }
    return packet.substr(kHeaderBytes);
}

}  // namespace

std::size_t exec_fds(const ExecRequest& request) {
    return request.with_terminal ? 1U : 2U + (request.with_stdin ? 1U : 0U);
}

Result<std::string> encode_exec_request(const ExecRequest& request) {
    std::string packet = with_header(kRequestMagic, request);
    if (packet.size() > kExecPacketBytesMax) {
        return fail(Code::exhausted, "the command takes {} bytes, at most {}", packet.size(),
                    kExecPacketBytesMax);
    }
    return packet;
}

Result<ExecRequest> decode_exec_request(std::string_view packet) {
    SKIFF_TRY(auto body, body_of(packet, kRequestMagic));
    SKIFF_TRY(auto request, decode<ExecRequest>(body));
    if (request.command.empty() || request.command.front().empty()) {
        return fail(Code::invalid, "no command was given");
    }
    if (request.command.size() > kExecWordsMax) {
        return fail(Code::invalid, "a command of {} words, at most {}", request.command.size(),
                    kExecWordsMax);
    }
    auto has_nul = [](const std::string& word) { return word.find('\0') != std::string::npos; };
    if (std::ranges::any_of(request.command, has_nul)) {
        return fail(Code::invalid, "a word of the command has a NUL byte");
    }
    return request;
}

std::string encode_exec_answer(const ExecAnswer& answer) {
    ExecAnswer cut = answer;
    cut.message = bounded_utf8(answer.message, kMessageBytesMax);
    return with_header(kAnswerMagic, cut);
}

Result<ExecAnswer> decode_exec_answer(std::string_view packet) {
    SKIFF_TRY(auto body, body_of(packet, kAnswerMagic));
    return decode<ExecAnswer>(body);
}

}  // namespace skiff::wire
