// What `skiff exec` and the agent say to one another over `<run-dir>/exec.sock` (SOCK_SEQPACKET,
// mode 0600): one packet with the request and its descriptors, then one with the answer. A client
// that hangs up before it has the answer ends its command.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "wire/codec.h"

namespace skiff::wire {

constexpr std::size_t kExecPacketBytesMax = 64U << 10;
constexpr std::size_t kExecWordsMax = 4096;

// Which descriptors ride with the request: standard input if `with_stdin`, then standard output and
// error; with `with_terminal` one terminal, which is all of them.
struct ExecRequest {
    std::string pod_namespace;
    std::string pod;
    std::string container;  // empty: the pod's default
    std::vector<std::string> command;
    bool with_stdin = false;
    bool with_terminal = false;
    friend bool operator==(const ExecRequest&, const ExecRequest&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.pod_namespace, s.pod, s.container, s.command, s.with_stdin, s.with_terminal);
    }
};

// How many descriptors the request comes with.
[[nodiscard]] std::size_t exec_fds(const ExecRequest& request);

struct ExecAnswer {
    bool ran = false;
    std::int32_t exit_code = 0;
    // Why it did not run; or, of one that ran, what the runtime has to say of its end (a trap).
    std::string message;
    friend bool operator==(const ExecAnswer&, const ExecAnswer&) = default;
    template <typename A, typename S>
    static void fields(A& a, S& s) {
        a(s.ran, s.exit_code, s.message);
    }
};

// Fails with exhausted for a command that does not fit a packet.
[[nodiscard]] Result<std::string> encode_exec_request(const ExecRequest& request);
// Fails with corrupt, unsupported (another version), or invalid: no command, too many words, a NUL.
[[nodiscard]] Result<ExecRequest> decode_exec_request(std::string_view packet);
// A message that does not fit is cut.
[[nodiscard]] std::string encode_exec_answer(const ExecAnswer& answer);
[[nodiscard]] Result<ExecAnswer> decode_exec_answer(std::string_view packet);

}  // namespace skiff::wire
