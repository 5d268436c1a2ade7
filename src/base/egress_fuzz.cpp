#include <arpa/inet.h>

#include <algorithm>

#include "base/egress.h"
#include "base/fuzz.h"

namespace skiff {

// A rule as somebody could have written it.
static std::string text_of(const EgressRule& rule) {
    std::string host = rule.name;
    if (host.empty()) {
        char text[INET6_ADDRSTRLEN];
        SKIFF_ASSERT(::inet_ntop(AF_INET6, rule.address.data(), text, sizeof text) != nullptr);
        host = fmt::format("[{}/{}]", text, rule.prefix_bits);
    }
    return rule.port == 0 ? host : fmt::format("{}:{}", host, rule.port);
}

static void check_rule(const EgressRule& rule) {
    constexpr std::size_t kNameMax = 255;  // with "*."
    SKIFF_ASSERT(rule.name.size() <= kNameMax);
    SKIFF_ASSERT(std::ranges::all_of(rule.name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
               c == '_' || c == '*';
    }));
    SKIFF_ASSERT(rule.prefix_bits <= 128);
    SKIFF_ASSERT(rule.name.empty() || rule.prefix_bits == 0);
    const auto again = parse_egress_rule(text_of(rule));
    SKIFF_ASSERT(again.has_value());
    SKIFF_ASSERT(*again == rule);
}

static Result<Egress> read(std::string_view text) {
    auto egress = parse_egress(text);
    if (!egress) {
        fuzz::check_error(egress.error());
        return egress;
    }
    SKIFF_ASSERT((egress->reach == Reach::nothing) == egress->rules.empty());
    SKIFF_ASSERT(egress->rules.size() <= kEgressRulesMax);
    for (const EgressRule& rule : egress->rules) {
        check_rule(rule);
    }
    return egress;
}

// The input: two lists with a zero byte between them, which together allow what each of them does.
SKIFF_FUZZ(base_egress) {
    fuzz::Input input(bytes);
    const std::string first(input.part());
    const std::string second(input.rest());
    auto one = read(first);
    const auto other = read(second);
    const auto both = read(first + "," + second);
    if (!one || !other || one->rules.size() + other->rules.size() > kEgressRulesMax) {
        return;
    }
    if (one->reach == Reach::nothing || other->reach == Reach::nothing) {
        SKIFF_ASSERT(!both);
        return;
    }
    one->rules.insert(one->rules.end(), other->rules.begin(), other->rules.end());
    SKIFF_ASSERT(both.has_value());
    SKIFF_ASSERT(*both == *one);
}

}  // namespace skiff
