#include "network/dns_message.h"

#include "base/fuzz.h"

namespace skiff::network {

// The input: a name, a zero byte, what came from the network. The identification is the message's
// own, so that the rest of it is read.
SKIFF_FUZZ(network_dns_message) {
    fuzz::Input input(bytes);
    DnsQuestion question;
    question.name = std::string(input.part());
    const std::string_view message = input.rest();
    if (message.size() >= 2) {
        question.id = static_cast<std::uint16_t>((static_cast<unsigned char>(message[0]) << 8U) |
                                                 static_cast<unsigned char>(message[1]));
    }
    for (const IpFamily family : {IpFamily::v4, IpFamily::v6}) {
        question.family = family;
        if (const auto asked = format_dns_question(question)) {
            SKIFF_ASSERT(asked->size() <= 12 + 255 + 4 + 11);
            // Nobody's answer: a question is none.
            SKIFF_ASSERT(!parse_dns_answer(*asked, question));
        }
        const auto answer = parse_dns_answer(message, question);
        if (!answer) {
            fuzz::check_error(answer.error());
            continue;
        }
        SKIFF_ASSERT(answer->addresses.size() <= kDnsAddressesMax);
        for (const IpAddress& address : answer->addresses) {
            SKIFF_ASSERT(address.family == family);
        }
    }
}

}  // namespace skiff::network
