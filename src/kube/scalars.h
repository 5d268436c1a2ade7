// The scalar types of the Kubernetes API: Quantity, Time, MicroTime, IntOrString, Base64, RawJson.
// Pure values; any thread.
#pragma once

#include <fmt/format.h>

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "base/time.h"

namespace skiff::kube {

// A resource quantity ("100m", "1.5Gi", "2e3"): a decimal number exact to 10^-9 and the family of
// suffixes it is printed with. Equality and order compare the number only, as in the API.
//
// What is finer than 10^-9 is rounded up (away from zero); what exceeds 2^63-1 is capped there.
class Quantity {
public:
    enum class Format {
        decimal_si,        // 12345, 12k, 500m
        binary_si,         // 4Mi
        decimal_exponent,  // 12e6
    };

    Quantity() = default;
    // `value` units: of_units(3) is "3".
    [[nodiscard]] static Quantity of_units(std::int64_t value, Format format = Format::decimal_si);
    // `value` thousandths: of_milli(1500) is "1500m".
    [[nodiscard]] static Quantity of_milli(std::int64_t value);
    // A size, printed with binary suffixes: of_bytes(1048576) is "1Mi".
    [[nodiscard]] static Quantity of_bytes(std::uint64_t value);
    // Fails with Code::invalid for anything that is not a quantity.
    [[nodiscard]] static Result<Quantity> parse(std::string_view text);

    // The number, rounded up to a whole unit, or to a whole thousandth.
    [[nodiscard]] std::int64_t value() const;
    [[nodiscard]] std::int64_t milli_value() const;
    [[nodiscard]] bool is_zero() const { return nanos_ == 0; }
    [[nodiscard]] bool is_negative() const { return nanos_ < 0; }
    [[nodiscard]] Format format() const { return format_; }
    // The canonical text: what the API server would send.
    [[nodiscard]] std::string str() const;

    // The format of the left side stays, unless it is zero.
    Quantity& operator+=(const Quantity& other);
    Quantity& operator-=(const Quantity& other);
    friend Quantity operator+(Quantity a, const Quantity& b) { return a += b; }
    friend Quantity operator-(Quantity a, const Quantity& b) { return a -= b; }
    friend bool operator==(const Quantity& a, const Quantity& b) { return a.nanos_ == b.nanos_; }
    friend std::strong_ordering operator<=>(const Quantity& a, const Quantity& b) {
        if (a.nanos_ == b.nanos_) {
            return std::strong_ordering::equal;
        }
        return a.nanos_ < b.nanos_ ? std::strong_ordering::less : std::strong_ordering::greater;
    }

private:
    __extension__ using Nanos = __int128;
    Nanos nanos_ = 0;
    Format format_ = Format::decimal_si;
};
inline std::string format_as(const Quantity& quantity) {
    return quantity.str();
}

// "cpu" → 500m, "memory" → 64Mi, "ephemeral-storage", "pods", "example.com/gpu" …
using ResourceList = std::map<std::string, Quantity>;

// metav1.Time: wall time in whole seconds (construction cuts the rest off, so that what we compute
// compares equal to what the API server stored). The API's zero time is an absent optional.
struct Time {
    WallTime at{};
    Time() = default;
    Time(WallTime time) : at(truncate_to_seconds(time)) {}  // NOLINT(google-explicit-constructor)
    friend auto operator<=>(const Time&, const Time&) = default;
};

// metav1.MicroTime: wall time in whole microseconds.
struct MicroTime {
    WallTime at{};
    MicroTime() = default;
    MicroTime(WallTime time)  // NOLINT(google-explicit-constructor)
        : at(std::chrono::floor<std::chrono::microseconds>(time)) {}
    friend auto operator<=>(const MicroTime&, const MicroTime&) = default;
};

// A number or a name: ports of probes and Services, maxUnavailable.
struct IntOrString {
    std::variant<std::int32_t, std::string> value = std::int32_t{0};
    [[nodiscard]] const std::int32_t* number() const { return std::get_if<std::int32_t>(&value); }
    [[nodiscard]] const std::string* name() const { return std::get_if<std::string>(&value); }
    friend bool operator==(const IntOrString&, const IntOrString&) = default;
};

// Bytes that are base64 in JSON and decoded here: Secret.data, CSR requests and certificates.
struct Base64 {
    std::string bytes;
    friend bool operator==(const Base64&, const Base64&) = default;
};

// A part of an object that Skiff carries along but does not look into: its compact JSON text.
// Empty text means absent.
struct RawJson {
    std::string text;
    friend bool operator==(const RawJson&, const RawJson&) = default;
};

// A field that is known, read past and never written: managedFields, statuses of controllers.
struct Ignored {
    friend bool operator==(const Ignored&, const Ignored&) = default;
};

}  // namespace skiff::kube

template <>
struct fmt::formatter<skiff::kube::Quantity> : fmt::formatter<std::string> {
    auto format(const skiff::kube::Quantity& quantity, fmt::format_context& context) const {
        return fmt::formatter<std::string>::format(quantity.str(), context);
    }
};
