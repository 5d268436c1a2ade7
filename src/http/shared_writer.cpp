#include "http/shared_writer.h"

#include "async/with_scope.h"
#include "base/log.h"

namespace skiff::http {

using async::Task;

namespace {

Task<void> read_to_end(Task<Result<void>> reading, std::string_view event, async::Event* enough) {
    auto read = co_await std::move(reading);
    if (!read) {
        log::debug(event, log::kv("error", read.error().message));
    }
    enough->set();
}

}  // namespace

Task<Result<void>> SharedWriter::wait_until_idle() {
    while (true) {
        SteadyTime end = last_use_ + kStreamIdleMax;
        if (after(Duration(0)) >= end) {
            co_return Result<void>{};
        }
        SKIFF_CO_CHECK(co_await async::sleep_until(end));
    }
}

Task<void> SharedWriter::read_until_idle(Task<Result<void>> reading, std::string_view event) {
    async::Event enough;
    async::ScopeBody body = [this, &reading, event, &enough](async::Scope& scope) -> Task<void> {
        scope.spawn("reader", read_to_end(std::move(reading), event, &enough));
        return [](SharedWriter* self, async::Event* over) -> Task<void> {
            auto idle = self->wait_until_idle();
            auto ended =
                co_await async::run_until(std::move(idle), *over, async::kNoDeadline, "connection");
        }(this, &enough);
    };
    co_await async::with_scope(std::move(body));
}

}  // namespace skiff::http
