// Small pure functions on text that several rooms need.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skiff {

// Splits at every `separator`; "" gives one empty part.
[[nodiscard]] std::vector<std::string_view> split(std::string_view text, char separator);
// Without leading and trailing blanks, tabs, CR and LF.
[[nodiscard]] std::string_view trim(std::string_view text);
[[nodiscard]] std::string to_lower(std::string_view text);
// The whole of `text` as a decimal number; nullopt if it is anything else or too large.
[[nodiscard]] std::optional<std::int64_t> parse_int(std::string_view text);
[[nodiscard]] std::optional<std::uint64_t> parse_uint(std::string_view text);
// 1 to 65535, in decimal digits; nullopt for anything else.
[[nodiscard]] std::optional<std::uint16_t> parse_port(std::string_view text);
// The value of the first line "KEY=value", trimmed.
[[nodiscard]] std::optional<std::string> line_value(std::string_view text, std::string_view key);
// Lower-case hexadecimal.
[[nodiscard]] std::string to_hex(std::string_view bytes);
// What a hexadecimal digit stands for; -1 for any other character.
[[nodiscard]] int hex_digit(char c);
// Standard and URL-safe base64 (decoding accepts either alphabet, padded or not); nullopt if
// malformed.
[[nodiscard]] std::string base64_encode(std::string_view bytes);
[[nodiscard]] std::optional<std::string> base64_decode(std::string_view text);
// `text` cut to at most `bytes_max` bytes at a UTF-8 boundary, invalid UTF-8 replaced by U+FFFD:
// for text from guests, registries and files that goes into API objects.
[[nodiscard]] std::string bounded_utf8(std::string_view text, std::size_t bytes_max);

}  // namespace skiff
