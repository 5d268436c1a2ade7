#include <limits>

#include "base/text.h"
#include "kube/scalars.h"

namespace skiff::kube {

namespace {

__extension__ using Wide = __int128;
__extension__ using UnsignedWide = unsigned __int128;

constexpr Wide kNano = 1'000'000'000;
// The API caps quantities at 2^63-1 whole units.
constexpr Wide kLargest = Wide{std::numeric_limits<std::int64_t>::max()} * kNano;
// Digits beyond this many cannot change a capped, nano-exact number.
constexpr std::size_t kDigitsMax = 256;
// The longest text that a message repeats.
constexpr std::size_t kShownBytesMax = 100;

struct Suffix {
    Quantity::Format format;
    int base;  // 2 or 10
    int exponent;
};

std::optional<Suffix> parse_exponent(std::string_view text) {
    if (text.size() < 2 || (text[0] != 'e' && text[0] != 'E')) {
        return std::nullopt;
    }
    text.remove_prefix(1);
    bool negative = text[0] == '-';
    if (text[0] == '-' || text[0] == '+') {
        text.remove_prefix(1);
    }
    if (text.empty()) {
        return std::nullopt;
    }
    int value = 0;
    for (char c : text) {
        if (c < '0' || c > '9') {
            return std::nullopt;
        }
        value = std::min(value * 10 + (c - '0'), 1000);
    }
    return Suffix{Quantity::Format::decimal_exponent, 10, negative ? -value : value};
}

std::optional<Suffix> parse_suffix(std::string_view text) {
    constexpr std::string_view kBinary = "KMGTPE";
    if (text.size() == 2 && text[1] == 'i') {
        auto at = kBinary.find(text[0]);
        if (at == std::string_view::npos) {
            return std::nullopt;
        }
        return Suffix{Quantity::Format::binary_si, 2, 10 * (static_cast<int>(at) + 1)};
    }
    if (text.size() <= 1) {
        static constexpr std::string_view kDecimal = "num kMGTPE";
        auto at = kDecimal.find(text.empty() ? ' ' : text[0]);
        if (at == std::string_view::npos || text == " ") {
            return std::nullopt;
        }
        return Suffix{Quantity::Format::decimal_si, 10, (static_cast<int>(at) - 3) * 3};
    }
    return parse_exponent(text);
}

// Multiplies without leaving the range: the API caps anyway.
Wide scale_up(Wide value, int base, int times) {
    for (int i = 0; i < times && value < kLargest; ++i) {
        value *= base;
    }
    return std::min(value, kLargest);
}

// Divides `value` (≥ 0) by 10 `times` times; `rest` remembers whether something was cut off.
Wide scale_down(Wide value, int times, bool& rest) {
    for (int i = 0; i < times && (value != 0 || i == 0); ++i) {
        rest = rest || value % 10 != 0;
        value /= 10;
    }
    return value;
}

// The value of "12.345" times 10^exponent × (2^exponent) in nanos, rounded up.
Wide number_in_nanos(std::string_view digits, const Suffix& suffix) {
    auto dot = digits.find('.');
    std::string all(digits.substr(0, dot));
    int scale = 9;
    if (dot != std::string_view::npos) {
        all += digits.substr(dot + 1);
        scale -= static_cast<int>(digits.size() - dot - 1);
    }
    if (suffix.base == 10) {
        scale += suffix.exponent;
    }
    // Collects digits while they fit; those that do not only move the decimal point.
    Wide value = 0;
    bool rest = false;
    bool full = false;
    for (char c : all) {
        if (full || value > kLargest) {
            full = true;
            rest = rest || c != '0';
            ++scale;
            continue;
        }
        value = value * 10 + (c - '0');
    }
    if (suffix.base == 2) {
        // At most 2^93 × 2^60 would overflow, so the binary factor goes in steps with the cap.
        if (scale < 0) {
            // Fractions: 0.5Ki. Scale up by the binary factor first, where it fits.
            int shift = suffix.exponent;
            while (shift > 0 && value < (Wide{1} << 125)) {
                value *= 2;
                --shift;
            }
            value = scale_down(value, -scale, rest);
            value = scale_up(value, 2, shift);
        } else {
            value = scale_up(scale_up(value, 10, scale), 2, suffix.exponent);
        }
    } else {
        value = scale > 0 ? scale_up(value, 10, scale) : scale_down(value, -scale, rest);
    }
    return std::min(value + (rest ? 1 : 0), kLargest);
}

std::string decimal_text(UnsignedWide value) {
    if (value == 0) {
        return "0";
    }
    std::string text;
    for (; value != 0; value /= 10) {
        text.insert(text.begin(), static_cast<char>('0' + static_cast<int>(value % 10)));
    }
    return text;
}

Wide divide_up(Wide value, Wide by) {
    Wide quotient = value / by;
    if (value % by != 0) {
        quotient += value > 0 ? 1 : -1;
    }
    return quotient;
}

std::int64_t clamp(Wide value) {
    constexpr Wide kMax = std::numeric_limits<std::int64_t>::max();
    return static_cast<std::int64_t>(std::clamp(value, -kMax, kMax));
}

}  // namespace

Quantity Quantity::of_units(std::int64_t value, Format format) {
    Quantity quantity;
    quantity.nanos_ = Wide{value} * kNano;
    quantity.format_ = format;
    return quantity;
}

Quantity Quantity::of_milli(std::int64_t value) {
    Quantity quantity;
    quantity.nanos_ = Wide{value} * (kNano / 1000);
    return quantity;
}

Quantity Quantity::of_bytes(std::uint64_t value) {
    Quantity quantity;
    quantity.nanos_ = std::min(Wide{value} * kNano, kLargest);
    quantity.format_ = Format::binary_si;
    return quantity;
}

Result<Quantity> Quantity::parse(std::string_view text) {
    std::string_view rest = text;
    bool negative = !rest.empty() && rest[0] == '-';
    if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) {
        rest.remove_prefix(1);
    }
    std::size_t end = 0;
    std::size_t dots = 0;
    while (end < rest.size() && ((rest[end] >= '0' && rest[end] <= '9') || rest[end] == '.')) {
        dots += rest[end] == '.' ? 1 : 0;
        ++end;
    }
    auto suffix = parse_suffix(rest.substr(end));
    if (end == dots || dots > 1 || end > kDigitsMax || !suffix) {
        return fail(Code::invalid, "\"{}\" is not a quantity (like 500m, 1.5 or 64Mi)",
                    bounded_utf8(text, kShownBytesMax));
    }
    Quantity quantity;
    quantity.nanos_ = number_in_nanos(rest.substr(0, end), *suffix);
    if (negative) {
        quantity.nanos_ = -quantity.nanos_;
    }
    quantity.format_ = suffix->format;
    return quantity;
}

std::int64_t Quantity::value() const {
    return clamp(divide_up(nanos_, kNano));
}

std::int64_t Quantity::milli_value() const {
    return clamp(divide_up(nanos_, kNano / 1000));
}

Quantity& Quantity::operator+=(const Quantity& other) {
    format_ = nanos_ == 0 ? other.format_ : format_;
    nanos_ = std::clamp(nanos_ + other.nanos_, -kLargest, kLargest);
    return *this;
}

Quantity& Quantity::operator-=(const Quantity& other) {
    format_ = nanos_ == 0 ? other.format_ : format_;
    nanos_ = std::clamp(nanos_ - other.nanos_, -kLargest, kLargest);
    return *this;
}

std::string Quantity::str() const {
    if (nanos_ == 0) {
        return "0";
    }
    std::string sign = nanos_ < 0 ? "-" : "";
    auto number = static_cast<UnsignedWide>(nanos_ < 0 ? -nanos_ : nanos_);
    constexpr auto kUnsignedNano = static_cast<UnsignedWide>(kNano);
    // Binary suffixes are for whole numbers of at least 1024; the rest is printed exactly.
    if (format_ == Format::binary_si && number % kUnsignedNano == 0 &&
        number >= 1024 * kUnsignedNano) {
        number /= kUnsignedNano;
        std::size_t step = 0;
        while (step < 6 && number % 1024 == 0) {
            number /= 1024;
            ++step;
        }
        constexpr std::array<std::string_view, 7> kNames = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
        return sign + decimal_text(number) + std::string(kNames[step]);
    }
    int step = 0;  // times 1000 above nano
    while (step < 9 && number % 1000 == 0) {
        number /= 1000;
        ++step;
    }
    if (format_ == Format::decimal_exponent) {
        int exponent = step * 3 - 9;
        return sign + decimal_text(number) + (exponent == 0 ? "" : fmt::format("e{}", exponent));
    }
    constexpr std::array<std::string_view, 10> kNames = {"n", "u", "m", "",  "k",
                                                         "M", "G", "T", "P", "E"};
    return sign + decimal_text(number) + std::string(kNames[static_cast<std::size_t>(step)]);
}

}  // namespace skiff::kube
