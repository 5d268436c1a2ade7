#include "base/fuzz.h"
#include "kube/scalars.h"

namespace skiff::kube {

static void check_pair(const Quantity& a, const Quantity& b) {
    SKIFF_ASSERT((a < b) == (b > a));
    if (a <= b) {
        SKIFF_ASSERT(a.value() <= b.value());
        SKIFF_ASSERT(a.milli_value() <= b.milli_value());
    }
    SKIFF_ASSERT(a + b == b + a);
    SKIFF_ASSERT((a - a).is_zero());
}

// The input: two quantities with a zero byte between them.
SKIFF_FUZZ(kube_quantity) {
    fuzz::Input input(bytes);
    const auto a = Quantity::parse(input.part());
    const auto b = Quantity::parse(input.rest());
    for (const auto* quantity : {&a, &b}) {
        if (!*quantity) {
            fuzz::check_error(quantity->error());
            continue;
        }
        const std::string text = (*quantity)->str();
        const auto again = Quantity::parse(text);
        SKIFF_ASSERT(again && *again == **quantity, text);
        SKIFF_ASSERT(again->str() == text, text);
        SKIFF_ASSERT((*quantity)->is_negative() == (**quantity < Quantity{}));
    }
    if (a && b) {
        check_pair(*a, *b);
    }
}

}  // namespace skiff::kube
