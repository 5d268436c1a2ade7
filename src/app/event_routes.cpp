#include "app/event_routes.h"

#include "kube/codec.h"

namespace skiff::app {

using async::Task;

Task<Result<void>> EventRoutes::send(http::Exchange& exchange, EventFilter filter, Mode mode) {
    http::Headers headers;
    headers.set("Content-Type", "application/x-ndjson");
    SKIFF_CO_CHECK(co_await exchange.begin(200, std::move(headers)));
    std::uint64_t sent = 0;
    while (true) {
        std::string lines;
        for (const kube::Event& event : ring_.after(sent, filter)) {
            lines += kube::to_json(event) + "\n";
        }
        sent = ring_.place();
        SKIFF_CO_CHECK(co_await exchange.write(lines));
        if (mode == Mode::once) {
            co_return co_await exchange.end();
        }
        SKIFF_CO_CHECK(co_await ring_.wait_after(sent, async::kNoDeadline));
    }
}

Task<void> EventRoutes::serve(http::Exchange& exchange, const server::RequestTarget& target) {
    bool known = target.segments.size() == 2;
    if (!known || exchange.request().method != "GET") {
        auto refusal = http::plain_text(known ? 405 : 404,
                                        known ? "405: Method Not Allowed" : "404: Page Not Found");
        (void)co_await exchange.respond(std::move(refusal));
        co_return;
    }
    EventFilter filter;
    filter.ns = target.find("namespace").value_or("");
    filter.pod = target.find("pod").value_or("");
    // A peer that has gone needs no answer.
    Mode mode = target.find("watch") == "true" ? Mode::watch : Mode::once;
    (void)co_await send(exchange, std::move(filter), mode);
}

}  // namespace skiff::app
