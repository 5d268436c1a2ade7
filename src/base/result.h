// How Skiff says that something failed: Result<T>, Error, fail(), SKIFF_TRY.
#pragma once

#include <fmt/format.h>

#include <source_location>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <type_traits>
#include <utility>

namespace skiff {

// The closed set of failure kinds. Code answers "what may the caller do about it"; the words for
// people are in Error::reason and Error::message.
enum class Code {
    cancelled,        // the caller asked to stop; never logged as an error
    invalid,          // the input is wrong and will stay wrong
    not_found,        // the named thing does not exist
    exists,           // it is there already
    denied,           // authenticated, but not allowed
    unauthenticated,  // credentials missing or refused
    exhausted,        // a limit was reached
    unavailable,      // the other side cannot answer now; retrying may help
    timeout,          // a deadline passed
    conflict,         // somebody else changed it first
    corrupt,          // stored or received bytes fail their check
    unsupported,      // understood, but not offered
    internal,         // a promise of our own is broken
};

// The lower-case name of `code`, as it appears in logs.
std::string_view to_string(Code code);

// A failure. Copyable, cheap to move.
struct Error {
    Code code = Code::internal;
    // The CamelCase word that a user sees in `kubectl describe` ("ErrImagePull"), empty where no
    // user sees one.
    std::string reason;
    // One clause without a final period. The callee states only what went wrong, the caller adds
    // what it was doing.
    std::string message;
    std::source_location where;

    // Prepends "what: " to the message. Called once for each room boundary that the error crosses.
    Error context(std::string_view what) &&;
    Error context(std::string_view what) const&;
    // The same error with another reason.
    Error with_reason(std::string_view new_reason) &&;
    // The same error with this reason where the callee gave none; a cancellation stays without,
    // for no user sees it.
    Error with_default_reason(std::string_view default_reason) &&;
};

// "message", or "Reason: message" where there is a reason: the form for logs and stderr.
std::string format_as(const Error& error);

template <typename T>
using Result = tl::expected<T, Error>;

// A format string that remembers where it was written.
template <typename... Args>
struct FormatAt {
    fmt::format_string<Args...> text;
    std::source_location where;

    template <typename S>
        requires std::is_convertible_v<const S&, std::string_view>
    consteval FormatAt(const S& s,
                       std::source_location at = std::source_location::current())  // NOLINT
        : text(s), where(at) {}
};

// fail(Code::invalid, "port {} is not in 1-65535", port): the one way to return an Error.
template <typename... Args>
[[nodiscard]] tl::unexpected<Error> fail(Code code, FormatAt<std::type_identity_t<Args>...> format,
                                         Args&&... args) {
    return tl::unexpected<Error>(
        Error{code, {}, fmt::format(format.text, std::forward<Args>(args)...), format.where});
}

// The same with the reason word that the user will see.
template <typename... Args>
[[nodiscard]] tl::unexpected<Error> fail_because(Code code, std::string_view reason,
                                                 FormatAt<std::type_identity_t<Args>...> format,
                                                 Args&&... args) {
    return tl::unexpected<Error>(Error{code, std::string(reason),
                                       fmt::format(format.text, std::forward<Args>(args)...),
                                       format.where});
}

// Passes an error on: `return fail(std::move(result.error()).context("pull {}"))`.
[[nodiscard]] inline tl::unexpected<Error> fail(Error error) {
    return tl::unexpected<Error>(std::move(error));
}

// The Error of a failed system call; call it before anything can change errno. `what` names the
// call and its object.
[[nodiscard]] Error errno_error(int errno_value, std::string_view what,
                                std::source_location where = std::source_location::current());
[[nodiscard]] inline tl::unexpected<Error> fail_errno(
    int errno_value, std::string_view what,
    std::source_location where = std::source_location::current()) {
    return tl::unexpected<Error>(errno_error(errno_value, what, where));
}

}  // namespace skiff

#define SKIFF_CONCAT_INNER(a, b) a##b
#define SKIFF_CONCAT(a, b) SKIFF_CONCAT_INNER(a, b)

// SKIFF_TRY(auto value, expression): declares `value` from a Result, or returns its error.
#define SKIFF_TRY(decl, ...)                                                                    \
    auto SKIFF_CONCAT(skiff_result_, __LINE__) = (__VA_ARGS__);                                 \
    if (!SKIFF_CONCAT(skiff_result_, __LINE__)) {                                               \
        return ::tl::make_unexpected(std::move(SKIFF_CONCAT(skiff_result_, __LINE__).error())); \
    }                                                                                           \
    decl = std::move(*SKIFF_CONCAT(skiff_result_, __LINE__))

// SKIFF_CHECK(expression): the same for Result<void>, or where the value does not matter.
#define SKIFF_CHECK(...)                                                         \
    do {                                                                         \
        auto skiff_result_inner = (__VA_ARGS__);                                 \
        if (!skiff_result_inner) {                                               \
            return ::tl::make_unexpected(std::move(skiff_result_inner.error())); \
        }                                                                        \
    } while (false)

// The same two inside a coroutine.
#define SKIFF_CO_TRY(decl, ...)                                                                    \
    auto SKIFF_CONCAT(skiff_result_, __LINE__) = (__VA_ARGS__);                                    \
    if (!SKIFF_CONCAT(skiff_result_, __LINE__)) {                                                  \
        co_return ::tl::make_unexpected(std::move(SKIFF_CONCAT(skiff_result_, __LINE__).error())); \
    }                                                                                              \
    decl = std::move(*SKIFF_CONCAT(skiff_result_, __LINE__))

#define SKIFF_CO_CHECK(...)                                                                       \
    auto SKIFF_CONCAT(skiff_check_, __LINE__) = (__VA_ARGS__);                                    \
    if (!SKIFF_CONCAT(skiff_check_, __LINE__)) {                                                  \
        co_return ::tl::make_unexpected(std::move(SKIFF_CONCAT(skiff_check_, __LINE__).error())); \
    }
