// The binary form of everything that agent, keeper, runner and compiler say to one another.
//
// Little endian, no padding. A number is its bytes; an enumerator one byte; a text its length
// (4 bytes) and its bytes; a list or an array its count (4 bytes) and its elements; an optional one
// byte (0, 1) and perhaps the value; a structure its length (4 bytes) and its fields in order.
//
// A structure grows only at its end: a decoder keeps the default of a field that an older peer did
// not send, and skips what a newer peer sent behind the fields it knows. So an agent and a keeper
// of different versions understand one another as long as kWireVersion stays.
//
// A structure says its fields once, for both directions:
//   template <typename A, typename S> static void fields(A& a, S& s) { a(s.name, s.count); }
// and an enumeration its last enumerator: constexpr Color last_of(Color) { return Color::blue; }
//
// Pure; any thread. Decoding allocates at most a small multiple of the input's size.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/result.h"

namespace skiff::wire {

class Writer;
class Reader;

template <typename T>
concept Structure = requires(Writer& writer, T& value) { T::fields(writer, value); };

// Appends values to a buffer. Cannot fail.
class Writer {
public:
    template <typename... T>
    void operator()(const T&... values) {
        (put(values), ...);
    }
    [[nodiscard]] const std::string& bytes() const { return bytes_; }
    [[nodiscard]] std::string take() { return std::move(bytes_); }

private:
    template <typename T>
    void put(const T& value) {
        if constexpr (std::is_enum_v<T>) {
            put(static_cast<std::uint8_t>(value));
        } else if constexpr (std::is_same_v<T, bool>) {
            put(static_cast<std::uint8_t>(value ? 1 : 0));
        } else if constexpr (std::is_integral_v<T>) {
            auto bits = static_cast<std::make_unsigned_t<T>>(value);
            for (std::size_t i = 0; i < sizeof(T); ++i) {
                bytes_.push_back(static_cast<char>(static_cast<std::uint64_t>(bits) >> (8 * i)));
            }
        } else {
            static_assert(Structure<T>, "give the type a fields() function");
            const std::size_t at = bytes_.size();
            put(std::uint32_t{0});
            T::fields(*this, value);
            patch_length(at);
        }
    }
    void put(const std::string& text);
    template <std::size_t N>
    void put(const std::array<std::uint8_t, N>& bytes) {
        put(std::uint32_t{N});
        for (const std::uint8_t byte : bytes) {
            put(byte);
        }
    }
    template <typename T>
    void put(const std::vector<T>& list) {
        put(static_cast<std::uint32_t>(list.size()));
        for (const auto& element : list) {
            put(element);
        }
    }
    template <typename T>
    void put(const std::optional<T>& value) {
        put(value.has_value());
        if (value) {
            put(*value);
        }
    }
    void patch_length(std::size_t at);

    std::string bytes_;
};

// Takes values from a buffer. The first fault is kept; after it every value reads as its default.
class Reader {
public:
    explicit Reader(std::string_view bytes) : rest_(bytes) {}

    template <typename... T>
    void operator()(T&... values) {
        (get(values), ...);
    }
    [[nodiscard]] bool failed() const { return fault_ != nullptr; }
    // What was wrong, or nullptr. Static text.
    [[nodiscard]] const char* fault() const { return fault_; }

private:
    template <typename T>
    void get(T& value) {
        if (failed() || rest_.empty()) {
            // The end of the structure: an older peer does not know this field.
            return;
        }
        if constexpr (std::is_enum_v<T>) {
            std::uint8_t raw = 0;
            get(raw);
            if (raw > static_cast<std::uint8_t>(last_of(T{}))) {
                fault_ = "unknown enumerator";
                return;
            }
            value = static_cast<T>(raw);
        } else if constexpr (std::is_same_v<T, bool>) {
            std::uint8_t raw = 0;
            get(raw);
            if (raw > 1) {
                fault_ = "a flag is neither 0 nor 1";
            }
            value = raw == 1;
        } else if constexpr (std::is_integral_v<T>) {
            value = static_cast<T>(get_number(sizeof(T)));
        } else {
            static_assert(Structure<T>, "give the type a fields() function");
            Reader inner(get_block());
            if (!failed()) {
                T::fields(inner, value);
                fault_ = inner.fault_;
            }
        }
    }
    void get(std::string& text);
    // An empty one reads as zeros: older peers left out what does not matter.
    template <std::size_t N>
    void get(std::array<std::uint8_t, N>& bytes) {
        std::vector<std::uint8_t> list;
        get(list);
        if (!failed() && !list.empty() && list.size() != N) {
            fault_ = "an array is of another size";
            return;
        }
        std::copy(list.begin(), list.end(), bytes.begin());
    }
    template <typename T>
    void get(std::vector<T>& list) {
        if (failed() || rest_.empty()) {
            return;
        }
        const std::uint64_t count = get_number(4);
        // Every element takes a byte at least: a count cannot make us allocate more than was sent.
        if (count > rest_.size()) {
            fault_ = "a list is longer than the message";
            return;
        }
        list.clear();
        for (std::uint64_t i = 0; i < count && !failed(); ++i) {
            if (rest_.empty()) {
                fault_ = "a list is cut off";
                return;
            }
            get(list.emplace_back());
        }
    }
    template <typename T>
    void get(std::optional<T>& value) {
        bool present = false;
        get(present);
        value.reset();
        if (present && !failed()) {
            if (rest_.empty()) {
                fault_ = "a value is cut off";
                return;
            }
            get(value.emplace());
        }
    }
    std::uint64_t get_number(std::size_t size);
    std::string_view get_block();

    std::string_view rest_;
    const char* fault_ = nullptr;
};

// The bytes of a structure, without a header.
template <Structure T>
[[nodiscard]] std::string encode(const T& value) {
    Writer writer;
    T::fields(writer, value);
    return writer.take();
}

// The structure that `bytes` hold. Fails with Code::corrupt.
template <Structure T>
[[nodiscard]] Result<T> decode(std::string_view bytes) {
    T value;
    Reader reader(bytes);
    T::fields(reader, value);
    if (reader.failed()) {
        return fail(Code::corrupt, "{}", reader.fault());
    }
    return value;
}

}  // namespace skiff::wire
