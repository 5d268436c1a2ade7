#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace skiff {

std::string_view to_string(Code code) {
    switch (code) {
        case Code::cancelled:
            return "cancelled";
        case Code::invalid:
            return "invalid";
        case Code::not_found:
            return "not_found";
        case Code::exists:
            return "exists";
        case Code::denied:
            return "denied";
        case Code::unauthenticated:
            return "unauthenticated";
        case Code::exhausted:
            return "exhausted";
        case Code::unavailable:
            return "unavailable";
        case Code::timeout:
            return "timeout";
        case Code::conflict:
            return "conflict";
        case Code::corrupt:
            return "corrupt";
        case Code::unsupported:
            return "unsupported";
        case Code::internal:
            return "internal";
    }
    return "internal";
}

Error Error::context(std::string_view what) && {
    message = fmt::format("{}: {}", what, message);
    return std::move(*this);
}

Error Error::context(std::string_view what) const& {
    Error copy = *this;
    return std::move(copy).context(what);
}

Error Error::with_reason(std::string_view new_reason) && {
    reason = new_reason;
    return std::move(*this);
}

Error Error::with_default_reason(std::string_view default_reason) && {
    if (reason.empty() && code != Code::cancelled) {
        reason = default_reason;
    }
    return std::move(*this);
}

std::string format_as(const Error& error) {
    return error.reason.empty() ? error.message
                                : fmt::format("{}: {}", error.reason, error.message);
}

static Code code_of_errno(int value) {
    switch (value) {
        case ENOENT:
        case ESRCH:
            return Code::not_found;
        case EEXIST:
            return Code::exists;
        case EACCES:
        case EPERM:
        case EROFS:
            return Code::denied;
        case ENOSPC:
        case EDQUOT:
        case EMFILE:
        case ENFILE:
        case ENOMEM:
            return Code::exhausted;
        case ETIMEDOUT:
            return Code::timeout;
        case EAGAIN:
        case ECONNREFUSED:
        case ECONNRESET:
        case EPIPE:
        case EHOSTUNREACH:
        case ENETUNREACH:
            return Code::unavailable;
        case ENOSYS:
        case EOPNOTSUPP:
            return Code::unsupported;
        case EINVAL:
        case ENOTDIR:
        case EISDIR:
        case ELOOP:
        case ENAMETOOLONG:
            return Code::invalid;
        default:
            return Code::internal;
    }
}

Error errno_error(int errno_value, std::string_view what, std::source_location where) {
    return Error{code_of_errno(errno_value),
                 {},
                 fmt::format("{}: {}", what, ::strerror(errno_value)),
                 where};
}

}  // namespace skiff
