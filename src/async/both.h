// Two tasks side by side.
#pragma once

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/multiple_exceptions.hpp>
#include <exception>
#include <tuple>

#include "async/task.h"

namespace skiff::async {

// Runs both at once and returns what each returned. A cancelled caller cancels both.
template <typename A, typename B>
[[nodiscard]] Task<std::tuple<A, B>> both(Task<A> first, Task<B> second) {
    using namespace boost::asio::experimental::awaitable_operators;
    try {
        co_return co_await (std::move(first) && std::move(second));
    } catch (const boost::asio::multiple_exceptions& several) {
        // Both were unwound: to the scope that is one cancellation.
        std::rethrow_exception(several.first_exception());
    }
}

}  // namespace skiff::async
